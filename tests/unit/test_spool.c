/* SPDX-License-Identifier: Apache-2.0 */
/* The spool: order, shares, deaths, the cap, and what must not be believed. Others are forked
 * children, whose locks die with them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "counters.h"
#include "otlp.h"
#include "span_build.h"
#include "spool.h"
#include "tap.h"

static char root[] = "/tmp/spool-test-XXXXXX";
static struct config settings;
static uint8_t memory[256 * 1024], buffer[2 * 1024 * 1024];

static void use_directory(const char *name)
{
    memset(&settings, 0, sizeof(settings));
    snprintf(settings.store_directory, sizeof(settings.store_directory), "%s/%s", root, name);
    strcpy(settings.urls[SIGNAL_TRACES], "http://one:4318/v1/traces");
    settings.signals[SIGNAL_TRACES].destination = DESTINATION_OTLP;
    settings.spool_bytes_max = 256u << 20;
    settings.attribute_count_limit = 128;
    settings.attribute_value_limit = UINT32_MAX;
}

/* A request of so many spans, whose names begin with this letter. */
static struct otlp_batch request_of(char letter, unsigned spans)
{
    static struct span_build build;
    struct otlp_batch batch;
    otlp_batch_reset(&batch, memory, sizeof(memory));
    for (unsigned i = 0; i < spans; i++) {
        span_begin(&build, 0);
        build.span.name = span_put(&build, &letter, 1);
        otlp_batch_add(&batch, &build.span, &settings);
    }
    otlp_batch_finish(&batch, (const uint8_t *)"", 0);
    return batch;
}

static bool append(struct spool *spool, char letter, unsigned spans)
{
    struct otlp_batch batch = request_of(letter, spans);
    int error;
    return spool_append(spool, batch.start, (size_t)(batch.limit - batch.start), &error);
}

/* The next request is this one; then it is settled. */
static bool next_is(struct spool *spool, char letter, unsigned spans)
{
    size_t length = spool_next(spool, buffer, sizeof(buffer));
    struct otlp_batch batch = request_of(letter, spans);
    bool is_it = length == (size_t)(batch.limit - batch.start) &&
                 memcmp(buffer, batch.start, length) == 0 && spool_items(buffer, length) == spans;
    spool_settle(spool);
    return is_it;
}

static bool is_empty(struct spool *spool)
{
    return spool_next(spool, buffer, sizeof(buffer)) == 0;
}

static unsigned files_in(const char *directory, uint64_t *bytes)
{
    unsigned files = 0;
    DIR *listing = opendir(directory);
    *bytes = 0;
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        struct stat status;
        if (strstr(entry->d_name, ".otlp") == NULL)
            continue;
        fstatat(dirfd(listing), entry->d_name, &status, AT_SYMLINK_NOFOLLOW);
        *bytes += (uint64_t)status.st_size;
        files++;
    }
    if (listing)
        closedir(listing);
    return files;
}

/* A child that appends and, told so, dies by SIGKILL: its process id. It has done so on return. */
static pid_t other(char letter, unsigned requests, bool lives)
{
    int done[2];
    char byte;
    pipe(done);
    pid_t child = fork();
    if (child == 0) {
        struct spool spool;
        spool_open(&spool, &settings, SIGNAL_TRACES);
        for (unsigned i = 0; i < requests; i++)
            append(&spool, letter, 1 + i);
        write(done[1], "", 1);
        if (!lives)
            raise(SIGKILL);
        pause();
        _exit(1);
    }
    read(done[0], &byte, 1);
    close(done[0]);
    close(done[1]);
    if (!lives)
        waitpid(child, NULL, 0);
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void test_order(void)
{
    struct spool spool;
    uint64_t bytes;
    use_directory("order");
    spool_open(&spool, &settings, SIGNAL_TRACES);
    CHECK(is_empty(&spool), "nothing waits where no directory is");
    CHECK(append(&spool, 'a', 3) && append(&spool, 'b', 500), "two requests are kept");
    CHECK(next_is(&spool, 'a', 3), "the first of them is told first, with its spans");
    CHECK(append(&spool, 'c', 1), "another is kept meanwhile, in another file");
    CHECK(next_is(&spool, 'b', 500) && next_is(&spool, 'c', 1) && is_empty(&spool),
        "then those after it");
    CHECK(files_in(spool.directory, &bytes) == 0, "and their files are gone");
    append(&spool, 'd', 2);
    CHECK(
        spool_next(&spool, buffer, sizeof(buffer)) == spool_next(&spool, buffer, sizeof(buffer)) &&
            next_is(&spool, 'd', 2),
        "a request is told until it is settled");
    spool_close(&spool);
}

static void test_sharing(void)
{
    struct spool spool;
    use_directory("sharing");
    spool_open(&spool, &settings, SIGNAL_TRACES);
    pid_t living = other('l', 2, true);
    CHECK(is_empty(&spool), "what a living process writes is its own");
    other('d', 2, false);
    CHECK(append(&spool, 'm', 7), "one's own beside it");
    CHECK(next_is(&spool, 'd', 1) && next_is(&spool, 'd', 2) && next_is(&spool, 'm', 7) &&
              is_empty(&spool),
        "what a killed one left comes first, since it is older");
    end(living);
    CHECK(next_is(&spool, 'l', 1), "what the other one left, when it is dead");
    pid_t child = fork();
    if (child == 0) {
        struct spool too;
        spool_open(&too, &settings, SIGNAL_TRACES);
        _exit(is_empty(&too) ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(status == 0, "nobody else takes what is being sent");
    spool_close(&spool);
    spool_open(&spool, &settings, SIGNAL_TRACES);
    CHECK(next_is(&spool, 'l', 2) && is_empty(&spool), "who goes on begins behind what was sent");
    spool_close(&spool);
}

static void test_addresses(void)
{
    struct spool spool;
    use_directory("addresses");
    other('a', 1, false);
    strcpy(settings.urls[SIGNAL_TRACES], "http://two:4318/v1/traces");
    spool_open(&spool, &settings, SIGNAL_TRACES);
    CHECK(is_empty(&spool), "what is meant for one collector is not sent to another");
    spool_close(&spool);
    strcpy(settings.urls[SIGNAL_TRACES], "http://one:4318/v1/traces");
    strcpy(settings.headers[SIGNAL_TRACES], "X-Scope-OrgID: shop\r\n");
    spool_open(&spool, &settings, SIGNAL_TRACES);
    CHECK(is_empty(&spool), "nor with other headers, by which it may tell tenants apart");
    append(&spool, 'b', 1);
    spool_close(&spool);
    char command[2200];
    snprintf(command, sizeof(command), "grep -rqE 'shop|Scope|one:4318' %s/spool",
        settings.store_directory);
    CHECK(system(command) != 0, "neither URL nor headers are in the files");
    settings.headers[SIGNAL_TRACES][0] = '\0';
    settings.spool_off = true;
    spool_open(&spool, &settings, SIGNAL_TRACES);
    CHECK(!append(&spool, 'c', 1) && is_empty(&spool), "off is off");
}

/* Lines of logs: a way of their own, also where both have one URL (a server of gRPC); the room is
 * for both, and what is removed is counted as what it is. */
static void test_signals(void)
{
    struct spool spans, lines;
    use_directory("signals");
    settings.signals[SIGNAL_LOGS].destination = DESTINATION_OTLP;
    strcpy(settings.urls[SIGNAL_LOGS], settings.urls[SIGNAL_TRACES]);
    settings.spool_bytes_max = 640 * 1024;
    spool_open(&spans, &settings, SIGNAL_TRACES);
    spool_open(&lines, &settings, SIGNAL_LOGS);
    append(&spans, 's', 3);
    append(&lines, 'l', 2);
    CHECK(
        next_is(&spans, 's', 3) && is_empty(&spans), "spans are told to whom spans are meant for");
    CHECK(next_is(&lines, 'l', 2) && is_empty(&lines), "lines to whom lines are");
    append(&lines, 'l', 2);
    spool_close(&lines);
    spans.takes_all = true;
    CHECK(is_empty(&spans), "who takes all spans takes no lines");
    append(&spans, 's', 3);
    store_release(&spans.writer);
    uint64_t before[] = {
        counters[COUNTER_SPANS_DROPPED_SPOOL], counters[COUNTER_LOGS_DROPPED_SPOOL]};
    for (unsigned i = 0; i < 200; i++)
        append(&lines, 'm', 100);
    CHECK(counters[COUNTER_SPANS_DROPPED_SPOOL] == before[0] + 3 &&
              counters[COUNTER_LOGS_DROPPED_SPOOL] > before[1],
        "what made room is counted as what it was");
    spool_close(&spans);
    spool_close(&lines);
    settings.signals[SIGNAL_TRACES].destination = DESTINATION_NONE;
    spool_open(&lines, &settings, SIGNAL_LOGS);
    CHECK(append(&lines, 'x', 1), "lines need no spans beside them");
    spool_close(&lines);
}

static void test_damage(void)
{
    struct spool spool;
    uint64_t bytes;
    use_directory("damage");
    spool_open(&spool, &settings, SIGNAL_TRACES);
    append(&spool, 'a', 1), append(&spool, 'b', 2);
    char path[sizeof(spool.writer.path)];
    strcpy(path, spool.writer.path);
    struct stat status;
    stat(path, &status);
    truncate(path, status.st_size - 1);
    CHECK(next_is(&spool, 'a', 1) && is_empty(&spool), "a frame that was cut off is not told");
    CHECK(files_in(spool.directory, &bytes) == 0, "and ends its file");
    append(&spool, 'c', 1);
    unlink(spool.writer.path);
    CHECK(append(&spool, 'd', 1) && next_is(&spool, 'd', 1),
        "a file that somebody removed is not written to any more");
    append(&spool, 'e', 1);
    snprintf(path, sizeof(path), "%s/link", root);
    link(spool.writer.path, path);
    CHECK(is_empty(&spool), "a file of two names is not believed");
    spool_close(&spool);
}

/* The oldest go first, and are counted; what others write stays. */
static void test_cap(void)
{
    struct spool spool;
    uint64_t bytes, most = 0, told = 0;
    use_directory("cap");
    settings.spool_bytes_max = 640 * 1024;
    pid_t living = other('l', 3, true);
    spool_open(&spool, &settings, SIGNAL_TRACES);
    uint64_t before = counters[COUNTER_SPANS_DROPPED_SPOOL];
    unsigned kept = 0;
    for (unsigned i = 0; i < 200; i++) {
        kept += append(&spool, 'm', 500);
        files_in(spool.directory, &bytes);
        most = bytes > most ? bytes : most;
    }
    CHECK(kept == 200, "as many as are wanted are kept (%u)", kept);
    CHECK(most <= settings.spool_bytes_max && most > settings.spool_bytes_max * 3 / 4,
        "the cap holds and is used (%llu)", (unsigned long long)most);
    size_t length;
    while ((length = spool_next(&spool, buffer, sizeof(buffer))) != 0) {
        told += spool_items(buffer, length);
        spool_settle(&spool);
    }
    uint64_t dropped = counters[COUNTER_SPANS_DROPPED_SPOOL] - before;
    CHECK(told + dropped == 200 * 500 && dropped > 0 && told > 0,
        "%llu are told, %llu were dropped: none is missing", (unsigned long long)told,
        (unsigned long long)dropped);
    end(living);
    CHECK(next_is(&spool, 'l', 1) && next_is(&spool, 'l', 2) && next_is(&spool, 'l', 3),
        "what a living one wrote was not touched, though it was the oldest");
    spool_close(&spool);
    settings.spool_bytes_max = 100;
    spool_open(&spool, &settings, SIGNAL_TRACES);
    CHECK(!append(&spool, 'm', 500), "what is larger than the cap is not kept");
    spool_close(&spool);
}

static void test_limit(void)
{
    use_directory("limit");
    pid_t child = fork();
    if (child == 0) {
        struct spool spool;
        struct rlimit limit = {4000, 4000};
        setrlimit(RLIMIT_FSIZE, &limit);
        spool_open(&spool, &settings, SIGNAL_TRACES);
        bool is_small_kept = append(&spool, 's', 1);
        _exit(is_small_kept && !append(&spool, 'l', 500) && next_is(&spool, 's', 1) ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(status == 0, "a limit of the file size refuses what is too large, without a signal (%d)",
        status);
}

static void test_directories(void)
{
    struct stat status;
    use_directory("shared");
    mkdir(settings.store_directory, 0700);
    chmod(settings.store_directory, 01777);
    struct spool spool;
    spool_open(&spool, &settings, SIGNAL_TRACES);
    append(&spool, 'a', 1);
    CHECK(stat(spool.directory, &status) == 0 && (status.st_mode & 07777) == 01777,
        "where all may write into the store, all may into its spool (%o)", status.st_mode);
    CHECK(stat(spool.writer.path, &status) == 0 && (status.st_mode & 07777) == 0600,
        "its files are their owner's");
    spool_close(&spool);
    snprintf(settings.spool_directory, sizeof(settings.spool_directory), "%s/else/where", root);
    spool_open(&spool, &settings, SIGNAL_TRACES);
    CHECK(append(&spool, 'a', 1) && strstr(spool.writer.path, "/else/where/") != NULL,
        "another directory is made, with its parents");
    spool_close(&spool);
}

static void test_counting(void)
{
    struct otlp_batch batch = request_of('x', 77);
    size_t length = (size_t)(batch.limit - batch.start);
    unsigned wrong = 0;
    for (size_t cut = 0; cut <= length; cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, batch.start, cut);
        wrong += spool_items(copy, cut) > 77;
        free(copy);
    }
    CHECK(spool_items(batch.start, length) == 77 && wrong == 0,
        "spans are counted, in what is cut at any length too");
    uint64_t seed = 88172645463325252u;
    uint32_t most = 0;
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t *noise = malloc(64);
        for (size_t j = 0; j < 64; j++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            noise[j] = seed % 3 ? (uint8_t)((seed >> 20) % 32) : (uint8_t)(seed >> 20);
        }
        uint32_t found = spool_items(noise, 64);
        most = found > most ? found : most;
        free(noise);
    }
    CHECK(most <= 32, "noise has no more spans than fit (%u)", most);
}

/* What is too large for the collector goes in parts, which are requests as any. */
static void test_parts(void)
{
    static uint8_t resource[OTLP_RESOURCE_BYTES_MAX];
    uint32_t bytes = 1;
    struct otlp_batch batch = request_of('a', 5), part;
    size_t length = (size_t)(batch.limit - batch.start);
    memcpy(buffer, batch.start, length);
    CHECK(!otlp_batch_reopen(&batch, buffer, sizeof(buffer), length - 1, resource, &bytes) &&
              !otlp_batch_reopen(&batch, buffer, length, length, resource, &bytes),
        "neither what is cut nor what has no room is taken apart");
    buffer[length - 1] ^= 1;
    CHECK(!otlp_batch_reopen(&batch, buffer, sizeof(buffer), length, resource, &bytes),
        "nor what another version wrote");
    buffer[length - 1] ^= 1;
    CHECK(otlp_batch_reopen(&batch, buffer, sizeof(buffer), length, resource, &bytes) &&
              batch.spans == 5 && bytes == 0,
        "a request is a batch again");
    otlp_batch_take_first(&batch, 2, &part);
    uint8_t *first = buffer + sizeof(buffer) - length; /* the part's head is written over others */
    CHECK(batch.spans == 3 && part.start > first, "of which a part is taken");
    CHECK(otlp_batch_finish(&part, resource, bytes), "and finished");
    struct otlp_batch wanted = request_of('a', 2);
    CHECK(part.limit - part.start == wanted.limit - wanted.start &&
              memcmp(part.start, wanted.start, (size_t)(part.limit - part.start)) == 0,
        "it is the request of its spans");
}

int main(void)
{
    if (mkdtemp(root) == NULL)
        return 99;
    test_order();
    test_sharing();
    test_addresses();
    test_signals();
    test_damage();
    test_cap();
    test_limit();
    test_directories();
    test_counting();
    test_parts();
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    return tap_done() | (system(command) != 0);
}
