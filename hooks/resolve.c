/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the originals: as dlsym(RTLD_NEXT, name) would, in the objects loaded behind ours, in their
 * order, the default one of several versions. Without dlsym, because before glibc 2.34 it is in a
 * library of its own, which a host need not have; and because for a name that is not there it
 * allocates on the host's thread and leaves a message for the host's next dlerror().
 */
#include <errno.h>

#include "hook.h"
#include "memory.h"
#include "object.h"

extern const struct hook_row __start_hook_rows[] __attribute__((visibility("hidden")));
extern const struct hook_row __stop_hook_rows[] __attribute__((visibility("hidden")));

static void *at(const int32_t *distance)
{
    return (void *)((uintptr_t)distance + (uintptr_t)*distance);
}

static void *stand_in(const struct hook_row *row)
{
    return row->absent == 0 ? NULL : at(&row->absent);
}

static bool is_missing(const struct hook_row *row)
{
    void *original = *(void **)at(&row->original);
    return original == NULL || original == stand_in(row);
}

static void search(const struct object *object)
{
    /* Reading what was never written would cost a fault more at every start. */
    static bool is_begun AT_START;
    bool is_first_time = !is_begun;
    is_begun = true;
    for (const struct hook_row *row = __start_hook_rows; row < __stop_hook_rows; row++) {
        if (!is_first_time && !is_missing(row))
            continue;
        const ElfW(Sym) *symbol = object_find(object, row->hash, at(&row->name));
        if (symbol != NULL)
            *(void **)at(&row->original) = object_address(object, symbol);
    }
}

static bool is_first = true;
static const char *own_path AT_START;
static uintptr_t own_base AT_START;

static bool is_another_of_us(const struct object *object)
{
    static const char name[] = "burdock_is_first";
    return object_find(object, object_hash(name), name) != NULL;
}

bool hooks_node_is_here AT_START;

static int visit(struct dl_phdr_info *info, size_t size, void *argument)
{
    bool *is_behind = argument;
    struct object object;
    if (object_dynamic(info) == _DYNAMIC) {
        *is_behind = true;
        own_path = info->dlpi_name;
        own_base = info->dlpi_addr;
        return 0;
    }
    if (!object_open(info, &object))
        return 0;
    static const char node[] = "napi_module_register";
    if (object_find(&object, object_hash(node), node) != NULL)
        hooks_node_is_here = true;
    if (*is_behind)
        search(&object);
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
    const char *names;
    uint32_t hash; /* of the first */
    void **functions;
};

static int visit_any(struct dl_phdr_info *info, size_t size, void *argument)
{
    const struct search *wanted = argument;
    struct object object;
    if (object_dynamic(info) == _DYNAMIC || !object_open(info, &object) ||
        object_find(&object, wanted->hash, wanted->names) == NULL)
        return 0;
    void **function = wanted->functions;
    for (const char *name = wanted->names; *name != '\0'; name += strlen(name) + 1, function++) {
        const ElfW(Sym) *symbol = object_find(&object, object_hash(name), name);
        if (symbol != NULL)
            *function = object_address(&object, symbol);
    }
    return 1;
}

bool hooks_find(const char *names, void *functions)
{
    struct search wanted = {names, object_hash(names), functions};
    return dl_iterate_phdr(visit_any, &wanted) != 0;
}

void *hooks_own(const char *name)
{
    struct object own = object_of(own_base, _DYNAMIC);
    if (own.symbols == NULL || own.names == NULL || own.hash == NULL)
        return NULL;
    const ElfW(Sym) *symbol = object_find(&own, object_hash(name), name);
    return symbol == NULL ? NULL : object_address(&own, symbol);
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
    for (const struct hook_row *row = __start_hook_rows; row < __stop_hook_rows; row++)
        if (is_missing(row))
            *(void **)at(&row->original) = stand_in(row);
}
