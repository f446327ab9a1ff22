/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions in C are called through their PyMethodDef at each call, by descriptors and builtin
 * functions alike (CPython 3.8 to 3.13, Objects/descrobject.c, methodobject.c), so another pointer
 * there replaces the function for everybody, and no object changes.
 */
#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

#include "python.h"

struct method_def {
    const char *name;
    py_method *function;
    int flags;
    const char *documentation;
};

struct builtin {
    struct python_head head;
    struct method_def *method;
};

struct descriptor {
    struct python_head head;
    void *type, *name, *qualified_name;
    struct method_def *method;
};

struct range {
    uintptr_t address;
    bool is_writable;
};

static bool holds(const struct dl_phdr_info *info, const ElfW(Phdr) * segment, uintptr_t address)
{
    uintptr_t start = info->dlpi_addr + segment->p_vaddr;
    return address >= start && address + sizeof(struct method_def) <= start + segment->p_memsz;
}

static int visit(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct range *range = argument;
    bool is_data = false, is_read_only = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (!holds(info, segment, range->address))
            continue;
        is_data = is_data || (segment->p_type == PT_LOAD && (segment->p_flags & PF_W));
        is_read_only = is_read_only || segment->p_type == PT_GNU_RELRO;
    }
    range->is_writable = is_data && !is_read_only;
    return is_data;
}

/* Static data of a loaded object, which stays where it is. */
static bool is_static(const struct method_def *method)
{
    struct range range = {(uintptr_t)method, false};
    dl_iterate_phdr(visit, &range);
    return range.is_writable;
}

static bool type_is(struct py_object *object, const char *name)
{
    struct py_object *type = ((struct python_head *)object)->type;
    struct py_object *text = py.PyObject_GetAttrString(type, "__name__");
    const char *found = text == NULL ? NULL : py.PyUnicode_AsUTF8(text);
    bool is_it = found != NULL && strcmp(found, name) == 0;
    if (text != NULL)
        py.Py_DecRef(text);
    return is_it;
}

static struct method_def *method_of(struct py_object *function)
{
    if (type_is(function, "method_descriptor"))
        return ((struct descriptor *)function)->method;
    if (type_is(function, "builtin_function_or_method") ||
        type_is(function, "cython_function_or_method")) /* begins like one */
        return ((struct builtin *)function)->method;
    return NULL;
}

bool replace_method(
    struct py_object *owner, const char *name, py_method *ours, py_method **original, int *flags)
{
    struct py_object *function = py.PyObject_GetAttrString(owner, name);
    if (function == NULL)
        return false;
    struct method_def *method = method_of(function);
    bool is_known =
        method != NULL && is_static(method) && strcmp(method->name, name) == 0 && *original == NULL;
    if (is_known) {
        *original = method->function;
        if (flags != NULL)
            *flags = method->flags;
        method->function = ours;
    }
    py.Py_DecRef(function);
    return is_known;
}
