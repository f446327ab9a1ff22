/* SPDX-License-Identifier: Apache-2.0 */
/* A described exchange as text, to compare: the name, then key=value, a line each. */
#pragma once

#include "protocol.h"

#include <stdio.h>
#include <string.h>

enum { SPAN_BYTES_MAX = 4096 };

struct writer {
    struct describer describer;
    size_t length;
    char text[SPAN_BYTES_MAX];
};

static const char *const keys[ATTRIBUTE_COUNT] = {
#define ATTRIBUTE(id, key) [ATTRIBUTE_##id] = key,
#include "attributes.def"
#undef ATTRIBUTE
};

static inline void write_text(struct writer *writer, const void *text, size_t length)
{
    if (writer->length + length < sizeof writer->text) {
        memcpy(writer->text + writer->length, text, length);
        writer->length += length;
    }
}

static inline void write_key(struct writer *writer, enum attribute attribute)
{
    write_text(writer, keys[attribute], strlen(keys[attribute]));
    write_text(writer, "=", 1);
}

static inline void take_text(
    struct describer *out, enum attribute attribute, const void *text, size_t length)
{
    write_key((struct writer *)out, attribute);
    write_text((struct writer *)out, text, length);
    write_text((struct writer *)out, "\n", 1);
}

static inline void take_number(struct describer *out, enum attribute attribute, int64_t number)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%lld", (long long)number);
    take_text(out, attribute, text, (size_t)length);
}

static inline void take_open(struct describer *out, enum attribute attribute)
{
    write_key((struct writer *)out, attribute);
}

static inline void take_append(struct describer *out, const void *text, size_t length)
{
    write_text((struct writer *)out, text, length);
}

static inline void take_close(struct describer *out)
{
    write_text((struct writer *)out, "\n", 1);
}

static inline void take_name(struct describer *out, const void *text, size_t length)
{
    write_text((struct writer *)out, text, length);
    write_text((struct writer *)out, "\n", 1);
}

static inline void take_error(struct describer *out)
{
    write_text((struct writer *)out, "ERROR\n", 6);
}

static inline void take_untouched(struct describer *out)
{
    write_text((struct writer *)out, "untouched\n", 10);
}

static inline void take_kind(struct describer *out, enum describer_kind kind)
{
    static const char *const names[] = {"CLIENT", "PRODUCER", "CONSUMER"};
    take_name(out, names[kind], strlen(names[kind]));
}

/* Valid until the next call. */
static inline const char *writer_tell(const struct protocol *protocol, const struct facts *facts)
{
    static struct writer writer;
    writer = (struct writer){.describer = {take_text, take_number, take_open, take_append,
                                 take_close, take_name, take_error, take_kind, take_untouched}};
    protocol->describe(facts, &writer.describer);
    writer.text[writer.length] = '\0';
    return writer.text;
}
