/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds to encode one typical HTTP server span of twelve attributes. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../tests/unit/span_build.h"
#include "otlp.h"

enum { BATCH_BYTES = 1024 * 1024, ROUNDS = 2000, SPANS = 512 };

static void make_span(struct span_build *record)
{
#define TEXT(at, key, text) span_put_text(record, at, ATTRIBUTE_##key, text, sizeof(text) - 1)
    span_begin(record, 12);
    memset(record->span.trace_id, 0xA5, sizeof(record->span.trace_id));
    memset(record->span.span_id, 0x5A, sizeof(record->span.span_id));
    memset(record->span.parent_id, 0x77, sizeof(record->span.parent_id));
    record->span.has_parent = 1;
    record->span.flags = 0x303;
    record->span.start_ns = 1790000000123456789u;
    record->span.end_ns = 1790000000125456789u;
    record->span.name = span_put(record, "GET", 3);
    TEXT(0, HTTP_REQUEST_METHOD, "GET");
    span_put_number(record, 1, ATTRIBUTE_HTTP_RESPONSE_STATUS_CODE, 200);
    TEXT(2, URL_PATH, "/api/v1/carts/84c1f2/items");
    TEXT(3, URL_QUERY, "page=2&size=50");
    TEXT(4, URL_SCHEME, "https");
    TEXT(5, SERVER_ADDRESS, "shop.example.com");
    span_put_number(record, 6, ATTRIBUTE_SERVER_PORT, 8443);
    TEXT(7, CLIENT_ADDRESS, "203.0.113.42");
    TEXT(8, NETWORK_PEER_ADDRESS, "10.0.12.7");
    span_put_number(record, 9, ATTRIBUTE_NETWORK_PEER_PORT, 51234);
    TEXT(10, NETWORK_PROTOCOL_VERSION, "1.1");
    TEXT(11, USER_AGENT_ORIGINAL, "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101");
#undef TEXT
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(void)
{
    static struct span_build record;
    static struct config settings = {
        .attribute_count_limit = 128, .attribute_value_limit = UINT32_MAX};
    static uint8_t buffer[BATCH_BYTES];
    struct otlp_batch batch;
    double best = 1e18;

    make_span(&record);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double begin = now_ns();
        otlp_batch_reset(&batch, buffer, sizeof(buffer));
        for (unsigned i = 0; i < SPANS; i++)
            if (!otlp_batch_add(&batch, &record.span, &settings))
                return EXIT_FAILURE;
        double each = (now_ns() - begin) / SPANS;
        best = each < best ? each : best;
    }
    printf("otlp encode: %.0f ns per span, %zu bytes per span\n", best,
        (size_t)(batch.limit - batch.start) / SPANS);
    return EXIT_SUCCESS;
}
