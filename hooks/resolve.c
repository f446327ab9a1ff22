/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the originals: as dlsym(RTLD_NEXT, name) would, in the objects loaded behind ours, in their
 * order, the default one of several versions. Without dlsym, because before glibc 2.34 it is in a
 * library of its own, which a host need not have; and because for a name that is not there it
 * allocates on the host's thread and leaves a message for the host's next dlerror().
 *
 * The format is that of the ELF specification; the hash table is GNU's (binutils, bfd/elflink.c),
 * which every glibc has.
 */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>

#include "hook.h"

extern struct hook_row __start_hook_rows[] __attribute__((visibility("hidden")));
extern struct hook_row __stop_hook_rows[] __attribute__((visibility("hidden")));

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
};

/* glibc's loader has made addresses of these, musl's has not. */
static const void *pointer(uintptr_t base, ElfW(Addr) value)
{
    return (const void *)(value < base ? base + value : value);
}

static struct object object_of(uintptr_t base, const ElfW(Dyn) * dynamic)
{
    struct object object = {.base = base};
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        const void *value = pointer(base, dynamic->d_un.d_ptr);
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
        }
    }
    return object;
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;
    for (; *name != '\0'; name++)
        hash = hash * 33 + (uint8_t)*name;
    return hash;
}

static bool is_definition(const struct object *object, uint32_t index, const char *name)
{
    const ElfW(Sym) *symbol = &object->symbols[index];
    unsigned type = symbol->st_info & 15;
    return symbol->st_shndx != SHN_UNDEF && symbol->st_value != 0 &&
           (type == STT_FUNC || type == STT_NOTYPE || type == STT_GNU_IFUNC) &&
           (object->versions == NULL || (object->versions[index] & VERSION_HIDDEN) == 0) &&
           strcmp(object->names + symbol->st_name, name) == 0;
}

static const ElfW(Sym) * find(const struct object *object, uint32_t hash, const char *name)
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

static void *address_of(const struct object *object, const ElfW(Sym) * symbol)
{
    uintptr_t address = object->base + symbol->st_value;
    if ((symbol->st_info & 15) == STT_GNU_IFUNC)
        address = ((uintptr_t(*)(unsigned long))address)(getauxval(AT_HWCAP));
    return (void *)address;
}

static bool is_missing(const struct hook_row *row)
{
    return *row->original == NULL || *row->original == row->absent;
}

static void search(const struct object *object, struct hook_row *row, const struct hook_row *end)
{
    for (; row < end; row++) {
        /* Reading a variable that was never written would cost a page more at every start. */
        if (row->hash == 0)
            row->hash = hash_of(row->name);
        else if (!is_missing(row))
            continue;
        const ElfW(Sym) *symbol = find(object, row->hash, row->name);
        if (symbol != NULL)
            *row->original = address_of(object, symbol);
    }
}

static const ElfW(Dyn) * dynamic_of(const struct dl_phdr_info *info)
{
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            return (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    return NULL;
}

/* The kernel's own object is in the list, but nobody is bound to it. */
static bool can_be_searched(const struct dl_phdr_info *info, struct object *object)
{
    const ElfW(Dyn) *dynamic = dynamic_of(info);
    if (dynamic == NULL || info->dlpi_addr == getauxval(AT_SYSINFO_EHDR))
        return false;
    *object = object_of(info->dlpi_addr, dynamic);
    return object->symbols != NULL && object->names != NULL && object->hash != NULL;
}

static bool is_first = true;
static const char *own_path;

static bool is_another_of_us(const struct object *object)
{
    static const char name[] = "burdock_is_first";
    return find(object, hash_of(name), name) != NULL;
}

static int visit(struct dl_phdr_info *info, size_t size, void *argument)
{
    bool *is_behind = argument;
    struct object object;
    if (dynamic_of(info) == _DYNAMIC) {
        *is_behind = true;
        own_path = info->dlpi_name;
    } else if (!can_be_searched(info, &object))
        return 0;
    else if (*is_behind)
        search(&object, __start_hook_rows, __stop_hook_rows);
    else if (is_another_of_us(&object))
        is_first = false;
    return 0;
}

bool burdock_is_first(void) __attribute__((visibility("default")));

bool burdock_is_first(void)
{
    return is_first;
}

struct search {
    struct hook_row *rows;
    size_t count;
};

static int visit_any(struct dl_phdr_info *info, size_t size, void *argument)
{
    const struct search *wanted = argument;
    struct object object;
    if (dynamic_of(info) == _DYNAMIC || !can_be_searched(info, &object) ||
        find(&object, hash_of(wanted->rows->name), wanted->rows->name) == NULL)
        return 0;
    search(&object, wanted->rows, wanted->rows + wanted->count);
    return 1;
}

bool hooks_find(struct hook_row *rows, size_t count)
{
    struct search wanted = {rows, count};
    return dl_iterate_phdr(visit_any, &wanted) != 0;
}

const char *hooks_path(void)
{
    return own_path;
}

long hooks_missing(void)
{
    errno = ENOSYS;
    return -1;
}

void hooks_resolve(void)
{
    bool is_behind = false;
    dl_iterate_phdr(visit, &is_behind);
    for (struct hook_row *row = __start_hook_rows; row < __stop_hook_rows; row++)
        if (*row->original == NULL)
            *row->original = row->absent;
}
