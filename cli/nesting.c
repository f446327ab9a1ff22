/* SPDX-License-Identifier: Apache-2.0 */
/* The wire format by the Protocol Buffers encoding guide: a tag, then a value of one of four forms.
 */
#include "nesting.h"

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct wire {
    const uint8_t *at, *end;
};

static bool varint(struct wire *wire, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && wire->at < wire->end; shift += 7) {
        uint8_t byte = *wire->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool skip(struct wire *wire, uint64_t bytes)
{
    if (bytes > (uint64_t)(wire->end - wire->at))
        return false;
    wire->at += bytes;
    return true;
}

static const ProtobufCMessageDescriptor *message_kind(
    const ProtobufCMessageDescriptor *kind, uint64_t tag)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(kind, (unsigned)(tag >> 3));
    return field && field->type == PROTOBUF_C_TYPE_MESSAGE ? field->descriptor : NULL;
}

static bool value(
    struct wire *wire, const ProtobufCMessageDescriptor *kind, uint64_t tag, int levels)
{
    uint64_t number;
    switch (tag & 7) {
    case WIRE_VARINT:
        return varint(wire, &number);
    case WIRE_64:
        return skip(wire, 8);
    case WIRE_32:
        return skip(wire, 4);
    case WIRE_BYTES:
        break;
    default:
        return false;
    }
    if (!varint(wire, &number))
        return false;
    const uint8_t *inner = wire->at;
    const ProtobufCMessageDescriptor *inner_kind = message_kind(kind, tag);
    return skip(wire, number) &&
           (!inner_kind || nesting_within(inner_kind, inner, (size_t)number, levels - 1));
}

bool nesting_within(
    const ProtobufCMessageDescriptor *kind, const uint8_t *bytes, size_t length, int levels)
{
    struct wire wire = {bytes, bytes + length};
    uint64_t tag;
    if (levels <= 0)
        return false;
    while (wire.at < wire.end) {
        if (!varint(&wire, &tag) || !value(&wire, kind, tag, levels))
            return false;
    }
    return true;
}
