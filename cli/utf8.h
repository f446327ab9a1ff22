/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 by RFC 3629, table 3-7 of the Unicode Standard: no overlong forms, no surrogates. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Length in bytes of the character at text (ends with a NUL), its code in *code; 0: not UTF-8. */
size_t utf8_next(const char *text, uint32_t *code);
