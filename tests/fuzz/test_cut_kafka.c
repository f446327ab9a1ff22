/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large requests to Kafka get context into each of their records, and the kernel takes them in
 * pieces. The host offers again what it was told has not gone; what the kernel has in the end is
 * what an encoder of the test makes of the same records with their context, once, and the next
 * request behind it. What is too large for a broker goes out as it is; so does all behind a request
 * that a broker has refused for its size.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "attribution.h"
#include "config.h"
#include "crc32c.h"
#include "descriptor.h"
#include "fake_kernel.h"
#include "process.h"
#include "tap.h"
#include "text_pool.h"
#include "thread.h"

enum {
    FD = FIRST_FD,
    IDS = sizeof("00-1234567890abcdef1234567890abcdef-1234567890abcdef-01") - 1,
    REQUEST_MAX = STREAM_MAX,
    BUFFERS_MAX = 1024,
    BATCH_HEAD = 61,
    CHECKED_AT = 21
};

/* --- requests ------------------------------------------------------------------------------ */

/* So many partitions, each with a batch of records of values of so many bytes. */
struct form {
    const char *name;
    unsigned version, partitions, records, value_bytes;
};

struct request {
    uint8_t bytes[REQUEST_MAX];
    size_t length, ids_at; /* of the last record's */
};

static struct request plain, wanted;

static void put(struct request *request, const void *bytes, size_t length)
{
    require(request->length + length <= REQUEST_MAX, "requests fit");
    memcpy(request->bytes + request->length, bytes, length);
    request->length += length;
}

static void put_number(struct request *request, uint64_t number, unsigned bytes)
{
    while (bytes-- > 0)
        put(request, &(uint8_t){(uint8_t)(number >> 8 * bytes)}, 1);
}

static void put_number_at(struct request *request, size_t at, uint32_t number)
{
    for (unsigned i = 0; i < 4; i++)
        request->bytes[at + i] = (uint8_t)(number >> (24 - 8 * i));
}

static void put_variable(struct request *request, uint64_t number)
{
    for (; number > 0x7f; number >>= 7)
        put(request, &(uint8_t){(uint8_t)(number | 0x80)}, 1);
    put(request, &(uint8_t){(uint8_t)number}, 1);
}

static void put_text(struct request *request, const void *text, size_t length)
{
    put_variable(request, (uint64_t)length << 1);
    put(request, text, length);
}

/* A record, as its own length has to be known before it: made apart. */
static void put_record(
    struct request *request, const struct form *form, unsigned index, const char *ids)
{
    static struct request body;
    static const char value[2000] = {0};
    char key[16];
    body.length = 0;
    put(&body, "", 1);
    put_variable(&body, 0);
    put_variable(&body, (uint64_t)index << 1);
    put_text(&body, key, (size_t)snprintf(key, sizeof(key), "k%u", index));
    put_text(&body, value, form->value_bytes + index % 7);
    put_variable(&body, ((uint64_t)(index % 2) + (ids != NULL)) << 1);
    if (ids != NULL) {
        put_text(&body, "traceparent", 11);
        put_text(&body, ids, IDS);
    }
    size_t behind = body.length;
    if (index % 2)
        put_text(&body, "n", 1), put_text(&body, "odd", 3);
    put_variable(request, (uint64_t)body.length << 1);
    request->ids_at = request->length + behind - IDS;
    put(request, body.bytes, body.length);
}

static void put_batch(struct request *request, const struct form *form, const char *ids)
{
    size_t start = request->length;
    static const uint8_t head[BATCH_HEAD] = {[16] = 2};
    put(request, head, sizeof(head));
    put_number_at(request, start + 57, form->records);
    for (unsigned i = 0; i < form->records; i++)
        put_record(request, form, i, ids);
    put_number_at(request, start + 8, (uint32_t)(request->length - start - 12));
    put_number_at(request, start + 17,
        crc32c_portable(request->bytes + start + CHECKED_AT, request->length - start - CHECKED_AT));
}

/* A length, or how many. */
static void put_length(struct request *request, const struct form *form, size_t length)
{
    if (form->version >= 9)
        put_variable(request, length + 1);
    else
        put_number(request, length, 4);
}

static void make(struct request *request, const struct form *form, const char *ids)
{
    static struct request batch;
    bool is_flexible = form->version >= 9;
    batch.length = request->length = 0;
    put_batch(&batch, form, ids);
    put_number(request, 0, 4);
    put_number(request, form->version, 4);
    put_number(request, 2, 4);
    put(request, "\0\4shop", 6);
    put(request, is_flexible ? "\0\0" : "\xff\xff", 2); /* no tags, no transaction */
    put(request, "\0\1\0\0\5\334", 6);
    put_length(request, form, 1);
    put(request, is_flexible ? "\7orders" : "\0\6orders", is_flexible ? 7 : 8);
    put_length(request, form, form->partitions);
    for (unsigned i = 0; i < form->partitions; i++) {
        put_number(request, i, 4);
        put_length(request, form, batch.length);
        request->ids_at = request->length + batch.ids_at;
        put(request, batch.bytes, batch.length);
        put(request, "", is_flexible);
    }
    put(request, "\0", is_flexible ? 2 : 0);
    put_number_at(request, 0, (uint32_t)(request->length - 4));
}

/* --- the host ------------------------------------------------------------------------------ */

static void kernel_takes(uint8_t first, uint8_t second)
{
    const uint8_t takes[] = {first, second, TAKES_ALL};
    memcpy(kernel.takes, takes, sizeof(takes));
    kernel.takes_at = 0;
}

static struct stream *open_stream(void)
{
    static const char hello[] = "\0\0\0\16\0\22\0\0\0\0\0\1\0\4shop";
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(9092)};
    struct stream *stream = &kernel.streams[0];
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    stream->is_open = true;
    hooked_connect(FD, (struct sockaddr *)&peer, sizeof(peer));
    kernel_takes(TAKES_ALL, TAKES_ALL);
    require(hooked_send(FD, hello, sizeof(hello) - 1, 0) == sizeof(hello) - 1, "it says hello");
    stream->got = 0;
    return stream;
}

/* What is left of it, in buffers of so many bytes; 0: in one. */
static ssize_t offer(const struct request *request, size_t sent, size_t width)
{
    struct iovec buffers[BUFFERS_MAX];
    int count = 0;
    if (width == 0)
        return hooked_send(FD, request->bytes + sent, request->length - sent, 0);
    for (size_t at = sent; at < request->length && count < BUFFERS_MAX;) {
        size_t length = width - at % width;
        length = length < request->length - at ? length : request->length - at;
        buffers[count++] = (struct iovec){(void *)(request->bytes + at), length};
        at += length;
    }
    return hooked_writev(FD, buffers, count);
}

static void say(const struct request *request, size_t width, size_t until)
{
    for (size_t sent = 0; sent < until;) {
        ssize_t went = offer(request, sent, width);
        require(went > 0 ? (size_t)went <= request->length - sent : went < 0 && errno == EAGAIN,
            "the host is told of its own bytes");
        sent += went > 0 ? (size_t)went : 0;
    }
}

static bool is_wanted(const uint8_t *got, size_t length, const struct form *form)
{
    char ids[IDS + 1] = "";
    if (length != wanted.length)
        return false;
    memcpy(ids, got + wanted.ids_at, IDS);
    make(&wanted, form, ids);
    return memcmp(ids, "00-", 3) == 0 && memcmp(got, wanted.bytes, length) == 0;
}

/* --- what is tried ------------------------------------------------------------------------- */

static bool passes(const struct form *form, size_t width, uint8_t first, uint8_t second)
{
    struct stream *stream = open_stream();
    bool is_right = true;
    for (int i = 0; i < 2; i++) { /* the next one, too */
        kernel_takes(i == 0 ? first : TAKES_ALL, i == 0 ? second : TAKES_ALL);
        stream->got = 0;
        say(&plain, width, plain.length);
        is_right = is_right && is_wanted(stream->kernel, stream->got, form);
    }
    hooked_close(FD);
    return is_right;
}

static void begin(const struct form *form)
{
    static const char any[] = "00-1234567890abcdef1234567890abcdef-1234567890abcdef-01";
    make(&plain, form, NULL);
    make(&wanted, form, any);
}

static void test_cuts(const struct form *form, size_t width, uint8_t step)
{
    size_t wrong = 0, tried = 0;
    begin(form);
    for (unsigned first = 0; first <= TAKES_ALL; first += step)
        for (unsigned second = 0; second <= TAKES_ALL; second += 15, tried++)
            if (!passes(form, width, (uint8_t)first, (uint8_t)second) && wrong++ == 0)
                printf("# first %u, then %u\n", first, second);
    CHECK(wrong == 0, "%s, %zu bytes, buffers of %zu: %zu of %zu ways are wrong", form->name,
        plain.length, width, wrong, tried);
}

/* Two, and the beginning of a third, in one call. */
static void test_several(const struct form *form)
{
    static struct request all;
    begin(form);
    all.length = 0;
    for (int i = 0; i < 3; i++)
        put(&all, plain.bytes, i < 2 ? plain.length : plain.length / 2);
    struct stream *stream = open_stream();
    kernel_takes(200, 140);
    say(&all, 5000, all.length);
    size_t got = stream->got, one = wanted.length;
    CHECK(got == 2 * one + plain.length / 2 && is_wanted(stream->kernel, one, form) &&
              is_wanted(stream->kernel + one, one, form) &&
              memcmp(stream->kernel + 2 * one, plain.bytes, plain.length / 2) == 0,
        "two and a half in one call");
    hooked_close(FD);
}

static size_t wide_blocks(void)
{
    size_t count = 0;
    for (size_t i = 0; i < TEXT_WIDES_MAX; i++)
        count += text_wides[i].state != 0;
    return count;
}

/* Of connections that end while something is pending nothing stays behind. */
static void test_closed(const struct form *form)
{
    size_t most = 0;
    text_trim();
    begin(form);
    for (int i = 0; i < 3 * TEXT_WIDES_MAX; i++) {
        open_stream();
        kernel_takes(190, 0);
        require(offer(&plain, 0, 7000) == (ssize_t)plain.length - 1, "all but its last byte");
        most = wide_blocks() > most ? wide_blocks() : most;
        hooked_close(FD);
    }
    CHECK(most <= 2, "closed in the middle: %zu blocks at once", most);
    text_trim();
    CHECK(wide_blocks() == 0, "and no memory is kept");
    CHECK(passes(form, 0, TAKES_ALL, TAKES_ALL), "and the next one gets context");
}

static void test_untouched(const struct form *form)
{
    struct stream *stream = open_stream();
    begin(form);
    say(&plain, 0, plain.length);
    CHECK(stream->got == plain.length && memcmp(stream->kernel, plain.bytes, plain.length) == 0,
        "%s, %zu bytes: goes out as it is", form->name, plain.length);
    hooked_close(FD);
}

static void hear(const void *bytes, size_t length)
{
    char buffer[256];
    kernel.incoming = bytes;
    kernel.incoming_left = length;
    hooked_read(FD, buffer, sizeof(buffer));
}

static void test_refused(const struct form *form)
{
    static const char versions[] = "\0\0\0\12\0\0\0\1\0\0\0\0\0\0";
    static const char refused[] = "\0\0\0\56\0\0\0\2\0\0\0\1\0\6orders\0\0\0\1\0\0\0\1\0\12"
                                  "\0\0\0\0\0\0\0\7\377\377\377\377\377\377\377\377\0\0\0\0";
    struct stream *stream = open_stream();
    begin(form);
    hear(versions, sizeof(versions) - 1);
    say(&plain, 0, plain.length);
    bool has_context = stream->got == wanted.length;
    hear(refused, sizeof(refused) - 1);
    stream->got = 0;
    say(&plain, 0, plain.length);
    CHECK(has_context && stream->got == plain.length, "refused for its size: the next as it is");
    hooked_close(FD);
}

int main(void)
{
    static const struct form batched = {"one batch", 9, 1, 400, 60},
                             several = {"many partitions", 7, 80, 9, 100},
                             whole = {"a megabyte", 9, 2, 550, 900},
                             too_long = {"a batch that would be too long", 9, 1, 9000, 50},
                             short_strict = {"refused", 7, 1, 200, 100};
    char *const environment[] = {"BURDOCK_DIR=/nonexistent", "BURDOCK_STORE=/nonexistent", NULL};
    char *const arguments[] = {"cut", NULL};
    kernel_start();
    config_read(&config, environment, arguments, "cut");
    require(descriptor_start() && thread_start() && process_start(), "the library starts");
    attribution_start();
    test_cuts(&batched, 0, 1);
    test_cuts(&batched, 300, 5);
    test_cuts(&several, 0, 5);
    test_cuts(&several, 1000, 5);
    test_cuts(&whole, 0, 51);
    test_cuts(&whole, 4096, 51);
    test_several(&several);
    test_closed(&several);
    test_untouched(&too_long);
    test_refused(&short_strict);
    CHECK(!process.broken, "the breaker stays shut");
    return tap_done();
}
