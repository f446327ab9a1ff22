/* SPDX-License-Identifier: Apache-2.0 */
#include "bind.h"

#include <sys/mman.h>

#include "hook.h"
#include "object.h"
#include "sys.h"

/* How a table's entry is asked for, by a call and by an address. */
#if defined(__x86_64__)
enum { RELOCATION_CALL = R_X86_64_JUMP_SLOT, RELOCATION_ADDRESS = R_X86_64_GLOB_DAT };
#elif defined(__aarch64__)
enum { RELOCATION_CALL = R_AARCH64_JUMP_SLOT, RELOCATION_ADDRESS = R_AARCH64_GLOB_DAT };
#endif

struct binding {
    const char *ending;
    const struct bind_row *rows;
    size_t count, bound;
    const struct object *library; /* instead of rows: its functions of memory and strings */
};

struct relocations {
    const ElfW(Rela) * first;
    size_t bytes;
};

static bool ends_like(const char *path, const char *ending)
{
    size_t length = strlen(path), wanted = strlen(ending);
    return length >= wanted && strcmp(path + length - wanted, ending) == 0;
}

/* The linker has made whole pages of this part read-only. */
static bool is_sealed(const struct dl_phdr_info *info, uintptr_t address, uintptr_t page)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_GNU_RELRO && address >= start &&
            address < ((start + segment->p_memsz) & -page))
            return true;
    }
    return false;
}

static bool change(const struct dl_phdr_info *info, void **entry, void *to)
{
    uintptr_t page = getauxval(AT_PAGESZ), start = (uintptr_t)entry & -page;
    bool sealed = is_sealed(info, (uintptr_t)entry, page);
    if (sealed && sys(SYS_mprotect, start, page, PROT_READ | PROT_WRITE) != 0)
        return false;
    __atomic_store_n(entry, to, __ATOMIC_RELEASE);
    if (sealed)
        sys(SYS_mprotect, start, page, PROT_READ);
    return true;
}

static void bind_to_library(
    struct binding *binding, const struct dl_phdr_info *info, void **entry, const char *name)
{
    static const char kinds[][4] = {"mem", "str", "vsn"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strncmp(name, kinds[i], 3) != 0)
            continue;
        const ElfW(Sym) *symbol = object_find(binding->library, object_hash(name), name);
        if (symbol != NULL)
            change(info, entry, object_address(binding->library, symbol));
    }
}

/* An entry that nobody has called by yet leads back into its own object. */
static void bind_entry(struct binding *binding, const struct dl_phdr_info *info,
    const struct object *object, const ElfW(Rela) * relocation)
{
    void **entry = (void **)(info->dlpi_addr + relocation->r_offset);
    const char *name = object->names + object->symbols[ELF64_R_SYM(relocation->r_info)].st_name;
    if (binding->library != NULL)
        bind_to_library(binding, info, entry, name);
    for (size_t i = 0; i < binding->count; i++) {
        const struct bind_row *row = &binding->rows[i];
        if (strcmp(name, row->name) == 0 &&
            (*entry == row->expected || object_contains(info, (uintptr_t)*entry)))
            binding->bound += change(info, entry, row->ours);
    }
}

static void bind_all(struct binding *binding, const struct dl_phdr_info *info,
    const struct object *object, struct relocations relocations)
{
    for (size_t i = 0; i < relocations.bytes / sizeof(*relocations.first); i++) {
        unsigned type = ELF64_R_TYPE(relocations.first[i].r_info);
        if (type == RELOCATION_CALL || type == RELOCATION_ADDRESS)
            bind_entry(binding, info, object, &relocations.first[i]);
    }
}

static int visit(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct binding *binding = argument;
    struct object object;
    if (!ends_like(info->dlpi_name, binding->ending) || !object_open(info, &object))
        return 0;
    struct relocations calls = {NULL, 0}, others = {NULL, 0};
    for (const ElfW(Dyn) *dynamic = object.dynamic; dynamic->d_tag != DT_NULL; dynamic++)
        switch (dynamic->d_tag) {
        case DT_JMPREL:
            calls.first = object_pointer(info->dlpi_addr, dynamic->d_un.d_ptr);
            break;
        case DT_PLTRELSZ:
            calls.bytes = dynamic->d_un.d_val;
            break;
        case DT_RELA:
            others.first = object_pointer(info->dlpi_addr, dynamic->d_un.d_ptr);
            break;
        case DT_RELASZ:
            others.bytes = dynamic->d_un.d_val;
            break;
        }
    bind_all(binding, info, &object, calls);
    bind_all(binding, info, &object, others);
    return 0;
}

size_t hooks_bind(const char *ending, const struct bind_row *rows, size_t count)
{
    struct binding binding = {.ending = ending, .rows = rows, .count = count};
    dl_iterate_phdr(visit, &binding);
    return binding.bound;
}

struct passed_by {
    uintptr_t inside;
    struct object library;
};

/* The C library, if it is not where the linker leads our calls. */
static int find_passed_by(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct passed_by *passed_by = argument;
    return object_contains(info, passed_by->inside) &&
           !(object_contains(info, (uintptr_t)memset) && object_contains(info, (uintptr_t)memcpy) &&
               object_contains(info, (uintptr_t)strlen)) &&
           object_open(info, &passed_by->library);
}

void hooks_bind_own(const void *libc)
{
    struct passed_by passed_by = {.inside = (uintptr_t)libc};
    struct binding binding = {.ending = hooks_path(), .library = &passed_by.library};
    if (dl_iterate_phdr(find_passed_by, &passed_by) != 0)
        dl_iterate_phdr(visit, &binding);
}
