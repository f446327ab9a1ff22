/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ELF file, read and never mapped: one that gets shorter meanwhile would be the host's SIGBUS.
 * Exporter thread; allocates nothing, takes nothing that the file says on trust.
 */
#pragma once

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ELF_SECTIONS_MAX = 4096, BUILD_ID_BYTES_MAX = 64 };

struct elf_file {
    long fd; /* the caller's to close */
    ElfW(Ehdr) header;
};

struct build_id {
    uint8_t bytes[BUILD_ID_BYTES_MAX];
    size_t length; /* 0: the file has none */
};

/* False: fewer bytes than asked for, or an error. */
bool file_read(long fd, uint64_t offset, void *out, size_t bytes);

/* Reads the header. False: not an ELF file of this process's kind. */
bool elf_open(struct elf_file *file, long fd);

/* Where the linker put the byte at this offset of the file. */
bool elf_linked_address(const struct elf_file *file, uint64_t offset, uint64_t *address);

bool elf_section(const struct elf_file *file, unsigned index, ElfW(Shdr) * out);

/* Names have 23 bytes at most. */
bool elf_find_section(const struct elf_file *file, const char *name, ElfW(Shdr) * out);

struct build_id elf_build_id(const struct elf_file *file);
