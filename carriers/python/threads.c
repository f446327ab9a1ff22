/* SPDX-License-Identifier: Apache-2.0 */
/* Work that goes to other threads: new ones inherit (runtime/attribution.h), executors' carry. */
#include <stddef.h>
#include <string.h>

#include "carrier.h"
#include "note.h"
#include "python.h"

static py_method *original_start, *original_start_joinable;
static struct py_object *attribute;

/* A threading.Thread of which we know what it does: it says that it has begun, runs, and is over.
 */
static bool is_known_start(struct py_object *arguments)
{
    struct py_object *function =
        py.PyObject_Size(arguments) > 0 ? py.PyTuple_GetItem(arguments, 0) : NULL;
    struct py_object *text =
        function == NULL ? NULL : py.PyObject_GetAttrString(function, "__name__");
    const char *name = text == NULL ? NULL : py.PyUnicode_AsUTF8(text);
    bool is_it = name != NULL && strcmp(name, "_bootstrap") == 0;
    if (text != NULL)
        py.Py_DecRef(text);
    py.PyErr_Clear();
    return is_it;
}

static void *start_by(py_method *original, void *self, void *a, void *b, void *c)
{
    if (!python_is_ours())
        return original(self, a, b, c);
    python_look_again();
    current_tell();
    carrier_starts(is_known_start(a));
    void *result = original(self, a, b, c);
    carrier_starts(false);
    tasks_doubt();
    return result;
}

static void *our_start(void *self, void *a, void *b, void *c)
{
    return start_by(original_start, self, a, b, c);
}

static void *our_start_joinable(void *self, void *a, void *b, void *c)
{
    return start_by(original_start_joinable, self, a, b, c);
}

/* --- what a request has started, and others give work ----------------------------------------- */

static py_method *original_take, *original_acquire, *original_enter;

void threads_hand_in(void)
{
    if (carrier_look().is_started)
        carrier_enter(CARRIER_NONE, false);
}

/* It tells somebody that something is done, and may go on with whatever there is. */
static struct py_object *notify(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    bool is_beginning = !python_thread.has_begun && carrier_look().is_started;
    if (!is_beginning && !signals_are_releases())
        threads_hand_in();
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    python_thread.has_begun |= is_beginning;
    return result;
}

bool threads_is_beginning(const struct py_object *lock)
{
    static struct py_object *beginning;
    if (beginning == NULL)
        beginning = tasks_attribute("threading", "_active_limbo_lock");
    return lock == beginning;
}

/* What a lock guards may be others' work. */
static void *lock_by(py_method *original, void *self, void *a, void *b, void *c)
{
    if (python_thread.has_begun && carrier_look().is_started && !signals_are_releases() &&
        !threads_is_beginning(self))
        threads_hand_in();
    return original(self, a, b, c);
}

static void *our_acquire(void *self, void *a, void *b, void *c)
{
    return lock_by(original_acquire, self, a, b, c);
}

static void *our_enter_lock(void *self, void *a, void *b, void *c)
{
    return lock_by(original_enter, self, a, b, c);
}

static struct py_object *enter_condition(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    if (python_thread.has_begun && !signals_are_releases())
        threads_hand_in();
    greenlets_hand_in();
    return py.PyObject_Call(original, arguments, keywords);
}

/* Whose the item of a queue in C is, nobody knows. */
static void *our_take(void *self, void *a, void *b, void *c)
{
    threads_hand_in();
    return original_take(self, a, b, c);
}

/* --- executors -------------------------------------------------------------------------------- */

static bool know_attribute(void)
{
    if (attribute == NULL)
        attribute = py.PyUnicode_InternFromString("_burdock");
    if (attribute == NULL)
        py.PyErr_Clear();
    return attribute != NULL;
}

static struct py_object *make_item(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    if (result == NULL || !python_is_ours() || !know_attribute())
        return result;
    struct py_object *capsule = current_made();
    if (capsule == NULL)
        return result;
    if (py.PyObject_SetAttr(py.PyTuple_GetItem(arguments, 0), attribute, capsule) != 0)
        py.PyErr_Clear();
    py.Py_DecRef(capsule);
    return result;
}

/* The thread's own context has the capsule, whose reference goes with it. */
static struct py_object *begin(struct py_object *capsule)
{
    struct py_object *token = current_put(capsule);
    current_enter(capsule, NULL);
    py.Py_DecRef(capsule);
    return token;
}

/* For as long as the item runs, its thread's own context says what it carries. */
static struct py_object *begin_item(struct py_object *item)
{
    struct py_object *capsule = know_attribute() ? py.PyObject_GetAttr(item, attribute) : NULL;
    if (capsule == NULL) {
        py.PyErr_Clear();
        return NULL;
    }
    return begin(capsule);
}

/* From here on the thread waits for anybody's work. */
static void end_item(struct py_object *token)
{
    struct python_error error = python_set_aside();
    if (token != NULL)
        current_leave(token);
    carrier_enter(CARRIER_NONE, false);
    python_put_back(error);
}

static struct py_object *run_item(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    if (!python_is_ours())
        return py.PyObject_Call(original, arguments, keywords);
    struct py_object *token = begin_item(py.PyTuple_GetItem(arguments, 0));
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    end_item(token);
    return result;
}

/* --- waitress --------------------------------------------------------------------------------- */

static long number_of(struct py_object *object, const char *name)
{
    struct py_object *number = py.PyObject_GetAttrString(object, name);
    long value = number == NULL ? -1 : py.PyLong_AsLong(number);
    if (number != NULL)
        py.Py_DecRef(number);
    py.PyErr_Clear();
    return value;
}

/* One thread has read the request, and this one works for it: the connection says which it is, once
 * all answers to those before it are sent. */
static struct py_object *serve_channel(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    if (!python_is_ours() || py.PyObject_Size(arguments) < 1)
        return py.PyObject_Call(original, arguments, keywords);
    struct py_object *channel = py.PyTuple_GetItem(arguments, 0);
    int fd = (int)number_of(channel, "_fileno");
    bool is_sent = number_of(channel, "total_outbufs_len") == 0;
    struct py_object *capsule =
        note_make(is_sent ? carrier_take_of(fd, carrier_serves_by(fd)) : CARRIER_NONE);
    struct py_object *token = capsule == NULL ? NULL : begin(capsule);
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    end_item(token);
    return result;
}

static struct python_place rows[] = {
    {PLACE("_thread", "", "start_new_thread"), {our_start}, &original_start},
    {PLACE("_thread", "", "start_joinable_thread"), {our_start_joinable}, &original_start_joinable},
    {PLACE("threading", "Condition", "notify"), .call = notify},
    {PLACE("threading", "Condition", "__enter__"), .call = enter_condition},
    {PLACE("_thread", "LockType", "acquire"), {our_acquire}, &original_acquire},
    {PLACE("_thread", "LockType", "__enter__"), {our_enter_lock}, &original_enter},
    {PLACE("_queue", "SimpleQueue", "get"), {our_take}, &original_take},
    {PLACE("waitress.channel", "HTTPChannel", "service"), .call = serve_channel},
    {PLACE("concurrent.futures.thread", "_WorkItem", "__init__"), .call = make_item},
    {PLACE("concurrent.futures.thread", "_WorkItem", "run"), .call = run_item},
};

const struct python_places thread_places = {rows, sizeof(rows) / sizeof(rows[0])};
