/* SPDX-License-Identifier: Apache-2.0 */
/* Field after field of an encoded message, whoever encoded it. Pure; every bound is checked. */
#pragma once

#include <string.h>

#include "otlp_write.h"

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;      /* of all but WIRE_BYTES, as it stands there */
    const uint8_t *data; /* of WIRE_BYTES */
    size_t length;
};

static inline bool wire_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* The next field; *at moves behind it. False: there is no more, or what is there is no field. */
static inline bool wire_next(const uint8_t **at, const uint8_t *end, struct wire_field *field)
{
    uint64_t tag;
    if (*at == end || !wire_varint(at, end, &tag))
        return false;
    *field = (struct wire_field){.number = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7)};
    size_t left = (size_t)(end - *at), size = field->type == WIRE_FIXED64 ? 8 : 4;
    if (field->type == WIRE_VARINT)
        return wire_varint(at, end, &field->value);
    if (field->type == WIRE_BYTES) {
        uint64_t length;
        if (!wire_varint(at, end, &length) || length > (uint64_t)(end - *at))
            return false;
        field->data = *at;
        field->length = (size_t)length;
        *at += length;
        return true;
    }
    if ((field->type != WIRE_FIXED64 && field->type != WIRE_FIXED32) || left < size)
        return false;
    memcpy(&field->value, *at, size);
    *at += size;
    return true;
}

/* The first field of this number and type. False: the message has none. */
static inline bool wire_find(const uint8_t *data, size_t length, uint32_t number,
    enum wire_type type, struct wire_field *field)
{
    const uint8_t *at = data;
    while (wire_next(&at, data + length, field))
        if (field->number == number && field->type == type)
            return true;
    return false;
}
