/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts kept for later exchanges: what was kept comes back, by key and by connection; equal texts
 * are stored once, or the connections below would not fit the limit; limits are counted; threads
 * that keep and drop the same texts at once lose none.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "exchange.h"
#include "kept.h"
#include "tap.h"

enum { CONNECTIONS = 200, STATEMENTS = 100, STATEMENT_BYTES = 3000, THREADS = 8, ROUNDS = 20000 };

static struct thread selves[THREADS + 1];

static void keep(struct kept *kept, uint64_t key, const char *text, size_t length)
{
    struct event event = {.kind = EVENT_KEEP,
        .key = key,
        .first = true,
        .last = true,
        .text = (const uint8_t *)text,
        .length = length};
    kept_event(kept, &event);
}

static void keep_text(struct kept *kept, uint64_t key, const char *text)
{
    keep(kept, key, text, strlen(text));
}

static void tell(struct kept *kept, enum event_kind kind, uint64_t key, uint64_t other)
{
    struct event event = {.kind = kind, .key = key, .other = other};
    kept_event(kept, &event);
}

/* Does the key give this text? NULL: none. */
static bool gives(struct kept *kept, uint64_t key, const char *text)
{
    struct exchange *exchange = exchange_take(thread_self, 0, false);
    struct event event = {.kind = EVENT_RECALL, .field = FIELD_QUERY, .key = key};
    kept_recall(kept, exchange, &event);
    bool is_there = exchange->texts[FIELD_QUERY].values > 0;
    bool is_right = text == NULL
                        ? !is_there
                        : is_there && exchange->texts[FIELD_QUERY].length == strlen(text) &&
                              memcmp(exchange_text(exchange, FIELD_QUERY), text, strlen(text)) == 0;
    exchange_free(exchange);
    return is_right;
}

static void test_keys(void)
{
    struct kept one = {0}, two = {0};
    keep_text(&one, 1, "SELECT 1");
    keep_text(&one, 2, "");
    keep_text(&two, 1, "SELECT 2");
    CHECK(gives(&one, 1, "SELECT 1") && gives(&two, 1, "SELECT 2"), "by key and connection");
    CHECK(gives(&one, 2, "") && gives(&one, 3, NULL), "an empty text is one, none is none");
    keep_text(&one, 1, "SELECT 3");
    CHECK(gives(&one, 1, "SELECT 3"), "kept again: the last one");
    tell(&one, EVENT_ALIAS, 7, 1);
    keep_text(&one, 1, "SELECT 4");
    CHECK(
        gives(&one, 7, "SELECT 3") && gives(&one, 1, "SELECT 4"), "another name keeps what it had");
    tell(&one, EVENT_ALIAS, 7, 7);
    CHECK(gives(&one, 7, "SELECT 3"), "a name for itself");
    tell(&one, EVENT_ALIAS, 7, 99);
    CHECK(gives(&one, 7, NULL), "a name for nothing is dropped");
    tell(&one, EVENT_DROP, 1, 0);
    tell(&one, EVENT_DROP, 1, 0);
    CHECK(gives(&one, 1, NULL) && gives(&two, 1, "SELECT 2"), "dropped, twice, here only");
    kept_end(&one);
    CHECK(gives(&one, 2, NULL) && one.count == 0, "the end");
    kept_end(&two);
}

static void test_pieces(void)
{
    static char text[KEPT_TEXT_MAX + 2000];
    struct kept kept = {0};
    struct event event = {.kind = EVENT_KEEP, .key = 5, .text = (uint8_t *)text, .first = true};
    memset(text, 'x', sizeof(text) - 1);
    for (size_t at = 0; at < sizeof(text) - 1; at += event.length) {
        event.text = (uint8_t *)text + at;
        event.length = sizeof(text) - 1 - at < 100 ? sizeof(text) - 1 - at : 100;
        event.last = at + event.length == sizeof(text) - 1;
        kept_event(&kept, &event);
        event.first = false;
    }
    text[KEPT_TEXT_MAX] = '\0';
    CHECK(gives(&kept, 5, text), "a long text in pieces is cut at the limit");
    CHECK(counters[COUNTER_ATTRIBUTES_TRUNCATED] > 0, "and counted");
    event.first = true;
    event.last = false;
    kept_event(&kept, &event);
    kept_end(&kept);
    CHECK(kept.block == 0, "the end in the middle of a text");
}

static void piece(struct kept *kept, uint64_t key, const char *text, bool is_first, bool is_last)
{
    struct event event = {.kind = EVENT_KEEP,
        .key = key,
        .first = is_first,
        .last = is_last,
        .text = (const uint8_t *)text,
        .length = strlen(text)};
    kept_event(kept, &event);
}

/* Each direction may be in the middle of one. */
static void test_two_at_once(void)
{
    struct kept kept = {0};
    keep_text(&kept, 1, "the one before");
    piece(&kept, 1, "one ", true, false);
    piece(&kept, 2, "two ", true, false);
    piece(&kept, 1, "goes on", false, true);
    piece(&kept, 2, "goes on", false, true);
    CHECK(gives(&kept, 1, NULL), "of two at once the first is not kept, nor what was before");
    CHECK(gives(&kept, 2, "two goes on"), "and the second has none of its pieces");
    kept_end(&kept);
}

static void fill(char *out, unsigned statement)
{
    memset(out, 'a' + (char)(statement % 26), STATEMENT_BYTES);
    out[STATEMENT_BYTES] = '\0';
    out[sprintf(out, "SELECT %u", statement)] = ' ';
}

static void test_sharing(void)
{
    static struct kept connections[CONNECTIONS];
    static char text[STATEMENT_BYTES + 1];
    bool all = true;
    for (unsigned i = 0; i < CONNECTIONS; i++)
        for (unsigned j = 0; j < STATEMENTS; j++) {
            fill(text, j);
            keep_text(&connections[i], j, text);
        }
    for (unsigned i = 0; i < CONNECTIONS; i++)
        for (unsigned j = 0; j < STATEMENTS; j++) {
            fill(text, j);
            all &= gives(&connections[i], j, text);
        }
    CHECK(all && counters[COUNTER_KEPT_REFUSED] == 0, "equal texts are stored once");
    for (unsigned i = 0; i < CONNECTIONS; i++)
        kept_end(&connections[i]);
}

static void test_limits(void)
{
    static struct kept kept;
    static char text[STATEMENT_BYTES + 1];
    unsigned i = 0;
    for (; counters[COUNTER_KEPT_REFUSED] == 0 && i < 2 * KEPT_ENTRIES_MAX; i++)
        keep_text(&kept, i, "SELECT 1");
    CHECK(i == KEPT_ENTRIES_MAX + 1, "entries of one connection: %u", i - 1);
    kept_end(&kept);
    counters[COUNTER_KEPT_REFUSED] = 0;
    for (i = 0; counters[COUNTER_KEPT_REFUSED] == 0; i++) {
        static struct kept many[64];
        fill(text, i);
        keep_text(&many[i % 64], i, text);
        if (counters[COUNTER_KEPT_REFUSED] > 0)
            for (unsigned j = 0; j < 64; j++)
                kept_end(&many[j]);
    }
    CHECK(i - 1 == KEPT_BYTES_MAX / 4096, "texts of the process: %u", i - 1);
    keep_text(&kept, 1, "SELECT 1");
    CHECK(gives(&kept, 1, "SELECT 1"), "there is room again");
    kept_end(&kept);
}

static void *keep_and_drop(void *argument)
{
    struct kept kept = {0};
    char text[32];
    size_t wrong = 0;
    thread_self = argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        snprintf(text, sizeof(text), "SELECT %u", i % 7);
        keep_text(&kept, i % 3, text);
        wrong += !gives(&kept, i % 3, text);
        if (i % 5 == 0)
            tell(&kept, EVENT_DROP, (i + 1) % 3, 0);
        if (i % 50 == 0)
            kept_end(&kept);
    }
    kept_end(&kept);
    return (void *)wrong;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];
    size_t wrong = 0;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, keep_and_drop, &selves[i + 1]);
    for (int i = 0; i < THREADS; i++) {
        void *answer;
        pthread_join(threads[i], &answer);
        wrong += (size_t)answer;
    }
    CHECK(wrong == 0, "%d threads keep and drop the same texts", THREADS);
}

static void test_fork(void)
{
    struct kept kept = {0};
    keep_text(&kept, 1, "SELECT 1");
    kept_forked();
    keep_text(&kept, 2, "SELECT 1");
    CHECK(gives(&kept, 1, "SELECT 1") && gives(&kept, 2, "SELECT 1"), "a child has both");
    kept_end(&kept);
}

int main(void)
{
    thread_self = &selves[0];
    if (!process_start())
        return 1;
    test_keys();
    test_pieces();
    test_sharing();
    test_limits();
    test_threads();
    test_fork();
    test_two_at_once();
    return tap_done();
}
