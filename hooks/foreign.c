/* SPDX-License-Identifier: Apache-2.0 */
#include "foreign.h"

#include <dlfcn.h>

#include "memory.h"
#include "object.h"
#include "unwind.h"

enum { EMPTY, TAKEN, READY, DEAD };

/* How many objects the program started with: those that the linker goes through for everybody, in
 * the order of their list. */
static unsigned long long started_with AT_START;

/* What is looked for while all objects are gone through. */
struct search {
    const struct foreign_library *library;
    uintptr_t address;
    uintptr_t start, end; /* of the calling object */
    struct object caller;
    bool has_caller;
    const char *file; /* soname of the library that the caller needs; NULL: any */
    unsigned long long visited;
    void **functions;
};

static bool is_such(const struct search *search, const struct object *object)
{
    const char *name = search->library->names;
    return object_find(object, object_hash(name), name) != NULL;
}

static void take_functions(const struct search *search, const struct object *object)
{
    const char *name = search->library->names;
    for (uint32_t i = 0; i < search->library->count; i++, name += strlen(name) + 1) {
        const ElfW(Sym) *symbol = object_find(object, object_hash(name), name);
        search->functions[i] =
            symbol == NULL ? (void *)hooks_missing : object_address(object, symbol);
    }
}

/* From the first to the last address that the object is loaded at. */
static bool covers(const struct dl_phdr_info *info, struct search *search)
{
    search->start = UINTPTR_MAX;
    search->end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type != PT_LOAD)
            continue;
        search->start = from < search->start ? from : search->start;
        search->end = from + segment->p_memsz > search->end ? from + segment->p_memsz : search->end;
    }
    return search->address >= search->start && search->address < search->end;
}

static int visit_caller(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct search *search = argument;
    if (!covers(info, search))
        return 0;
    search->has_caller = object_open(info, &search->caller);
    return 1;
}

/* Who was linked against it has its soname, or else the name of its file. */
static bool is_file(const struct dl_phdr_info *info, const struct object *object, const char *file)
{
    const char *slash = strrchr(info->dlpi_name, '/');
    const char *name = object->soname != NULL ? object->soname
                       : slash == NULL        ? info->dlpi_name
                                              : slash + 1;
    return strcmp(name, file) == 0;
}

static int visit_library(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct search *search = argument;
    struct object object;
    if (object_dynamic(info) == _DYNAMIC || !object_open(info, &object) ||
        (search->file != NULL && !is_file(info, &object, search->file)) ||
        !is_such(search, &object))
        return 0;
    take_functions(search, &object);
    return 1;
}

/* The versions that the caller was linked against name the files that they are of. */
static bool find_versioned(struct search *search)
{
    const uint8_t *at = search->caller.needs;
    while (at != NULL) {
        const ElfW(Verneed) *need = (const void *)at;
        search->file = search->caller.names + need->vn_file;
        if (dl_iterate_phdr(visit_library, search) != 0)
            return true;
        at = need->vn_next == 0 ? NULL : at + need->vn_next;
    }
    search->file = NULL;
    return false;
}

/* What else the caller was linked against: a library without versions is among it. */
static bool find_needed(struct search *search)
{
    for (const ElfW(Dyn) *entry = search->caller.dynamic; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag != DT_NEEDED)
            continue;
        search->file = search->caller.names + entry->d_un.d_val;
        if (dl_iterate_phdr(visit_library, search) != 0)
            return true;
    }
    search->file = NULL;
    return false;
}

static int visit_started(struct dl_phdr_info *info, size_t size, void *argument)
{
    started_with = info->dlpi_adds;
    return 1;
}

void foreign_start(void)
{
    dl_iterate_phdr(visit_started, NULL);
}

/* Without a version the name alone counts, and the first object that has it. */
static bool is_unversioned(const struct search *search, const struct object *object)
{
    const char *name = search->library->names;
    const ElfW(Sym) *symbol = object_find(object, object_hash(name), name);
    return symbol != NULL &&
           (object->versions == NULL || object->versions[symbol - object->symbols] < 2);
}

static int visit_global(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct search *search = argument;
    struct object object;
    if (search->visited++ >= started_with)
        return -1;
    if (object_dynamic(info) == _DYNAMIC || !object_open(info, &object) ||
        !is_unversioned(search, &object))
        return 0;
    take_functions(search, &object);
    return 1;
}

static bool is_housekeeper(const struct search *search)
{
    const char *name = search->library->housekeeper, *soname = search->caller.soname;
    return name != NULL && search->has_caller && soname != NULL && strcmp(soname, name) == 0;
}

/* The functions that are not hooked are bound by the linker, and those that are must be of the same
 * library: so of names without versions a copy that the program started with comes first. Else the
 * caller is the library itself, or was linked against it; or it calls for another object, which has
 * given up its frame: then any that there is. */
static void resolve(struct search *search)
{
    for (uint32_t i = 0; i < search->library->count; i++)
        search->functions[i] = (void *)hooks_missing;
    dl_iterate_phdr(visit_caller, search);
    bool is_own = search->has_caller && is_such(search, &search->caller);
    bool is_called_through = is_own || is_housekeeper(search);
    search->functions[search->library->count] = is_called_through ? (void *)search->library : NULL;
    if (dl_iterate_phdr(visit_global, search) == 1)
        return;
    if (is_own)
        take_functions(search, &search->caller);
    else if (!search->has_caller || !(find_versioned(search) || find_needed(search)))
        dl_iterate_phdr(visit_library, search);
}

static struct foreign_library *libraries;

static void enlist(struct foreign_library *library)
{
    if (__atomic_exchange_n(&library->is_listed, true, __ATOMIC_RELAXED))
        return;
    struct foreign_library *first = __atomic_load_n(&libraries, __ATOMIC_RELAXED);
    do
        library->next = first;
    while (!__atomic_compare_exchange_n(
        &libraries, &first, library, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

__attribute__((noinline)) static void *const *bind_caller(
    struct foreign_library *library, uintptr_t address, void **scratch)
{
    struct search search = {.library = library, .address = address, .functions = scratch};
    resolve(&search);
    enlist(library);
    for (uint32_t i = 0; i < FOREIGN_CALLERS_MAX && search.has_caller; i++) {
        struct foreign_caller *caller = &library->callers[i];
        uint32_t expected = EMPTY;
        if (!__atomic_compare_exchange_n(
                &caller->state, &expected, TAKEN, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        caller->start = search.start;
        caller->end = search.end;
        memcpy(caller->functions, scratch, (library->count + 1) * sizeof(*scratch));
        __atomic_store_n(&caller->state, READY, __ATOMIC_RELEASE);
        return caller->functions;
    }
    return scratch;
}

void *const *foreign_functions(
    struct foreign_library *library, const void *address, void *scratch[FOREIGN_FUNCTIONS_MAX])
{
    for (uint32_t i = 0; i < FOREIGN_CALLERS_MAX; i++) {
        const struct foreign_caller *caller = &library->callers[i];
        uint32_t state = __atomic_load_n(&caller->state, __ATOMIC_ACQUIRE);
        if (state == EMPTY)
            break;
        if (state == READY && (uintptr_t)address - caller->start < caller->end - caller->start)
            return caller->functions;
    }
    return bind_caller(library, (uintptr_t)address, scratch);
}

/* What lies there now need not be what lay there. */
void foreign_forget(void)
{
    struct foreign_library *library = __atomic_load_n(&libraries, __ATOMIC_ACQUIRE);
    for (; library != NULL; library = library->next)
        for (uint32_t i = 0; i < FOREIGN_CALLERS_MAX; i++) {
            struct foreign_caller *caller = &library->callers[i];
            struct search search = {.library = library, .address = caller->start};
            uint32_t expected = READY;
            if (__atomic_load_n(&caller->state, __ATOMIC_ACQUIRE) == READY &&
                dl_iterate_phdr(visit_caller, &search) == 0)
                __atomic_compare_exchange_n(
                    &caller->state, &expected, DEAD, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
        }
}
