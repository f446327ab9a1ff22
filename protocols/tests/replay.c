/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay [--print | --seeds <folder>] <protocol> <file>...
 *
 * Plays vectors whole, byte by byte, and cut at every length; each as client and as server, and
 * with and without pauses at splices. --print shows what is told, to draft a vector's
 * expectations; --seeds writes each vector as a file for the fuzzer. The format of vectors is in
 * docs/HOWTO_ADD_PROTOCOL.md.
 */
#include "play.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

enum { OPS_MAX = 512, BYTES_MAX = 1 << 21, CUTS_MAX = 1500, LINE_BYTES_MAX = 4096 };

struct vector {
    char title[LINE_BYTES_MAX];
    struct op ops[OPS_MAX];
    size_t op_count;
    uint8_t bytes[BYTES_MAX];
    size_t byte_count;
    struct transcript expected;
};

static const struct protocol *protocol;
static const char *seed_folder;
static bool prints;
static struct vector vector;
static struct transcript actual;

static void fail(const char *what, const char *line)
{
    fprintf(stderr, "%s: %s\n", what, line);
    exit(2);
}

static int hex_digit(char byte)
{
    const char *digits = "0123456789abcdef";
    const char *found = byte != '\0' ? strchr(digits, byte) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

/* One byte of a line, escapes as in C. */
static const char *unescape(const char *text, uint8_t *byte)
{
    static const char letters[] = "rnt0\\s", values[] = "\r\n\t\0\\ ";
    if (text[0] != '\\') {
        *byte = (uint8_t)text[0];
        return text + 1;
    }
    if (text[1] == 'x' && hex_digit(text[2]) >= 0 && hex_digit(text[3]) >= 0) {
        *byte = (uint8_t)(hex_digit(text[2]) * 16 + hex_digit(text[3]));
        return text + 4;
    }
    const char *letter = text[1] != '\0' ? strchr(letters, text[1]) : NULL;
    if (letter == NULL) {
        fail("unknown escape", text);
    }
    *byte = (uint8_t)values[letter - letters];
    return text + 2;
}

static struct op *add_op(enum op_kind kind, enum direction direction)
{
    if (vector.op_count == OPS_MAX) {
        fail("too many operations", vector.title);
    }
    struct op *op = &vector.ops[vector.op_count++];
    *op = (struct op){kind, direction, vector.bytes + vector.byte_count, 0};
    return op;
}

/* Lines of one direction that follow each other are one run of bytes. */
static struct op *run_of(enum direction direction)
{
    struct op *last = vector.op_count > 0 ? &vector.ops[vector.op_count - 1] : NULL;
    bool goes_on = last != NULL && last->kind == OP_FEED && last->direction == direction;
    return goes_on ? last : add_op(OP_FEED, direction);
}

static void add_bytes(enum direction direction, const char *text)
{
    struct op *op = run_of(direction);
    while (*text != '\0') {
        if (vector.byte_count == BYTES_MAX) {
            fail("too many bytes", vector.title);
        }
        text = unescape(text, &vector.bytes[vector.byte_count++]);
        op->length++;
    }
}

static void read_operation(enum direction direction, const char *text)
{
    char *rest;
    if (text[0] == ' ') {
        add_bytes(direction, text + 1);
    } else if (text[0] == '*') {
        long times = strtol(text + 1, &rest, 10);
        while (times-- > 0) {
            add_bytes(direction, rest + 1);
        }
    } else if (strncmp(text, "skip ", 5) == 0) {
        add_op(OP_SKIP, direction)->length = strtoull(text + 5, NULL, 10);
    } else if (strcmp(text, "end") == 0) {
        add_op(OP_FINISH, direction);
    } else {
        fail("unknown operation", text);
    }
}

static void expect(const char *line)
{
    struct transcript *expected = &vector.expected;
    int length = snprintf(
        expected->text + expected->length, sizeof expected->text - expected->length, "%s\n", line);
    expected->length += (size_t)length;
}

static struct script script(void)
{
    return (struct script){vector.ops, vector.op_count};
}

static bool play_as(struct plan plan)
{
    for (int way = 0; way < 4; way++) {
        plan.is_mirrored = way & 1;
        plan.pauses = way & 2;
        play(protocol, script(), &plan, &actual);
        if (strcmp(actual.text, vector.expected.text) != 0) {
            printf("# op %zu cut at %zu%s%s, told:\n", plan.cut_op, plan.cut_at,
                plan.is_mirrored ? ", mirrored" : "", plan.pauses ? ", pausing" : "");
            for (char *line = strtok(actual.text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
                printf("#   %s\n", line);
            }
            return false;
        }
    }
    return true;
}

/* Long runs are cut at evenly spread places only, for the sake of time. */
static bool play_cut(void)
{
    for (size_t i = 0; i < vector.op_count; i++) {
        size_t length = vector.ops[i].kind == OP_FEED ? vector.ops[i].length : 0;
        size_t step = length > 20000 ? length / 16 : length / CUTS_MAX + 1;
        for (size_t cut = 1; cut < length; cut += step) {
            if (!play_as((struct plan){.cut_op = i, .cut_at = cut})) {
                return false;
            }
        }
    }
    return true;
}

static void check_vector(void)
{
    CHECK(play_as((struct plan){0}), "%s: whole", vector.title);
    CHECK(play_as((struct plan){.every_byte = true}), "%s: byte by byte", vector.title);
    CHECK(play_cut(), "%s: cut everywhere", vector.title);
}

static void print_vector(void)
{
    play(protocol, script(), &(struct plan){0}, &actual);
    printf("== %s\n", vector.title);
    for (char *line = strtok(actual.text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        printf("= %s\n", line);
    }
}

/* The fuzzer's form of an operation: kind and direction, length, bytes; see fuzz.c. */
static void write_seed(void)
{
    static int count;
    char path[LINE_BYTES_MAX];
    snprintf(path, sizeof path, "%s/vector-%03d", seed_folder, count++);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        fail("cannot write", path);
    }
    for (size_t i = 0; i < vector.op_count; i++) {
        const struct op *op = &vector.ops[i];
        size_t length = op->length < UINT16_MAX ? op->length : UINT16_MAX;
        fputc((int)(op->kind << 1 | op->direction), file);
        fputc((int)(length & 0xff), file);
        fputc((int)(length >> 8), file);
        fwrite(op->bytes, 1, op->kind == OP_FEED ? length : 0, file);
    }
    fclose(file);
}

static void finish_vector(void)
{
    if (vector.title[0] == '\0') {
        return;
    }
    if (prints) {
        print_vector();
    } else if (seed_folder != NULL) {
        write_seed();
    } else {
        check_vector();
    }
}

static void begin_vector(const char *title)
{
    finish_vector();
    vector.op_count = 0;
    vector.byte_count = 0;
    vector.expected.length = 0;
    vector.expected.text[0] = '\0';
    snprintf(vector.title, sizeof vector.title, "%s", title);
}

/* Formats of context that are looked for: one of a parent, one that is passed on. */
static const struct context_row looked_for[] = {
    {"b3", 2, FIELD_CONTEXT}, {"sw8", 3, FIELD_CARRIED}, {"uberctx-", 8, FIELD_CARRIED, true}};
enum { LOOKED_FOR = sizeof looked_for / sizeof looked_for[0] };

static enum field look(const uint8_t *name, size_t length)
{
    for (size_t i = 0; i < LOOKED_FOR; i++) {
        const struct context_row *row = &looked_for[i];
        if ((row->is_open ? length > row->length : length == row->length) &&
            strncasecmp((const char *)name, row->name, row->length) == 0) {
            return (enum field)looked_for[i].field;
        }
    }
    return FIELD_COUNT;
}

static void read_line(char *line)
{
    line[strcspn(line, "\n")] = '\0';
    if (line[0] == '\0' || line[0] == '#') {
        return;
    }
    if (strncmp(line, "== ", 3) == 0) {
        begin_vector(line + 3);
    } else if (strncmp(line, "= ", 2) == 0) {
        expect(line + 2);
    } else if (strcmp(line, "! answers") == 0) {
        protocol_edit_answers(true); /* to the end of the file */
    } else if (strcmp(line, "! envelopes") == 0) {
        protocol_edit_messages(true, true); /* likewise */
    } else if (strcmp(line, "! context") == 0) {
        protocol_look_for_context(look, looked_for, LOOKED_FOR); /* likewise */
    } else if (line[0] == '>' || line[0] == '<') {
        read_operation(line[0] == '>' ? DIRECTION_OUT : DIRECTION_IN, line + 1);
    } else {
        fail("unknown line", line);
    }
}

static void read_file(const char *path)
{
    char line[LINE_BYTES_MAX];
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail("cannot read", path);
    }
    while (fgets(line, sizeof line, file) != NULL) {
        read_line(line);
    }
    begin_vector("");
    protocol_edit_answers(false);
    protocol_edit_messages(true, false);
    protocol_look_for_context(NULL, NULL, 0);
    fclose(file);
}

static const struct protocol *find_protocol(const char *name)
{
    for (const struct protocol *const *row = protocol_rows; *row != NULL; row++) {
        if (strcmp((*row)->name, name) == 0) {
            return *row;
        }
    }
    return NULL;
}

int main(int count, char **arguments)
{
    int at = 1;
    if (at < count && strcmp(arguments[at], "--print") == 0) {
        prints = true;
        at++;
    } else if (at + 1 < count && strcmp(arguments[at], "--seeds") == 0) {
        seed_folder = arguments[at + 1];
        at += 2;
    }
    protocol = at < count ? find_protocol(arguments[at++]) : NULL;
    if (protocol == NULL || at == count) {
        fail("usage", "replay [--print | --seeds <folder>] <protocol> <file>...");
    }
    for (; at < count; at++) {
        read_file(arguments[at]);
    }
    return prints || seed_folder != NULL ? 0 : tap_done();
}
