/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what else reads bytes that others made: the environment, headers of trace contexts, a
 * collector's answer, files of the store, rings that a dead process left, addresses. The input's
 * first byte says which. What they promise is checked where it can be; the sanitizers see the rest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "config.h"
#include "http_answer.h"
#include "otlp.h"
#include "otlp_answer.h"
#include "propagation.h"
#include "ring.h"
#include "service_name.h"
#include "store.h"
#include "telling.h"
#include "text_pool.h"
#include "url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

enum { WORDS_MAX = 64, ANSWER_BYTES = 64 * 1024 };

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

/* NUL-terminated, of exact size, so that ASan sees what is read beyond it. */
static char *text_of(const uint8_t *data, size_t length)
{
    char *text = malloc(length + 1);
    memcpy(text, data, length);
    text[length] = '\0';
    return text;
}

/* The lines of a text as a list like argv. */
static void split(char *text, char *words[WORDS_MAX + 1])
{
    size_t count = 0;
    for (char *word; count < WORDS_MAX && (word = strsep(&text, "\n")) != NULL;)
        words[count++] = word;
    words[count] = NULL;
}

static void fuzz_environment(const uint8_t *data, size_t length)
{
    static struct config read;
    static struct url url;
    char *text = text_of(data, length), *words[WORDS_MAX + 1];
    char *const arguments[] = {"program", NULL};
    split(text, words);
    config_read(&read, words, arguments, "/bin/program");
    require(read.signals[SIGNAL_TRACES].destination != DESTINATION_OTLP ||
                url_parse(read.urls[SIGNAL_TRACES], &url),
        "an endpoint that is used can be parsed");
    require(read.batch_spans_max >= 1 && read.attribute_count_limit <= INT32_MAX, "limits hold");
    free(text);
}

static void fuzz_service_name(const uint8_t *data, size_t length)
{
    char name[256];
    char *text = text_of(data, length), *words[WORDS_MAX + 1];
    split(text, words);
    service_name_guess(words[0], words, name, sizeof(name));
    require(memchr(name, '\0', sizeof(name)) != NULL && name[0] != '\0', "there is a name");
    free(text);
}

static void fuzz_contexts(const uint8_t *data, size_t length)
{
    static char cleaned[TEXT_CARRIED_MAX + 1];
    struct trace_ids ids, again;
    char text[TRACEPARENT_LENGTH];
    size_t cleaned_length;
    if (traceparent_parse(data, length, &ids)) {
        traceparent_format(text, &ids);
        require(traceparent_parse((const uint8_t *)text, sizeof(text), &again) &&
                    memcmp(ids.trace_id, again.trace_id, 16) == 0 &&
                    memcmp(ids.span_id, again.span_id, 8) == 0,
            "a traceparent is read as it was written");
    }
    if (length <= TEXT_CARRIED_MAX && tracestate_clean(data, length, cleaned, &cleaned_length))
        require(cleaned_length <= length, "cleaning makes nothing longer");
    baggage_acceptable(data, length);
}

/* The first byte says where the answer is cut. */
static void fuzz_answer(const uint8_t *data, size_t length)
{
    static uint8_t body[ANSWER_BYTES], memory[ANSWER_BYTES];
    struct http_answer http;
    struct otlp_answer answer = {0};
    size_t cut = length == 0 ? 0 : 1 + data[0] % length;
    http_answer_init(&http, body, sizeof(body), 1700000000);
    if (length > 1) {
        http_answer_feed(&http, data + 1, cut - 1);
        http_answer_feed(&http, data + cut, length - cut);
    }
    http_answer_end(&http);
    otlp_answer_read(&answer, &http, true, memory, sizeof(memory));
    require(memchr(answer.message, '\0', sizeof(answer.message)) != NULL, "the message ends");
}

static void fuzz_store(const uint8_t *data, size_t length)
{
    size_t offset = 0, payload_length;
    const uint8_t *payload;
    uint32_t torn = 0;
    while (store_next(data, length, &offset, &payload, &payload_length, &torn))
        require(payload >= data && payload + payload_length <= data + length && offset <= length,
            "a payload lies in the file");
}

/* head, tail, and what stands at the tail. */
static void fuzz_ring(const uint8_t *data, size_t length)
{
    static _Alignas(64) uint8_t left[RING_BYTES];
    struct ring *ring = (struct ring *)left;
    static uint8_t memory[2 * RING_BYTES];
    static struct telling telling;
    struct otlp_batch batch;
    uint32_t counts[2] = {0};
    if (length < sizeof(counts))
        return;
    memcpy(counts, data, sizeof(counts));
    data += sizeof(counts);
    length -= sizeof(counts);
    ring->tail = counts[0] / 8 * 8;
    ring->head = ring->tail + counts[1] % (2 * RING_CAPACITY);
    size_t at = ring->tail % RING_CAPACITY;
    size_t room = RING_CAPACITY - at;
    memcpy(ring->data + at, data, length < room ? length : room);
    otlp_batch_reset(&batch, memory, sizeof(memory));
    uint64_t cursor = ring_cursor(ring);
    const struct record *record;
    for (int i = 0; i < 64 && (record = ring_next(ring, &cursor, ring->head)) != NULL; i++) {
        const struct span *span = telling_span(&telling, record, &config);
        if (span != NULL)
            otlp_batch_add(&batch, span, &config);
        const struct log *log = telling_log(&telling, record);
        if (log != NULL)
            otlp_batch_add_log(&batch, log, &config);
    }
    require(batch.spans == 0 || otlp_batch_finish(&batch, NULL, 0), "what was added is finished");
    memset(ring->data + at, 0, length < room ? length : room);
}

static void fuzz_address(const uint8_t *data, size_t length)
{
    struct sockaddr_storage storage = {0};
    struct address address;
    char text[ADDRESS_TEXT_MAX];
    size_t taken = length < sizeof(storage) ? length : sizeof(storage);
    memcpy(&storage, data, taken);
    address_set(&address, (struct sockaddr *)&storage, (socklen_t)taken);
    address_format(&address, text);
    address_is_private(&address);
    require(memchr(text, '\0', sizeof(text)) != NULL, "an address ends");
}

static void (*const parsers[])(const uint8_t *data, size_t length) = {fuzz_environment,
    fuzz_service_name, fuzz_contexts, fuzz_answer, fuzz_store, fuzz_ring, fuzz_address};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    if (length == 0)
        return 0;
    char *const nothing[] = {NULL};
    if (config.attribute_count_limit == 0)
        config_read(&config, nothing, nothing, "/bin/program");
    uint8_t *exact = malloc(length - 1); /* where ASan sees both ends */
    memcpy(exact, data + 1, length - 1);
    parsers[data[0] % (sizeof(parsers) / sizeof(parsers[0]))](exact, length - 1);
    free(exact);
    return 0;
}
