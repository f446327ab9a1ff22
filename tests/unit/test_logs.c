/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines with the ids of their request: which of them get something and where; and a kernel that
 * takes what goes out in pieces, cut at every place, three times, or refuses it. Whatever it does,
 * the log holds each line as the host wrote it, or with all of ours.
 */
#include "logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attribution.h"
#include "config.h"
#include "logs_edit.h"
#include "originals.h"
#include "tap.h"

static const struct trace_ids ids = {{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce,
                                         0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36},
    {0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}, FLAG_SAMPLED | FLAG_DEBUG};
#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define SUFFIX " t=" TRACE
#define MEMBERS "\"trace_id\":\"" TRACE "\",\"span_id\":\"" SPAN "\",\"trace_flags\":\"01\"}"

/* NULL: they stay as they are. */
static const struct example {
    bool several;
    const char *text, *wanted;
} examples[] = {
    {false, "hello\n", "hello" SUFFIX "\n"},
    {false, " \xc3\xa4 {x}\n", " \xc3\xa4 {x}" SUFFIX "\n"},
    {false, "[info] hello\n", "[info] hello" SUFFIX "\n"},
    {false, "{}\n", "{" MEMBERS "\n"},
    {false, "{ }\n", "{ " MEMBERS "\n"},
    {false, "{\"a\":{\"b\":\"}\\\"{\"}}\n", "{\"a\":{\"b\":\"}\\\"{\"}," MEMBERS "\n"},
    {false, "{\"a\": [1, {}]}\n", "{\"a\": [1, {}]," MEMBERS "\n"},
    {false, "", NULL},
    {false, "\n", NULL},
    {false, " \t\n", NULL},
    {false, "hello", NULL},
    {false, "hello\nworld", NULL},
    {false, "hello\r\n", NULL},
    {false, "has a trace_id=1\n", NULL},
    {false, "{\"trace_id\":\"1\"}\n", NULL},
    {false, "{\"a\":1}}\n", NULL},
    {false, "{\"a\":1} \n", NULL},
    {false, " {\"a\":1}\n", NULL},
    {false, "{\"a\":\"}\n", NULL},
    {false, "{\"a\":\"\\\"}\n", NULL},
    {false, "{\"a\":1\n", NULL},
    {false, "{\"a\":1]\n", NULL},
    {false, "{thread} hello {x}\n", NULL},
    {false, "[1,2]\n", NULL},
    {false, "one\ntwo\n", NULL},
    {true, "one\ntwo\n", "one" SUFFIX "\ntwo" SUFFIX "\n"},
    {true, "one\n\ntwo\r\n", "one" SUFFIX "\n\ntwo\r\n"},
    {true, "{\"a\":1}\ntwo\n", "{\"a\":1," MEMBERS "\ntwo" SUFFIX "\n"},
    {true, "{\n  \"a\": 1\n}\n", NULL},
    {true, "one\ntwo", NULL},
};

static void test_examples(void)
{
    static char out[LOGS_WRITE_MAX];
    struct logs_edit edit;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *example = &examples[i];
        struct logs_form form = {" t={trace_id}", example->several};
        size_t length = strlen(example->text);
        char *text = malloc(length + 1); /* with its own end, for sanitizers */
        memcpy(text, example->text, length);
        bool is_edited = logs_edit(text, length, &form, &ids, out, &edit);
        bool is_right = example->wanted == NULL
                            ? !is_edited
                            : is_edited && edit.length == strlen(example->wanted) &&
                                  memcmp(out, example->wanted, edit.length) == 0 &&
                                  logs_of_host(&edit, edit.length) == length;
        CHECK(is_right, "example %zu: %.*s", i, (int)strcspn(example->text, "\n"), example->text);
        free(text);
    }
}

static void test_limits(void)
{
    static char text[LOGS_WRITE_MAX + 1], out[LOGS_WRITE_MAX];
    struct logs_form form = {" t={trace_id}", true};
    struct logs_edit edit;
    memset(text, 'x', sizeof(text));
    size_t ours = strlen(SUFFIX), longest = LOGS_WRITE_MAX - ours - 1, wrong = 0;
    for (size_t length = longest - 3; length <= LOGS_WRITE_MAX; length++) {
        text[length - 1] = '\n';
        bool is_edited = logs_edit(text, length, &form, &ids, out, &edit);
        wrong += is_edited != (length <= longest);
        text[length - 1] = 'x';
    }
    CHECK(wrong == 0, "the longest write with ours has %zu bytes", longest);
    for (size_t i = 0; i < 2 * LOGS_LINES_MAX; i++)
        memcpy(text + 2 * i, "x\n", 2);
    CHECK(logs_edit(text, 4 * LOGS_LINES_MAX, &form, &ids, out, &edit) &&
              edit.count == LOGS_LINES_MAX &&
              edit.length == 4 * LOGS_LINES_MAX + LOGS_LINES_MAX * ours,
        "of many lines the first %d get something", LOGS_LINES_MAX);
    CHECK(!logs_edit("a\0b\n", 4, &form, &ids, out, &edit), "no text: it stays as it is");
}

static void test_suffixes(void)
{
    CHECK(logs_suffix_is_usable(" {trace_id}"), "a suffix");
    CHECK(!logs_suffix_is_usable(" {span_id}"), "one that does not name the trace is none");
    CHECK(!logs_suffix_is_usable("{trace_id}\n"), "nor one with the end of a line");
    CHECK(!logs_suffix_is_usable("{trace_id}{trace_id}{trace_id}{trace_id}{trace_id}{trace_id}"
                                 "{trace_id}{trace_id}"),
        "nor one that is too long");
}

/* --- a kernel -------------------------------------------------------------------------------- */

enum { REFUSES = 0, TAKES_ALL = 9999, TAKES_MAX = 3 };
static struct {
    size_t takes[TAKES_MAX], at, got;
    int error;
    char bytes[4096];
} kernel;

static ssize_t fake_write(int fd, const void *buffer, size_t size)
{
    size_t take = kernel.at < TAKES_MAX ? kernel.takes[kernel.at++] : TAKES_ALL;
    if (take == REFUSES) {
        errno = kernel.error;
        return -1;
    }
    take = take < size ? take : size;
    memcpy(kernel.bytes + kernel.got, buffer, take);
    kernel.got += take;
    return (ssize_t)take;
}

/* As the hook does it. */
static ssize_t hooked_write(int fd, const void *buffer, size_t size)
{
    struct iovec iov = {(void *)buffer, size};
    ssize_t result;
    if (!logs_has(fd))
        return fake_write(fd, buffer, size);
    if (logs_write(fd, &iov, 1, &result))
        return result;
    result = fake_write(fd, buffer, size);
    logs_written(fd, &iov, 1, result);
    return result;
}

/* The host offers again what it was told has not gone. */
static bool say(int fd, const char *line)
{
    size_t length = strlen(line), sent = 0;
    for (int tries = 0; sent < length && tries < 8; tries++) {
        errno = 77;
        ssize_t went = hooked_write(fd, line + sent, length - sent);
        if (went == 0 || went > (ssize_t)(length - sent) || errno != (went > 0 ? 77 : kernel.error))
            return false;
        sent += went > 0 ? (size_t)went : 0;
    }
    return sent == length;
}

static bool is_next(const char **at, const char *plain, const char *joined)
{
    const char *found = strncmp(*at, joined, strlen(joined)) == 0 ? joined : plain;
    if (strncmp(*at, found, strlen(found)) != 0)
        return false;
    *at += strlen(found);
    return true;
}

static const struct pair {
    const char *plain, *joined;
} pairs[] = {{"hello\n", "hello" SUFFIX "\n"}, {"{\"a\":1}\n", "{\"a\":1," MEMBERS "\n"}};

/* Two lines; then all is in order again, and a third one gets its ids. */
static bool passes(int fd, const struct pair *first, const struct pair *second)
{
    kernel.at = kernel.got = 0;
    memset(kernel.bytes, 0, sizeof(kernel.bytes));
    if (!say(fd, first->plain) || !say(fd, second->plain))
        return false;
    kernel.at = TAKES_MAX;
    if (!say(fd, first->plain))
        return false;
    const char *at = kernel.bytes;
    return is_next(&at, first->plain, first->joined) &&
           is_next(&at, second->plain, second->joined) && strcmp(at, first->joined) == 0;
}

static void test_cuts(int fd, const struct pair *first, const struct pair *second, int error)
{
    size_t length = strlen(first->joined), wrong = 0, tried = 0;
    kernel.error = error;
    for (size_t a = 0; a <= length; a++)
        for (size_t b = 0; b <= length; b++)
            for (size_t c = 0; c <= length; c += c < 4 ? 1 : 7, tried++) {
                kernel.takes[0] = a, kernel.takes[1] = b, kernel.takes[2] = c;
                if (!passes(fd, first, second) && wrong++ == 0)
                    printf("# %zu, %zu, %zu: %s\n", a, b, c, kernel.bytes);
            }
    CHECK(wrong == 0, "cuts of %.5s, then %.5s, error %d: %zu of %zu are wrong", first->plain,
        second->plain, error, wrong, tried);
}

static bool message_is(const char *text, const char *wanted)
{
    char message[LOGS_MESSAGE_MAX];
    strcpy(message, text);
    errno = 77;
    bool joined = logs_join_message(message, strlen(text), 6);
    return joined == (wanted != NULL) && errno == 77 &&
           strcmp(message, wanted != NULL ? wanted : text) == 0;
}

/* While a request is at work. */
static void test_messages(void)
{
    static char text[LOGS_MESSAGE_MAX];
    size_t wrong = 0;
    CHECK(message_is("hello", "hello" SUFFIX) && message_is("hello\n", "hello" SUFFIX "\n"),
        "a message with an end and one without");
    CHECK(message_is("{\"a\":1}", "{\"a\":1," MEMBERS), "an object");
    CHECK(message_is("a\nb", NULL) && message_is("\n", NULL) && message_is("a\n\n", NULL) &&
              message_is("a\r", NULL) && message_is("a trace_id=1", NULL),
        "what a line would not get");
    for (size_t length = 1; length < sizeof(text); length++) {
        char wanted[2 * LOGS_MESSAGE_MAX];
        memset(text, 'x', length);
        snprintf(wanted, sizeof(wanted), "%s" SUFFIX, text);
        wrong += !message_is(text, strlen(wanted) < LOGS_MESSAGE_MAX ? wanted : NULL);
    }
    CHECK(wrong == 0, "messages of each length, with ours in %d bytes: %zu are wrong",
        LOGS_MESSAGE_MAX, wrong);
}

static void test_kernel(int fd)
{
    static const int errors[] = {ENOSPC, EINTR, EAGAIN};
    struct context *context = context_take();
    struct thread *self = observe_open();
    context->ids = ids;
    attribution_request(self, context, false);
    observe_close(self);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        test_cuts(fd, &pairs[0], &pairs[1], errors[i]);
        test_cuts(fd, &pairs[1], &pairs[0], errors[i]);
    }
    kernel.at = TAKES_MAX, kernel.got = 0;
    CHECK(say(fd, "part") && say(fd, " one\n") && kernel.got == 9, "a line in parts gets nothing");
    test_messages();
    kernel.got = 0;
    context->is_uncertain = true;
    CHECK(say(fd, "hello\n") && kernel.got == 6, "who is not certain gets nothing");
    CHECK(message_is("hello", NULL), "nor does a message");
    context->is_uncertain = false;
}

/* The number is another file by now, closed and opened behind our back. */
static void test_identity(int fd)
{
    int other = open("/tmp", O_TMPFILE | O_WRONLY | O_APPEND, 0600);
    CHECK(other >= 0 && dup2(other, fd) == fd, "the number becomes another file");
    kernel.got = 0;
    CHECK(say(fd, "hello\n") && kernel.got == 6, "identity is asked for before each line of ours");
    close(other);
}

static void test_classes(void)
{
    int pipes[2], read_only = open("/dev/null", O_RDONLY);
    CHECK(pipe(pipes) == 0 && dup2(pipes[1], 2) == 2, "a pipe");
    CHECK((uint32_t)logs_classify(2) == SLOT_LOG, "a pipe by its number");
    CHECK(logs_classify(pipes[1]) == SLOT_STRANGE, "but by no other");
    CHECK(dup2(read_only, 2) == 2 && logs_classify(2) == SLOT_STRANGE, "/dev/null is no log");
    CHECK(logs_classify(-1) == SLOT_PLAIN, "nor what is not open");
    close(read_only);
    close(pipes[0]);
    close(pipes[1]);
}

int main(void)
{
    char folder[] = "/tmp/burdock-logs-XXXXXX", path[64], environment[96];
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/log", folder);
    snprintf(environment, sizeof(environment), "BURDOCK_LOGS=2, %s/*", folder);
    char *const variables[] = {environment, "BURDOCK_DIR=/nonexistent",
        "BURDOCK_STORE=/nonexistent", "BURDOCK_LOGS_SUFFIX= t={trace_id}", NULL};
    char *const arguments[] = {"logs", NULL};
    config_read(&config, variables, arguments, "logs");
    test_examples();
    test_limits();
    test_suffixes();
    if (!descriptor_start() || !thread_start() || !process_start())
        return 1;
    attribution_start();
    originals.write = fake_write;
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0600);
    descriptor_set(fd, logs_classify(fd));
    CHECK(logs_has(fd), "a file in a folder that is named is a log");
    test_kernel(fd);
    test_identity(fd);
    test_classes();
    CHECK(!process.broken, "the breaker stays shut");
    unlink(path);
    rmdir(folder);
    return tap_done();
}
