/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which rings are drained, and what is together in a request. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "delivery.h"
#include "ring.h"
#include "store.h"
#include "tap.h"

static char root[] = "/tmp/delivery-test-XXXXXX";
static _Alignas(64) uint8_t memory[2][RING_BYTES];

/* Spans that are known by a letter. */
static void commit(struct ring *ring, unsigned spans, char letter)
{
    for (unsigned i = 0; i < spans; i++) {
        struct record *record = (struct record *)(ring->data + ring->head);
        *record = (struct record){.bytes = sizeof(*record),
            .kind = RECORD_EXCHANGE,
            .flags = 1,
            .start_ns = 1,
            .end_ns = 2};
        memset(record->trace_id, letter, sizeof(record->trace_id));
        memset(record->span_id, letter, sizeof(record->span_id));
        ring->head += record->bytes;
    }
}

/* The spans of each request of the store's one file by their letters, the last first, and a point
 * behind each request. */
static const char *stored(void)
{
    static uint8_t file[64 * 1024];
    static char letters[64];
    char path[512] = "";
    DIR *directory = opendir(root);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (strstr(entry->d_name, ".otlp") != NULL)
            snprintf(path, sizeof(path), "%s/%s", root, entry->d_name);
    closedir(directory);
    FILE *input = fopen(path, "r");
    size_t bytes = input == NULL ? 0 : fread(file, 1, sizeof(file), input), offset = 0, length;
    if (input != NULL)
        fclose(input);
    const uint8_t *payload;
    uint32_t torn = 0, count = 0;
    while (store_next(file, bytes, &offset, &payload, &length, &torn)) {
        static const uint8_t head[] = {0x12, 8}; /* Span.span_id */
        const uint8_t *at = payload, *end = payload + length;
        while ((at = memmem(at, (size_t)(end - at), head, sizeof(head))) != NULL &&
               count < sizeof(letters) - 2) {
            if (at[2] >= 'a' && at[2] == at[3])
                letters[count++] = (char)at[2];
            at += 2;
        }
        letters[count++] = '.';
    }
    letters[count] = '\0';
    unlink(path);
    return letters;
}

int main(void)
{
    static struct config settings;
    static struct delivery delivery;
    char variable[64], *environment[] = {variable, NULL}, *arguments[] = {"/usr/bin/shop", NULL};
    CHECK(mkdtemp(root) != NULL, "a directory");
    snprintf(variable, sizeof(variable), "BURDOCK_STORE=%s", root);
    config_read(&settings, environment, arguments, "/usr/bin/shop");
    CHECK(delivery_open(&delivery, &settings), "delivery opens");

    /* A thread that was too early for the ring in the file, whose place is before its own. */
    struct ring *durable = (struct ring *)memory[0], *private = (struct ring *)memory[1];
    private->is_private = 1;
    commit(private, 1, 'a');
    commit(durable, 2, 'b');
    delivery_drain(&delivery, (struct ring *[]){durable, private}, 2, (const uint8_t *)"", 0);
    const char *order = stored();
    CHECK(strcmp(order, "bba.") == 0, "what the thread wrote first comes first: %s", order);
    CHECK(durable->tail == durable->head && private->tail == private->head, "both are empty");

    /* Requests that end in the midst of a ring. */
    settings.batch_spans_max = 3;
    commit(private, 2, 'a');
    commit(durable, 5, 'b');
    delivery_drain(&delivery, (struct ring *[]){durable, private}, 2, (const uint8_t *)"", 0);
    order = stored();
    CHECK(strcmp(order, "baa.bbb.b.") == 0, "one request has spans of several rings: %s", order);
    CHECK(durable->tail == durable->head && private->tail == private->head, "both are empty");

    commit(durable, 1, 'c');
    uint64_t head = ring_head(durable), cursor = ring_cursor(durable);
    commit(durable, 1, 'd');
    CHECK(ring_next(durable, &cursor, head) != NULL && ring_next(durable, &cursor, head) == NULL,
        "what comes later than one looked is not looked at");
    delivery_close(&delivery);
    rmdir(root);
    return tap_done();
}
