/* SPDX-License-Identifier: Apache-2.0 */
/* What an executable file is, as far as it decides whether LD_PRELOAD reaches it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum file_kind { FILE_UNREADABLE, FILE_OTHER, FILE_SCRIPT, FILE_ELF };

struct elf_facts {
    enum file_kind kind;
    int error;    /* errno of FILE_UNREADABLE */
    bool foreign; /* other word size, byte order or machine than ours */
    bool damaged;
    char interpreter[256]; /* of a script, or PT_INTERP; "" if none */
    char argument[256];    /* the first one on a script's interpreter line */
    bool go;
    bool links_tls;        /* libssl or libgnutls is among its NEEDED */
    const char *inner_tls; /* a TLS library that is part of the file itself, or NULL */
};

void elf_facts_read(const char *path, struct elf_facts *facts);
