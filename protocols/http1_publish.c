/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google's Pub/Sub, projects.topics.publish by REST: a request anew, with the context in its head
 * and in the attributes of each message that has none there, as Google's own libraries put it.
 *
 *   head ... Content-Length: N ... | our lines | {"messages":[{"attributes":{...}, ...}, ...]}
 *
 * Given is all of the request and nothing else. What a message can have are texts, and attributes
 * that are texts, so that is all the JSON (RFC 8259) that is read here. If anything else is there,
 * or in the head what may say something about the body's bytes, the request stays as it is.
 */
#include "http1.h"

#include <string.h>

enum {
    ATTRIBUTES_MAX = 100, /* of a message; and bytes of a value: "Pub/Sub quotas and limits" */
    VALUE_BYTES_MAX = 1024
};

const char protocol_rewritten[] = "POST /v1/projects/";

struct editor {
    const struct insertion *insertion;
    const uint8_t *at, *end;
    const uint8_t *copied; /* up to here */
    char *out;
    size_t used, room;
    struct fact length;    /* Content-Length's digits */
    struct fact values[2]; /* of traceparent and tracestate */
    bool is_odd;
};

static void put(struct editor *editor, const void *bytes, size_t length)
{
    editor->is_odd |= length > editor->room - editor->used;
    if (!editor->is_odd && length > 0) {
        memcpy(editor->out + editor->used, bytes, length);
        editor->used += length;
    }
}

/* What is read is put as it stands, up to where something else is. */
static void copy_to(struct editor *editor, const uint8_t *place)
{
    put(editor, editor->copied, (size_t)(place - editor->copied));
    editor->copied = place;
}

static bool is_text(struct fact text, const char *literal, size_t length)
{
    return text.length == length && memcmp(text.text, literal, length) == 0;
}

#define WORD(text) text, sizeof(text) - 1

/* --- the head ----------------------------------------------------------------------------------
 */

/* In any case of letters; the word is in lower case. */
static bool has(struct fact text, const char *word, size_t length)
{
    for (uint32_t from = 0; from + length <= text.length; from++) {
        size_t same = 0;
        while (same < length && (text.text[from + same] | 0x20) == word[same]) {
            same++;
        }
        if (same == length) {
            return true;
        }
    }
    return false;
}

/* May this be about the bytes of the body, or how they travel? */
static bool is_about_body(struct fact name)
{
    static const char words[] = "sign digest hash md5 sha1 sha2 sha5 hmac crc checksum x-amz- "
                                "content-enc content-ran transfer-enc expect trailer upgrade ";
    const char *word = words, *end;
    while ((end = memchr(word, ' ', (size_t)(words + sizeof words - word))) != NULL) {
        if (has(name, word, (size_t)(end - word))) {
            return true;
        }
        word = end + 1;
    }
    return false;
}

/* POST /v1/projects/PROJECT/topics/TOPIC:publish HTTP/1.1; a query may follow. That it begins so is
 * known. */
static bool is_publish(struct fact line)
{
    static const char end[] = " HTTP/1.1", verb[] = ":publish";
    const uint8_t *at = line.text + sizeof protocol_rewritten - 1, *stop = line.text + line.length;
    if (line.length < sizeof protocol_rewritten + sizeof end + sizeof verb ||
        memcmp(stop - (sizeof end - 1), end, sizeof end - 1) != 0) {
        return false;
    }
    stop -= sizeof end - 1;
    const uint8_t *query = memchr(at, '?', (size_t)(stop - at));
    if (query != NULL && has((struct fact){query, (uint32_t)(stop - query)}, WORD("sign"))) {
        return false;
    }
    stop = query != NULL ? query : stop;
    at = memchr(at, '/', (size_t)(stop - at));
    return at != NULL && (size_t)(stop - at) >= sizeof "/topics/" + sizeof verb - 1 &&
           memcmp(at, "/topics/", 8) == 0 && memchr(at + 8, '/', (size_t)(stop - at) - 8) == NULL &&
           memcmp(stop - (sizeof verb - 1), verb, sizeof verb - 1) == 0;
}

static void read_length(struct editor *editor, struct fact value)
{
    editor->is_odd |= editor->length.length != 0 || value.length == 0;
    for (uint32_t i = 0; i < value.length; i++) {
        editor->is_odd |= value.text[i] < '0' || value.text[i] > '9';
    }
    editor->length = value;
}

static void read_header(struct editor *editor, struct fact line)
{
    const uint8_t *colon = memchr(line.text, ':', line.length);
    if (colon == NULL || line.text[0] <= ' ') {
        editor->is_odd = true; /* a fold */
        return;
    }
    struct fact name = {line.text, (uint32_t)(colon - line.text)};
    struct fact value = {colon + 1, line.length - name.length - 1};
    for (; value.length > 0 && value.text[0] == ' '; value.length--) {
        value.text++;
    }
    if (name.length == 14 && has(name, WORD("content-length"))) {
        read_length(editor, value);
    } else if (has(name, WORD("authorization"))) {
        bool is_bearer = value.length > 7 && has((struct fact){value.text, 7}, WORD("bearer "));
        editor->is_odd |= !is_bearer;
    } else {
        editor->is_odd |= is_about_body(name);
    }
}

/* Up to the empty line. */
static void read_head(struct editor *editor)
{
    bool is_first = true;
    while (!editor->is_odd) {
        const uint8_t *from = editor->at;
        const uint8_t *stop = memchr(from, '\n', (size_t)(editor->end - from));
        if (stop == NULL || stop == from || stop[-1] != '\r') {
            break;
        }
        struct fact line = {from, (uint32_t)(stop - 1 - from)};
        if (line.length == 0) {
            editor->is_odd |= editor->length.length == 0;
            return;
        }
        if (is_first) {
            editor->is_odd = !is_publish(line);
        } else {
            read_header(editor, line);
        }
        is_first = false;
        editor->at = stop + 1;
    }
    editor->is_odd = true;
}

/* --- JSON --------------------------------------------------------------------------------------
 */

/* The next byte that is no white space; 0: none. */
static uint8_t next(struct editor *editor)
{
    while (editor->at < editor->end && memchr(" \t\r\n", *editor->at, 4) != NULL) {
        editor->at++;
    }
    return editor->at < editor->end ? *editor->at : 0;
}

static bool take(struct editor *editor, uint8_t byte)
{
    bool is_there = next(editor) == byte;
    editor->at += is_there;
    return is_there;
}

static void need(struct editor *editor, uint8_t byte)
{
    editor->is_odd |= !take(editor, byte);
}

/* Behind a backslash. False: no such escape. */
static bool take_escape(struct editor *editor)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    uint8_t byte = *editor->at++;
    if (byte != 'u') {
        return memchr("\"\\/bfnrt", byte, 8) != NULL;
    }
    for (int i = 0; i < 4; i++) {
        if (editor->at == editor->end || memchr(digits, *editor->at++, 22) == NULL) {
            return false;
        }
    }
    return true;
}

/* As it stands there, without its quotes. has_unicode: it may be read as another one. */
static struct fact text(struct editor *editor, bool *has_unicode)
{
    need(editor, '"');
    const uint8_t *from = editor->at;
    while (!editor->is_odd && editor->at < editor->end && *editor->at != '"') {
        uint8_t byte = *editor->at++;
        editor->is_odd |= byte < ' ';
        if (byte == '\\' && editor->at < editor->end) {
            *has_unicode |= *editor->at == 'u';
            editor->is_odd |= !take_escape(editor);
        }
    }
    struct fact found = {from, (uint32_t)(editor->at - from)};
    need(editor, '"');
    return found;
}

/* A member's; no name that matters is written otherwise than as it is. */
static struct fact name(struct editor *editor)
{
    bool has_unicode = false;
    struct fact found = text(editor, &has_unicode);
    editor->is_odd |= has_unicode;
    need(editor, ':');
    return found;
}

/* --- messages ----------------------------------------------------------------------------------
 */

struct message {
    const uint8_t *inside;     /* behind the brace that opens it */
    const uint8_t *attributes; /* the same of these; NULL: it has none */
    unsigned count;            /* of these */
    bool has_data;
    bool is_carrying;
};

static bool is_context(struct fact name)
{
    static const char prefix[] = "googclient_";
    size_t length = sizeof prefix - 1;
    if (name.length > length && memcmp(name.text, prefix, length) == 0) {
        name = (struct fact){name.text + length, name.length - (uint32_t)length};
    }
    return is_text(name, WORD("traceparent")) || is_text(name, WORD("tracestate"));
}

static void read_attributes(struct editor *editor, struct message *message)
{
    bool is_any = false;
    editor->is_odd |= message->attributes != NULL;
    need(editor, '{');
    message->attributes = editor->at;
    if (take(editor, '}')) {
        return;
    }
    do {
        message->is_carrying |= is_context(name(editor));
        text(editor, &is_any);
        message->count++;
    } while (!editor->is_odd && take(editor, ','));
    need(editor, '}');
}

static void read_message(struct editor *editor, struct message *message)
{
    bool is_any = false;
    need(editor, '{');
    message->inside = editor->at;
    do {
        struct fact member = name(editor);
        if (is_text(member, WORD("attributes"))) {
            read_attributes(editor, message);
        } else {
            uint32_t length = text(editor, &is_any).length;
            message->has_data |= is_text(member, WORD("data")) && length > 0;
        }
    } while (!editor->is_odd && take(editor, ','));
    need(editor, '}');
}

static void put_attribute(struct editor *editor, const char *name, size_t length, struct fact value)
{
    put(editor, WORD("\"googclient_"));
    put(editor, name, length);
    put(editor, WORD("\":\""));
    put(editor, value.text, value.length);
    put(editor, "\"", 1);
}

static void put_context(struct editor *editor)
{
    put_attribute(editor, WORD("traceparent"), editor->values[0]);
    if (editor->values[1].length > 0) {
        put(editor, ",", 1);
        put_attribute(editor, WORD("tracestate"), editor->values[1]);
    }
}

/* Without data and attributes it would be refused: that it is to stay. */
static void edit_message(struct editor *editor)
{
    struct message message = {0};
    read_message(editor, &message);
    unsigned more = 1 + (editor->values[1].length > 0);
    bool fits = message.count + more <= ATTRIBUTES_MAX && (message.has_data || message.count > 0);
    editor->is_odd |= !message.is_carrying && !fits;
    if (editor->is_odd || message.is_carrying) {
        return;
    }
    if (message.attributes != NULL) {
        copy_to(editor, message.attributes);
        put_context(editor);
        put(editor, ",", message.count > 0);
    } else {
        copy_to(editor, message.inside);
        put(editor, WORD("\"attributes\":{"));
        put_context(editor);
        put(editor, "},", 2);
    }
}

static void edit_body(struct editor *editor)
{
    need(editor, '{');
    editor->is_odd |= !is_text(name(editor), WORD("messages"));
    need(editor, '[');
    do {
        edit_message(editor);
    } while (!editor->is_odd && take(editor, ','));
    need(editor, ']');
    need(editor, '}');
    editor->is_odd |= next(editor) != 0 || editor->at != editor->end;
    copy_to(editor, editor->end);
}

/* --- all ---------------------------------------------------------------------------------------
 */

static void put_lines(struct editor *editor)
{
    for (unsigned i = 0; i < editor->insertion->count; i++) {
        const struct context_header *header = &editor->insertion->headers[i];
        put(editor, header->name.text, header->name.length);
        put(editor, ": ", 2);
        put(editor, header->value.text, header->value.length);
        put(editor, "\r\n", 2);
    }
}

static void put_number(struct editor *editor, size_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(editor, digits + at, sizeof digits - at);
}

/* What there is of W3C's; of a state that is too long, or would have escapes, nothing. */
static void find_values(struct editor *editor)
{
    for (unsigned i = 0; i < editor->insertion->count; i++) {
        const struct context_header *header = &editor->insertion->headers[i];
        if (is_text(header->name, WORD("traceparent"))) {
            editor->values[0] = header->value;
        } else if (is_text(header->name, WORD("tracestate")) &&
                   header->value.length <= VALUE_BYTES_MAX &&
                   memchr(header->value.text, '"', header->value.length) == NULL &&
                   memchr(header->value.text, '\\', header->value.length) == NULL) {
            editor->values[1] = header->value;
        }
    }
}

size_t http1_publish(const struct insertion *insertion, char *out)
{
    const uint8_t *from = insertion->replaced.text, *end = from + insertion->replaced.length;
    struct editor editor = {.insertion = insertion,
        .at = from,
        .end = end,
        .copied = from,
        .out = out,
        .room = insertion->room};
    find_values(&editor);
    editor.is_odd = editor.values[0].length == 0;
    read_head(&editor);
    if (editor.is_odd) {
        return 0;
    }
    const uint8_t *empty = editor.at;
    editor.at += 2;
    struct editor counter = editor; /* how long the body will be stands before it */
    counter.copied = counter.at;
    edit_body(&counter);
    copy_to(&editor, editor.length.text);
    put_number(&editor, counter.used);
    editor.copied += editor.length.length;
    copy_to(&editor, empty);
    put_lines(&editor);
    edit_body(&editor);
    return editor.is_odd || counter.is_odd ? 0 : editor.used;
}
