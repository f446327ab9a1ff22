/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object in the place of a function, mostly of a class. It binds and is called like one, and
 * whatever else is asked of it the original answers: its name, signature, class, representation. A
 * call adds no Python frame, so tracebacks, profilers and sys._getframe() see what they saw.
 */
#include <stddef.h>

#include "python.h"

struct wrapped {
    intptr_t references;
    void *type;
    struct py_object *original;
    union {
        wrapped_call *call;
        struct py_object *carried; /* a capsule: the original is called in what it says */
    };
    bool carries;
};

/* Include/typeslots.h, object.h: parts of the stable ABI. */
enum {
    SLOT_CALL = 50,
    SLOT_DEALLOC = 52,
    SLOT_GET = 54,
    SLOT_GETATTR = 58,
    SLOT_REPR = 66,
    SLOT_SETATTR = 69,
    SLOT_TRAVERSE = 71,
    FLAGS_HAVE_GC = 1 << 14,
    FLAGS_DEFAULT = 1 << 18,
    FLAGS_METHOD_DESCRIPTOR = 1 << 17
};

struct slot {
    int number;
    void *function;
};

struct spec {
    const char *name;
    int bytes, item_bytes;
    unsigned flags;
    struct slot *slots;
};

static struct py_object *wrapped_type;

static struct py_object *call(
    struct wrapped *self, struct py_object *arguments, struct py_object *keywords)
{
    if (self->carries)
        return current_call(self->carried, self->original, arguments, keywords);
    return self->call(self->original, arguments, keywords);
}

/* The type's reference stays: it is there for good. */
static void destroy(struct wrapped *self)
{
    py.PyObject_GC_UnTrack(self);
    py.Py_DecRef(self->original);
    if (self->carries)
        py.Py_DecRef(self->carried);
    py.PyObject_GC_Del(self);
}

typedef int visit(struct py_object *object, void *argument);

/* What carries may be held by what its original holds. */
static int traverse(struct wrapped *self, visit *visit, void *argument)
{
    return self->original == NULL ? 0 : visit(self->original, argument);
}

static struct py_object *get(struct py_object *self, struct py_object *object, void *type)
{
    if (object != NULL)
        return py.PyMethod_New(self, object);
    py.Py_IncRef(self);
    return self;
}

static struct py_object *get_attribute(struct wrapped *self, struct py_object *name)
{
    return py.PyObject_GetAttr(self->original, name);
}

static int set_attribute(struct wrapped *self, struct py_object *name, struct py_object *value)
{
    return py.PyObject_SetAttr(self->original, name, value);
}

static struct py_object *represent(struct wrapped *self)
{
    return py.PyObject_Repr(self->original);
}

bool wrap_start(void)
{
    static struct slot slots[] = {{SLOT_CALL, call}, {SLOT_GET, get}, {SLOT_GETATTR, get_attribute},
        {SLOT_SETATTR, set_attribute}, {SLOT_REPR, represent}, {SLOT_DEALLOC, destroy},
        {SLOT_TRAVERSE, traverse}, {0, NULL}};
    static struct spec spec = {"builtins.function", sizeof(struct wrapped), 0,
        FLAGS_DEFAULT | FLAGS_METHOD_DESCRIPTOR | FLAGS_HAVE_GC, slots};
    wrapped_type = py.PyType_FromSpec(&spec);
    return wrapped_type != NULL;
}

struct py_object *wrap_make(wrapped_call *ours)
{
    struct wrapped *one = (struct wrapped *)py.PyType_GenericAlloc(wrapped_type, 0);
    if (one == NULL)
        return NULL;
    one->original = tasks_none();
    one->call = ours;
    return (struct py_object *)one;
}

struct py_object *wrap_carrying(struct py_object *function, struct py_object *capsule)
{
    struct wrapped *one = (struct wrapped *)py.PyType_GenericAlloc(wrapped_type, 0);
    if (one == NULL)
        return NULL;
    py.Py_IncRef(function);
    py.Py_IncRef(capsule);
    one->original = function;
    one->carried = capsule;
    one->carries = true;
    return (struct py_object *)one;
}

bool wrap_method(struct py_object *type, const char *name, wrapped_call *ours)
{
    struct py_object *original = py.PyObject_GetAttrString(type, name);
    struct wrapped *wrapped =
        original == NULL ? NULL : (struct wrapped *)py.PyType_GenericAlloc(wrapped_type, 0);
    if (wrapped == NULL)
        return false;
    wrapped->original = original;
    wrapped->call = ours;
    bool is_set = py.PyObject_SetAttrString(type, name, (struct py_object *)wrapped) == 0;
    py.Py_DecRef((struct py_object *)wrapped);
    return is_set;
}
