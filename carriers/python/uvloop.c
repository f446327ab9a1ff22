/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uvloop, 0.14 on: an event loop in C (Cython over libuv). What is not as in asyncio:
 *
 *   handles      enter their context by PyContext_Enter, with no Context.run that we could replace:
 *                the object's own calls are led to us (hooks/bind.h)
 *   streams      are read by libuv, which then calls in the context of the transport, often that of
 *                a whole server: what was read is lent to it for that one call
 *   connections  begin in a handle of that context, too, and inside TLS in a callback after a read;
 *                a task that is made there may run when a request has been read that it did not
 *                wait for: libuv reads before what is ready runs
 *   transports   send what was written when the loop turns: uvloop_writes.c
 */
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

#include "bind.h"
#include "carrier.h"
#include "hook.h"
#include "process.h"
#include "python.h"
#include "uvloop.h"

static bool is_known; /* its object, and all that we lead to us there */

bool uvloop_is_known(void)
{
    return is_known;
}

/* --- handles run ------------------------------------------------------------------------------ */

enum { DEPTH_MAX = 7 };
static __thread struct entered {
    struct py_object *context, *outer;
} entered[DEPTH_MAX];
static __thread uint32_t depth; /* may be more than there is room for */

/* The connection whose transport is being made, or has been read for the callback that runs; -1:
 * none. */
static __thread int at_fd = -1;
static __thread int read_fd = -1; /* since then nothing has run */

void uvloop_calls(bool begins)
{
    at_fd = begins ? read_fd : -1;
    read_fd = -1;
}

static void tell(struct py_object *context)
{
    at_fd = read_fd = -1;
    current_attend();
    struct py_object *capsule = current_get();
    current_enter(capsule, context);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
}

static int our_enter(struct py_object *context)
{
    int result = py.PyContext_Enter(context);
    if (result != 0 || !python_is_ours())
        return result;
    if (depth < DEPTH_MAX)
        entered[depth] = (struct entered){context, current_context};
    depth++;
    current_context = context;
    tell(context);
    return result;
}

static int our_exit(struct py_object *context)
{
    int result = py.PyContext_Exit(context);
    if (depth == 0 || !python_is_ours())
        return result;
    struct python_error error = python_set_aside();
    depth--;
    current_context = depth < DEPTH_MAX ? entered[depth].outer : NULL;
    tell(current_context);
    python_put_back(error);
    return result;
}

/* --- handles are made ------------------------------------------------------------------------- */

enum { SOON, SOON_THREADSAFE, LATER, MAKES };
static py_method *makes[MAKES];
static int flags[MAKES];

/* A new task's first step. What else is made for later may be another one's. */
static bool is_step(int which, void *a)
{
    return tasks_is_step(
        flags[which] & METHOD_FAST ? *(struct py_object **)a : py.PyTuple_GetItem(a, 0));
}

/* The parameter `context`; NULL: it is a copy of the running one. */
static struct py_object *context_of(int which, void *a, void *b, void *c)
{
    struct py_object *found = NULL;
    if (!(flags[which] & METHOD_FAST))
        found = b == NULL ? NULL : py.PyDict_GetItemString(b, "context");
    for (long i = 0; (flags[which] & METHOD_FAST) && c != NULL && i < py.PyObject_Size(c); i++) {
        const char *name = py.PyUnicode_AsUTF8(py.PyTuple_GetItem(c, i));
        if (name != NULL && strcmp(name, "context") == 0)
            found = ((struct py_object **)a)[(intptr_t)b + i];
    }
    py.PyErr_Clear();
    return found;
}

static void *make(int which, void *self, void *a, void *b, void *c)
{
    void *result = makes[which](self, a, b, c);
    if (result == NULL || !is_known || !python_is_ours())
        return result;
    struct py_object *context = context_of(which, a, b, c);
    bool is_made = context != NULL && which == SOON && is_step(which, a);
    if (is_made) {
        current_make_late(context);
        if (at_fd >= 0)
            current_serve(context, at_fd, carrier_serves_by(at_fd));
    }
    if (context != NULL) {
        current_adopt(context, is_made && context != current_context);
        if (!is_made)
            signals_wake(context);
    } else if (which != LATER) {
        struct py_object *capsule = current_made();
        if (capsule != NULL)
            py.Py_DecRef(capsule);
        if (which == SOON_THREADSAFE)
            threads_hand_in();
    }
    return result;
}

static void *our_soon(void *self, void *a, void *b, void *c)
{
    return make(SOON, self, a, b, c);
}

static void *our_soon_threadsafe(void *self, void *a, void *b, void *c)
{
    return make(SOON_THREADSAFE, self, a, b, c);
}

static void *our_later(void *self, void *a, void *b, void *c)
{
    return make(LATER, self, a, b, c);
}

/* --- transports ------------------------------------------------------------------------------- */

enum { WRITE, WRITELINES, PUTS };
static py_method *puts_by[PUTS];
static int put_flags[PUTS];

static void *put(int which, void *self, void *a, void *b, void *c)
{
    struct py_object *data = a;
    if (put_flags[which] & METHOD_FAST)
        data = (intptr_t)b == 1 ? *(struct py_object **)a : NULL;
    if (data != NULL && is_known && python_is_ours())
        writes_put(self, data, which == WRITELINES);
    return puts_by[which](self, a, b, c);
}

static void *our_write(void *self, void *a, void *b, void *c)
{
    return put(WRITE, self, a, b, c);
}

static void *our_writelines(void *self, void *a, void *b, void *c)
{
    return put(WRITELINES, self, a, b, c);
}

static struct python_place rows[] = {
    {PLACE("uvloop.loop", "Loop", "call_soon"), {our_soon}, &makes[SOON], &flags[SOON]},
    {PLACE("uvloop.loop", "Loop", "call_soon_threadsafe"), {our_soon_threadsafe},
        &makes[SOON_THREADSAFE], &flags[SOON_THREADSAFE]},
    {PLACE("uvloop.loop", "Loop", "call_later"), {our_later}, &makes[LATER], &flags[LATER]},
    {PLACE("uvloop.loop", "UVStream", "write"), {our_write}, &puts_by[WRITE], &put_flags[WRITE]},
    {PLACE("uvloop.loop", "UVStream", "writelines"), {our_writelines}, &puts_by[WRITELINES],
        &put_flags[WRITELINES]},
};

const struct python_places uvloop_places = {rows, sizeof(rows) / sizeof(rows[0])};

static int (*getpeername_on)(int fd, void *address, void *length);
static ssize_t (*read_on)(int fd, void *data, size_t bytes);

/* The first thing that is asked of a connection, before the program hears of it. */
static int our_getpeername(int fd, void *address, void *length)
{
    int result = getpeername_on(fd, address, length);
    if (result == 0 && depth > 0)
        at_fd = fd;
    return result;
}

static ssize_t our_read(int fd, void *data, size_t bytes)
{
    ssize_t result = read_on(fd, data, bytes);
    read_fd = result > 0 ? fd : -1;
    return result;
}

static bool bind_connections(const char *path)
{
    read_on = hooks_own("read");
    if (read_on == NULL || !hooks_find("getpeername\0", &getpeername_on))
        return false;
    const struct bind_row rows[] = {{"getpeername", (void *)getpeername_on, our_getpeername},
        {"read", (void *)read_on, our_read}};
    return hooks_bind(path, rows, 2) + hooks_bind("/libuv.so.1", rows, 2) >= 2;
}

static bool bind_contexts(const char *path)
{
    const struct bind_row rows[] = {{"PyContext_Enter", (void *)py.PyContext_Enter, our_enter},
        {"PyContext_Exit", (void *)py.PyContext_Exit, our_exit}};
    return hooks_bind(path, rows, 2) >= 2;
}

void uvloop_look(void)
{
    static bool is_asked;
    if (is_asked || !rows[0].is_done || !process_may_call())
        return;
    is_asked = true;
    struct py_object *file = tasks_attribute("uvloop.loop", "__file__");
    const char *path = file == NULL ? NULL : py.PyUnicode_AsUTF8(file);
    is_known = path != NULL && bind_contexts(path) && writes_bind(path) && bind_connections(path);
    if (file != NULL)
        py.Py_DecRef(file);
    py.PyErr_Clear();
}
