/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines put into streams of the C library: the same pieces go into two files, one of which is a
 * log; without ours both hold the same, whatever the buffers are and wherever the pieces are cut,
 * and no line has a part of ours. And a C library that takes only a part.
 */
#include "logs_stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "attribution.h"
#include "config.h"
#include "logs_edit.h"
#include "tap.h"
#include "thread.h"

static const struct trace_ids ids = {{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce,
                                         0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36},
    {0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}, FLAG_SAMPLED};
#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SUFFIX " t=" TRACE
#define MEMBERS "\"trace_id\":\"" TRACE "\",\"span_id\":\"00f067aa0ba902b7\",\"trace_flags\":\"01\""

static char folder[] = "/tmp/burdock-stdio-XXXXXX";
static struct context *context;

static FILE *open_log(const char *name, int mode)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    unlink(path);
    FILE *file = fopen(path, "a");
    setvbuf(file, NULL, mode, mode == _IONBF ? 0 : 64); /* it overflows often */
    descriptor_set(fileno(file), logs_classify(fileno(file)));
    return file;
}

static size_t content(const char *name, char *out, size_t room)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, out, room - 1);
    close(fd);
    out[length < 0 ? 0 : length] = '\0';
    return length < 0 ? 0 : (size_t)length;
}

/* As the hooks do it. */
static int put(FILE *file, const char *text)
{
    struct logs_text it = {text, strlen(text), false};
    size_t went;
    if (!logs_put(file, fwrite, true, &it, &went))
        return fputs(text, file) == EOF ? EOF : 1;
    return went == it.length ? 1 : EOF;
}

__attribute__((format(printf, 2, 3))) static int print(FILE *file, const char *format, ...)
{
    va_list arguments;
    int result;
    va_start(arguments, format);
    if (!logs_print(file, fwrite, format, arguments, &result)) {
        va_end(arguments);
        va_start(arguments, format);
        /* The declaration has it that there is one. */
        result = format == NULL ? -1 : vfprintf(file, format, arguments);
    }
    va_end(arguments);
    return result;
}

/* --- lines ------------------------------------------------------------------------------------ */

static const struct example {
    const char *pieces[5];
    const char *wanted;
} examples[] = {
    {{"hello\n"}, "hello" SUFFIX "\n"},
    {{"hel", "lo", "\n"}, "hello" SUFFIX "\n"},
    {{"{\"a\":1}\n"}, "{\"a\":1," MEMBERS "}\n"},
    {{"{\"a\":", "1}\n"}, "{\"a\":1," MEMBERS "}\n"},
    {{"{\"a\":1", "}", "\n"}, "{\"a\":1}\n"},
    {{"{\"a\":1", "\n}\n", "b\n"}, "{\"a\":1\n}\nb" SUFFIX "\n"},
    {{"tra", "ce_id", "=1\n"}, "trace_id=1\n"},
    {{"a\nb\n"}, "a\nb\n"},
    {{"a\nb", "c\n"}, "a\nbc" SUFFIX "\n"},
    {{"a", "\nb\n", "c\n"}, "a\nb\nc" SUFFIX "\n"},
    {{" ", "\t", "\n"}, " \t\n"},
    {{"a", "\r\n"}, "a\r\n"},
    {{"[", "1]", "\n"}, "[1]\n"},
    {{"a"}, "a"},
};

static void test_examples(void)
{
    static const int modes[] = {_IOFBF, _IOLBF, _IONBF};
    char got[4096];
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        for (int k = 0; k < 3; k++) {
            FILE *file = open_log("log", modes[k]);
            for (int n = 0; n < 5 && examples[i].pieces[n] != NULL; n++)
                put(file, examples[i].pieces[n]);
            logs_closing(file);
            fclose(file);
            content("log", got, sizeof(got));
            if (strcmp(got, examples[i].wanted) != 0 && ++wrong)
                printf("# %zu, mode %d: %s\n", i, modes[k], got);
        }
    CHECK(wrong == 0, "each example with each kind of buffer");
}

static void test_others(void)
{
    static char longest[2 * LOGS_WRITE_MAX];
    char got[3 * LOGS_WRITE_MAX];
    FILE *file = open_log("log", _IONBF);
    memset(longest, 'x', sizeof(longest) - 2);
    longest[sizeof(longest) - 2] = '\n';
    CHECK(put(file, longest) == 1, "a long line goes as it is");
    put(file, "a");
    context->ids.span_id[7] ^= 1;
    put(file, "b\n");
    context->ids.span_id[7] ^= 1;
    CHECK(content("log", got, sizeof(got)) == strlen(longest) + 3,
        "a line that was begun in another request has no ids");
    put(file, "a");
    CHECK(write(fileno(file), "w\n", 2) == 2, "somebody else writes");
    logs_written(fileno(file), &(struct iovec){"w\n", 2}, 1, 2);
    put(file, "b\n");
    CHECK(content("log", got, sizeof(got)) == strlen(longest) + 8, "then the rest stays as it is");
    for (int i = 0; i < 300; i++)
        put(file, "0123456789");
    put(file, "\n");
    put(file, "c\n");
    size_t length = content("log", got, sizeof(got));
    CHECK(length == strlen(longest) + 8 + 3001 + 2 + strlen(SUFFIX) &&
              strcmp(got + length - strlen("\nc" SUFFIX "\n"), "\nc" SUFFIX "\n") == 0,
        "pieces of too long a line do as well; the next line has its ids");
    fclose(file);
}

/* --- what printf gives back --------------------------------------------------------------------
 */

static void test_printf(void)
{
    char got[LOGS_WRITE_MAX * 3];
    int count = 0;
    FILE *file = open_log("log", _IOFBF);
    errno = EDOM;
    CHECK(print(file, "%s %5.1f %m\n", "a", 2.5) ==
              (int)strlen("a   2.5 ") + (int)strlen(strerror(EDOM)) + 1,
        "the count is that of the host's bytes");
    CHECK(print(file, "%s", "") == 0 && print(file, "b") == 1 && print(file, "%s", "") == 0 &&
              print(file, "%c\n", 'c') == 2,
        "nothing does not end a line");
    CHECK(print(file, "%d%n\n", 7, &count) == 2 && count == 1, "%%n is counted, once");
    CHECK(print(file, "%2$d %1$d\n", 1, 2) == 4, "positions");
    CHECK(print(file, "%9000d\n", 1) == 9001 && print(file, "d\n") == 2, "a long one");
    const char *volatile none = NULL;
    CHECK(print(file, none) == -1, "no format is libc's to refuse");
    fclose(file);
    content("log", got, sizeof(got));
    char *at = strchr(got, '\n') + 1;
    static const char begin[] = "bc" SUFFIX "\n7\n2 1\n", end[] = "1\nd" SUFFIX "\n";
    CHECK(
        strncmp(at, begin, strlen(begin)) == 0 && strcmp(got + strlen(got) - strlen(end), end) == 0,
        "lines get their ids, what is not ours to format stays as it is");
}

/* --- pieces at random --------------------------------------------------------------------------
 */

static uint64_t seed = 88172645463325252u;

static unsigned below(unsigned limit)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed % limit);
}

static const char *const pieces[] = {"a", "\n", "b c", "{", "}", "{}", "{\"a\":1}\n", "line\n",
    "\"", "one\ntwo\n", "", " ", "[]", "\r\n", "trace", "_id", "a fairly long piece of a line ",
    "x\ny"};

static void remove_all(char *text, const char *what)
{
    for (char *at = text; (at = strstr(at, what)) != NULL;)
        memmove(at, at + strlen(what), strlen(at + strlen(what)) + 1);
}

static bool is_same(int mode)
{
    static char got[1 << 17], wanted[1 << 16];
    FILE *file = open_log("log", mode), *other = open_log("other", mode);
    descriptor_set(fileno(other), SLOT_PLAIN);
    bool same = true;
    for (int i = 0; i < 200; i++) {
        const char *piece = pieces[below(sizeof(pieces) / sizeof(pieces[0]))];
        switch (below(8)) {
        case 0:
            same &= print(file, "%s", piece) == fprintf(other, "%s", piece);
            break;
        case 1: /* past all functions */
            same &= putc_unlocked(*piece | 1, file) == putc_unlocked(*piece | 1, other);
            break;
        case 2:
            same &= fflush(file) == fflush(other);
            break;
        case 3: /* by the descriptor */
            same &= fflush(file) == fflush(other);
            same &= write(fileno(file), "w\n", 2) == write(fileno(other), "w\n", 2);
            logs_written(fileno(file), &(struct iovec){"w\n", 2}, 1, 2);
            break;
        default:
            same &= put(file, piece) == (fputs(piece, other) == EOF ? EOF : 1);
        }
    }
    logs_closing(file);
    same &= fclose(file) == fclose(other);
    content("log", got, sizeof(got));
    content("other", wanted, sizeof(wanted));
    size_t before = strlen(got);
    remove_all(got, SUFFIX);
    remove_all(got, "," MEMBERS);
    remove_all(got, MEMBERS); /* of an empty object */
    return same && before > strlen(wanted) && strcmp(got, wanted) == 0;
}

static void test_random(void)
{
    static const int modes[] = {_IOFBF, _IOLBF, _IONBF};
    int wrong = 0;
    for (int i = 0; i < 900; i++)
        wrong += !is_same(modes[i % 3]);
    CHECK(wrong == 0, "900 files of pieces at random are as without us: %d are not", wrong);
}

/* --- a C library that takes only a part ----------------------------------------------------------
 */

static size_t taken;

static size_t fake_fwrite(const void *data, size_t size, size_t count, FILE *file)
{
    errno = ENOSPC;
    return taken < size * count ? taken : size * count;
}

static void test_parts(void)
{
    FILE *file = open_log("log", _IONBF);
    size_t wrong = 0, ours = strlen(SUFFIX);
    for (taken = 0; taken <= 6 + ours; taken++) {
        struct logs_text text = {"hello\n", 6, false};
        size_t went = 99, wanted = taken <= 5 ? taken : taken <= 5 + ours ? 5 : 6;
        errno = 77;
        wrong +=
            !logs_put(file, fake_fwrite, true, &text, &went) || went != wanted || errno != ENOSPC;
    }
    CHECK(wrong == 0, "of each part the host's bytes are counted, and errno is the C library's");
    fclose(file);
}

static void test_streams(void)
{
    char *data;
    size_t length;
    FILE *memory = open_memstream(&data, &length), *wide = open_log("log", _IONBF),
         *reading = fopen("/dev/null", "r");
    fwide(wide, 1);
    CHECK(!logs_may_have_stream(memory) && !logs_may_have_stream(wide) &&
              !logs_may_have_stream(reading) && !logs_may_have_stream(NULL),
        "not of memory, of wide characters, for reading");
    fclose(memory);
    fclose(reading);
    fclose(wide);
    free(data);
    FILE *file = open_log("log", _IONBF);
    CHECK(logs_may_have_stream(file), "but one of a file");
    context->is_uncertain = true;
    char got[64];
    put(file, "hello\n");
    CHECK(content("log", got, sizeof(got)) == 6, "who is not certain gets nothing");
    context->is_uncertain = false;
    fclose(file);
}

int main(void)
{
    char environment[96], path[96];
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(environment, sizeof(environment), "BURDOCK_LOGS=%s/log", folder);
    char *const variables[] = {environment, "BURDOCK_DIR=/nonexistent",
        "BURDOCK_STORE=/nonexistent", "BURDOCK_LOGS_SUFFIX= t={trace_id}", NULL};
    char *const arguments[] = {"logs", NULL};
    config_read(&config, variables, arguments, "logs");
    if (!descriptor_start() || !thread_start() || !process_start())
        return 1;
    attribution_start();
    logs_stdio = LOGS_STDIO_ON;
    context = context_take();
    struct thread *self = observe_open();
    context->ids = ids;
    attribution_request(self, context, false);
    observe_close(self);
    test_examples();
    test_others();
    test_printf();
    test_random();
    test_parts();
    test_streams();
    CHECK(!process.broken, "the breaker stays shut");
    for (const char *name = "log\0other\0"; *name != '\0'; name += strlen(name) + 1) {
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        unlink(path);
    }
    rmdir(folder);
    return tap_done();
}
