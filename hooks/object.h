/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dynamic symbols of a loaded object, searched without dlsym. Any thread; allocates nothing.
 *
 * The format is that of the ELF specification; the hash table is GNU's (binutils, bfd/elflink.c),
 * which every glibc has.
 */
#pragma once

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

enum { WORD_BITS = sizeof(ElfW(Addr)) * 8, VERSION_HIDDEN = 0x8000 };

struct gnu_hash {
    uint32_t bucket_count, first_symbol, filter_words, filter_shift;
    ElfW(Addr) filter[]; /* then the buckets, then a word for each symbol from first_symbol on */
};

/* The dynamic symbols of one object. */
struct object {
    uintptr_t base;
    const ElfW(Sym) * symbols;
    const char *names;
    const ElfW(Half) * versions; /* NULL: it has none */
    const struct gnu_hash *hash;
    const ElfW(Dyn) * dynamic;
    const void *needs;  /* DT_VERNEED; NULL: none */
    const char *soname; /* NULL: none */
};

/* glibc's loader has made addresses of these, musl's has not. */
static inline const void *object_pointer(uintptr_t base, ElfW(Addr) value)
{
    return (const void *)(value < base ? base + value : value);
}

static inline struct object object_of(uintptr_t base, const ElfW(Dyn) * dynamic)
{
    const ElfW(Dyn) *soname = NULL;
    struct object object = {.base = base, .dynamic = dynamic};
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        const void *value = object_pointer(base, dynamic->d_un.d_ptr);
        switch (dynamic->d_tag) {
        case DT_SYMTAB:
            object.symbols = value;
            break;
        case DT_STRTAB:
            object.names = value;
            break;
        case DT_VERSYM:
            object.versions = value;
            break;
        case DT_GNU_HASH:
            object.hash = value;
            break;
        case DT_VERNEED:
            object.needs = value;
            break;
        case DT_SONAME:
            soname = dynamic;
            break;
        }
    }
    if (soname != NULL && object.names != NULL)
        object.soname = object.names + soname->d_un.d_val;
    return object;
}

static inline uint32_t object_hash(const char *name)
{
    uint32_t hash = 5381;
    for (; *name != '\0'; name++)
        hash = hash * 33 + (uint8_t)*name;
    return hash;
}

static inline bool is_definition(const struct object *object, uint32_t index, const char *name)
{
    const ElfW(Sym) *symbol = &object->symbols[index];
    unsigned type = symbol->st_info & 15;
    return symbol->st_shndx != SHN_UNDEF && symbol->st_value != 0 &&
           (type == STT_FUNC || type == STT_NOTYPE || type == STT_GNU_IFUNC) &&
           (object->versions == NULL || (object->versions[index] & VERSION_HIDDEN) == 0) &&
           strcmp(object->names + symbol->st_name, name) == 0;
}

static inline const ElfW(Sym) *
    object_find(const struct object *object, uint32_t hash, const char *name)
{
    const struct gnu_hash *table = object->hash;
    ElfW(Addr) filter = table->filter[hash / WORD_BITS % table->filter_words];
    if ((filter >> hash % WORD_BITS & filter >> (hash >> table->filter_shift) % WORD_BITS & 1) == 0)
        return NULL;
    const uint32_t *buckets = (const uint32_t *)(table->filter + table->filter_words);
    const uint32_t *chain = buckets + table->bucket_count;
    uint32_t index = buckets[hash % table->bucket_count];
    if (index < table->first_symbol)
        return NULL;
    for (;; index++) {
        uint32_t entry = chain[index - table->first_symbol]; /* bit 0: the last of its bucket */
        if ((entry | 1) == (hash | 1) && is_definition(object, index, name))
            return &object->symbols[index];
        if (entry & 1)
            return NULL;
    }
}

static inline void *object_address(const struct object *object, const ElfW(Sym) * symbol)
{
    uintptr_t address = object->base + symbol->st_value;
    if ((symbol->st_info & 15) == STT_GNU_IFUNC)
        address = ((uintptr_t(*)(unsigned long))address)(getauxval(AT_HWCAP));
    return (void *)address;
}

static inline const ElfW(Dyn) * object_dynamic(const struct dl_phdr_info *info)
{
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            return (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    return NULL;
}

/* The kernel's own object is in the list, but nobody is bound to it. */
static inline bool object_open(const struct dl_phdr_info *info, struct object *object)
{
    const ElfW(Dyn) *dynamic = object_dynamic(info);
    if (dynamic == NULL || info->dlpi_addr == getauxval(AT_SYSINFO_EHDR))
        return false;
    *object = object_of(info->dlpi_addr, dynamic);
    return object->symbols != NULL && object->names != NULL && object->hash != NULL;
}

static inline bool object_contains(const struct dl_phdr_info *info, uintptr_t address)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD &&
            address - (info->dlpi_addr + segment->p_vaddr) < segment->p_memsz)
            return true;
    }
    return false;
}
