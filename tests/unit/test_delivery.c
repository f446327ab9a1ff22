/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which rings are drained, and what is together in a request. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "delivery.h"
#include "recover.h"
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

/* The spans of each request of the store's files by their letters, the last first, and a point
 * behind each request. The files go. */
static const char *stored(void)
{
    static uint8_t file[64 * 1024];
    static char letters[64];
    char path[512];
    size_t bytes = 0, offset = 0, length;
    DIR *directory = opendir(root);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", root, entry->d_name);
        FILE *input = strstr(path, ".otlp") == NULL ? NULL : fopen(path, "r");
        if (input == NULL)
            continue;
        bytes += fread(file + bytes, 1, sizeof(file) - bytes, input);
        fclose(input);
        unlink(path);
    }
    closedir(directory);
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
    return letters;
}

static struct {
    _Alignas(64) uint8_t header[RING_FILE_HEADER_BYTES];
    uint8_t ring[RING_BYTES];
} dead;

/* Its ring file, of which a recoverer makes what it can. */
static void recover(struct delivery *delivery, const struct config *settings)
{
    char path[128];
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    struct ring_file *file = (struct ring_file *)dead.header;
    memcpy(file->magic, "BURDOCK", 8);
    file->version = RING_VERSION;
    file->pid = (uint32_t)child;
    file->ring_count = 1;
    snprintf(path, sizeof(path), "%s/burdock-%d-0.ring", root, child);
    FILE *out = fopen(path, "w");
    fwrite(&dead, sizeof(dead), 1, out);
    fclose(out);
    uint64_t lost[COUNTER_COUNT] = {0};
    recover_dead(delivery, settings, NULL, NULL, lost);
    CHECK(access(path, F_OK) != 0, "the ring file has served");
}

/* Three spans are stored, the process dies before it has given their room back, with two more. */
static void die_while_storing(struct delivery *delivery)
{
    struct ring *ring = (struct ring *)dead.ring;
    struct ring_file *file = (struct ring_file *)dead.header;
    memset(&dead, 0, sizeof(dead));
    commit(ring, 3, 'x');
    delivery->intent = &file->intent;
    delivery_drain(delivery, (struct ring *[]){ring}, 1, (const uint8_t *)"", 0);
    delivery->intent = NULL;
    CHECK(!file->intent.is_set && ring->tail == ring->head, "all is given back in the end");
    ring->tail = 0;
    file->intent.is_set = 1;
    commit(ring, 2, 'y');
}

static void test_storing(struct delivery *delivery, const struct config *settings)
{
    struct store_intent *intent = &((struct ring_file *)dead.header)->intent;
    die_while_storing(delivery);
    recover(delivery, settings);
    const char *order = stored();
    CHECK(strcmp(order, "xxx.yy.") == 0, "storing was over, so it is not done again: %s", order);

    die_while_storing(delivery);
    stored();
    recover(delivery, settings);
    order = stored();
    CHECK(strcmp(order, "yyxxx.") == 0, "but where it is not there: %s", order);

    die_while_storing(delivery);
    CHECK(
        truncate(intent->path, (off_t)(intent->at + STORE_HEADER_BYTES + intent->length) - 1) == 0,
        "or not whole");
    recover(delivery, settings);
    order = stored();
    CHECK(strstr(order, "yyxxx.") != NULL, "it is: %s", order);

    die_while_storing(delivery);
    memset(intent->path, 'p', sizeof(intent->path));
    recover(delivery, settings);
    order = stored();
    CHECK(strstr(order, "yyxxx.") != NULL, "and a name that is none is none: %s", order);
}

int main(void)
{
    static struct config settings;
    static struct delivery delivery;
    char variable[64], place[64], *environment[] = {variable, place, NULL},
                                  *arguments[] = {"/usr/bin/shop", NULL};
    CHECK(mkdtemp(root) != NULL, "a directory");
    snprintf(variable, sizeof(variable), "BURDOCK_STORE=%s", root);
    snprintf(place, sizeof(place), "BURDOCK_DIR=%s", root);
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
    settings.batch_spans_max = 512;
    test_storing(&delivery, &settings);
    delivery_close(&delivery);
    CHECK(rmdir(root) == 0, "nothing is left");
    return tap_done();
}
