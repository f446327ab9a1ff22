/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes a span can carry, one row each in attributes.def. */
#pragma once

enum attribute {
#define ATTRIBUTE(id, key) ATTRIBUTE_##id,
#include "attributes.def"
#undef ATTRIBUTE
    ATTRIBUTE_COUNT
};
