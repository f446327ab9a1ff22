/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf-c unpacks nested messages by recursion and knows no limit; a file of the store may come
 * from anybody where the directory is shared. This looks before it leaps. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* The limit that protobuf's own parsers use. */
enum { NESTING_MAX = 100 };

/* False: nested deeper than levels, or not a message of this kind. */
bool nesting_within(
    const ProtobufCMessageDescriptor *kind, const uint8_t *bytes, size_t length, int levels);
