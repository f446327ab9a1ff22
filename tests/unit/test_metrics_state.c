/* SPDX-License-Identifier: Apache-2.0 */
/* What a process has measured, as who recovers it reads it: whole, torn, damaged. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "metrics_file.h"
#include "metrics_internal.h"
#include "metrics_state.h"
#include "tap.h"

enum { MEMORY_BYTES = 64 * 1024, FILE_BYTES_MAX = 4 * 1024 * 1024, STATES_MAX = 32 };

static char directory[] = "/tmp/burdock-state-XXXXXX";
static struct config settings;
static struct metrics metrics;
static _Alignas(8) uint8_t memory[MEMORY_BYTES];
static uint8_t contents[FILE_BYTES_MAX];
static struct ring ring;

static void begin(bool is_exponential)
{
    memset(&settings, 0, sizeof(settings));
    snprintf(settings.run_directory, sizeof(settings.run_directory), "%s", directory);
    settings.metric_interval_ms = 60000;
    settings.measures = true;
    settings.signals[SIGNAL_METRICS].destination = DESTINATION_OTLP;
    settings.exponential = is_exponential;
    metrics_init(&metrics, &settings);
}

static void serve(unsigned kind, uint64_t duration_ns)
{
    char path[32];
    snprintf(path, sizeof(path), "G%u", kind);
    struct span span = {.kind = SPAN_KIND_SERVER, .start_ns = 1000, .end_ns = 1000 + duration_ns};
    span.attributes[span.attribute_count++] = (struct span_attribute){
        .key = ATTRIBUTE_HTTP_REQUEST_METHOD, .text = {path, (uint32_t)strlen(path)}};
    span.attributes[span.attribute_count++] =
        (struct span_attribute){.key = ATTRIBUTE_HTTP_RESPONSE_STATUS_CODE,
            .kind = SPAN_VALUE_INTEGER,
            .number = 200 + kind};
    struct measured measured = metrics_find(&metrics, &span);
    metrics_count(&metrics, &measured, &span);
}

static void save(void)
{
    metrics_state_save(&metrics, false, memory, sizeof(memory));
}

static size_t read_file(char path[METRICS_PATH_BYTES])
{
    metrics_file_name(path, rings_file_path(), METRICS_STATE);
    int descriptor = open(path, O_RDONLY);
    ssize_t got = descriptor < 0 ? 0 : read(descriptor, contents, sizeof(contents));
    close(descriptor);
    return got > 0 ? (size_t)got : 0;
}

/* As a dead process left them; *total: of all series, -1: they contradict each other. */
static uint32_t load(const uint8_t *bytes, size_t length, int64_t *total)
{
    char ring_name[METRICS_PATH_BYTES], path[METRICS_PATH_BYTES];
    struct metrics found;
    snprintf(ring_name, sizeof(ring_name), "%s/other.ring", directory);
    metrics_file_name(path, ring_name, METRICS_STATE);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    bool is_written = write(descriptor, bytes, length) == (ssize_t)length;
    close(descriptor);
    metrics_init(&found, &settings);
    uint32_t generation = is_written ? metrics_state_load(&found, AT_FDCWD, ring_name) : 0;
    *total = 0;
    for (uint32_t i = 0; generation != 0 && i < found.memory->series_count && *total >= 0; i++) {
        const struct series *series = &found.memory->series[i];
        uint64_t in_buckets = 0, in_exponential = 0;
        for (unsigned b = 0; b < BUCKETS_MAX; b++)
            in_buckets += series->buckets[b];
        for (unsigned b = 0; settings.exponential && b < EXPONENTIAL_BUCKETS_MAX; b++)
            in_exponential += found.memory->exponentials[i].buckets[b];
        bool is_sound = in_buckets == series->count &&
                        (!settings.exponential || in_exponential == series->count);
        *total = is_sound ? *total + (int64_t)series->count : -1;
    }
    metrics_end(&found);
    unlink(path);
    return generation;
}

/* After each save the file's length, and how many operations it has. */
static void test_cuts(bool is_exponential)
{
    const char *what = is_exponential ? "exponential" : "explicit";
    const size_t step = is_exponential ? 61 : 1; /* a prime */
    char path[METRICS_PATH_BYTES];
    size_t ends[STATES_MAX] = {0}, length = 0;
    uint32_t first = 0;
    int64_t total, wrong = 0, behind = 0;
    begin(is_exponential);
    for (unsigned i = 0; i < STATES_MAX; i++) {
        for (unsigned more = 0; more < 3; more++)
            serve(more == 2 ? i % 5 : 7, (i + 1) * 1000000ull);
        metrics_state_reaches(&ring, i);
        save();
        length = read_file(path);
        ends[i] = length;
        if (i == 0)
            first = load(contents, length, &total);
    }
    uint32_t last = load(contents, length, &total);
    CHECK(last == first + STATES_MAX - 1 && total == 3 * STATES_MAX, "%s: all is there (%lld)",
        what, (long long)total);
    CHECK(ring.counted[(first + STATES_MAX - 1) % 2] == STATES_MAX - 1 &&
              ring.counted[(first + STATES_MAX) % 2] == STATES_MAX - 2,
        "%s: where it reaches in rings, and where the one before did", what);
    for (size_t cut = 0, state = 0; cut < length; cut += step) {
        while (state < STATES_MAX && ends[state] <= cut)
            state++;
        uint32_t generation = load(contents, cut, &total);
        wrong += total != 3 * (int64_t)state || generation != (state == 0 ? 0 : first + state - 1);
    }
    CHECK(wrong == 0, "cuts of %s: anywhere, what was whole before counts (%lld)", what,
        (long long)wrong);
    for (size_t at = 0; at < length; at += 7 * step) {
        contents[at] ^= 0x55;
        load(contents, length, &total);
        behind += total < 0 || total > 3 * STATES_MAX;
        contents[at] ^= 0x55;
    }
    CHECK(behind == 0, "%s: damaged anywhere, nothing that was not counted", what);
}

/* It does not grow for ever, and frames that do not fit the memory follow each other. */
static void test_many(void)
{
    char path[METRICS_PATH_BYTES];
    int64_t total;
    size_t most = 0;
    begin(false);
    for (unsigned i = 0; i < 1000; i++)
        serve(i, 1000000);
    save();
    size_t whole = read_file(path);
    load(contents, whole, &total);
    CHECK(total == 1000, "many series: %lld in %zu bytes", (long long)total, whole);
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < 1000; i++)
            serve(i, 1000000);
        save();
        size_t length = read_file(path);
        most = length > most ? length : most;
        if (load(contents, length, &total) == 0 || total != 1000 * (round + 2))
            break;
    }
    CHECK(total == 41000, "many rounds: %lld", (long long)total);
    CHECK(most < 7 * whole && most > 2 * whole, "written anew now and then: %zu", most);
    size_t before = read_file(path);
    save();
    CHECK(read_file(path) == before, "nothing counted, nothing written");
}

/* What was counted after the file could not be written is in the one that can be. */
static void test_refused(void)
{
    char path[METRICS_PATH_BYTES];
    int64_t total;
    begin(false);
    serve(1, 1000000);
    save();
    close(metrics.state - 1); /* as if the disk were full */
    serve(1, 1000000);
    save();
    uint32_t generation = load(contents, read_file(path), &total);
    CHECK(total == 1, "refused by the disk: it is not there");
    serve(1, 1000000);
    save();
    CHECK(load(contents, read_file(path), &total) == generation + 1, "then the next is");
    CHECK(total == 3, "and says all");
}

int main(void)
{
    if (mkdtemp(directory) == NULL)
        return 1;
    begin(false);
    CHECK(rings_make_file(&settings), "there is a ring file");
    test_cuts(false);
    test_cuts(true);
    test_many();
    test_refused();
    metrics_file_remove(AT_FDCWD, rings_file_path());
    rings_remove_file();
    CHECK(rmdir(directory) == 0, "nothing is left");
    return tap_done();
}
