/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Twisted: one thread that runs callbacks for whoever they are, in no context of their own.
 *
 * | what | is whose |
 * |---|---|
 * | the reactor's events | nobody's, until something is read: then of what was read |
 * | callbacks of a Deferred, timers | who has added them, once that has stood a trial: they may
 * work on a queue of the program's own (runtime/attribution_decide.c) | | calls for threads and
 * from them | who has made them | | units of work of a Cooperator | who has begun them | | what is
 * got from a DeferredQueue | nobody's: it may be another's work | | what transports send when the
 * reactor turns | who wrote it; of several: nobody's | | what a connection goes on with after an
 * answer | nobody's: it may have read ahead |
 *
 * Coroutines and inlineCallbacks run in contexts of their own, as asyncio's tasks do.
 */
#include <stddef.h>

#include "carrier.h"
#include "note.h"
#include "python.h"

static const char attribute[] = "_burdock"; /* of a transport: who wrote what waits in it */

/* --- what is carried ------------------------------------------------------------------------- */

static uint32_t request_of(struct py_object *capsule)
{
    return capsule == NULL ? CARRIER_NONE : note_request(note_of(capsule));
}

/* The arguments, the functions among which, from..to, are those of what the capsule says from now
 * on; NULL: no memory. */
static struct py_object *carried_by(
    struct py_object *capsule, struct py_object *arguments, long from, long to)
{
    long count = py.PyObject_Size(arguments);
    struct py_object *result = py.PyTuple_New(count);
    for (long i = 0; result != NULL && i < count; i++) {
        struct py_object *one = py.PyTuple_GetItem(arguments, i);
        bool is_function = i >= from && i <= to && py.PyCallable_Check(one) != 0;
        struct py_object *ours = is_function ? wrap_carrying(one, capsule) : NULL;
        if (ours == NULL) {
            py.PyErr_Clear();
            py.Py_IncRef(one);
        }
        py.PyTuple_SetItem(result, i, ours == NULL ? one : ours);
    }
    py.PyErr_Clear();
    return result;
}

/* The capsule's reference goes with it. */
static struct py_object *call_as(struct py_object *capsule, struct py_object *original,
    struct py_object *arguments, struct py_object *keywords, long from, long to)
{
    struct py_object *ours = capsule == NULL ? NULL : carried_by(capsule, arguments, from, to);
    struct py_object *result =
        py.PyObject_Call(original, ours == NULL ? arguments : ours, keywords);
    py.Py_DecRef(ours);
    py.Py_DecRef(capsule);
    return result;
}

/* A new reference: who adds a function now, on trial; nobody; NULL: as if it was not there. */
static struct py_object *adder_of(struct py_object *self)
{
    struct py_object *capsule = self == NULL ? NULL : current_made(), *on_trial = NULL;
    if (request_of(capsule) != CARRIER_NONE &&
        (on_trial = python_attribute(self, attribute)) == NULL) {
        on_trial = note_make(note_given(note_of(capsule)));
        if (on_trial != NULL)
            note_of(on_trial)->is_made = note_of(on_trial)->is_tried = true;
    }
    py.Py_DecRef(capsule);
    return on_trial;
}

/* self, the function, its arguments */
static struct py_object *add_one(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return call_as(adder_of(python_object_of(arguments)), original, arguments, keywords, 1, 1);
}

/* self, two functions */
static struct py_object *add_two(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return call_as(adder_of(python_object_of(arguments)), original, arguments, keywords, 1, 2);
}

/* self, when, the function, its arguments */
static struct py_object *add_timer(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return call_as(adder_of(python_object_of(arguments)), original, arguments, keywords, 2, 2);
}

/* self, two functions, of which one may be None. A thread that a request has started takes nobody's
 * work as well. */
static struct py_object *give(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *capsule = python_object_of(arguments) == NULL ? NULL : current_made();
    if (capsule == NULL && python_is_ours())
        capsule = note_make(CARRIER_NONE);
    return call_as(capsule, original, arguments, keywords, 1, 2);
}

/* self: a thing that is worked on later */
static struct py_object *begin_work(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *self = python_object_of(arguments);
    struct py_object *capsule = self == NULL ? NULL : current_made();
    if (capsule != NULL)
        py.PyObject_SetAttrString(self, attribute, capsule);
    py.PyErr_Clear();
    py.Py_DecRef(capsule);
    return py.PyObject_Call(original, arguments, keywords);
}

static struct py_object *do_work(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *capsule = python_attribute(python_object_of(arguments), attribute);
    if (capsule == NULL)
        return py.PyObject_Call(original, arguments, keywords);
    struct py_object *result = current_call(capsule, original, arguments, keywords);
    py.Py_DecRef(capsule);
    return result;
}

/* A coroutine that asks is a consumer from now on. */
static struct py_object *get(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    struct py_object *nobodys =
        result == NULL || !python_is_ours() ? NULL : note_make(CARRIER_NONE);
    if (nobodys == NULL)
        return result;
    py.PyObject_SetAttrString(result, attribute, nobodys);
    py.PyErr_Clear();
    py.Py_DecRef(nobodys);
    signals_hand_in();
    return result;
}

/* A coroutine that calls what somebody has added may be a worker for many. */
static struct py_object *fire(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    bool had_fired = python_thread.has_fired;
    python_thread.has_fired = false;
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    if (python_thread.has_fired && python_is_ours()) {
        struct python_error error = python_set_aside();
        signals_hand_in();
        python_put_back(error);
    }
    python_thread.has_fired |= had_fired;
    return result;
}

/* --- the reactor ------------------------------------------------------------------------------ */

static struct py_object *react(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *nobodys = python_is_ours() ? note_make(CARRIER_NONE) : NULL;
    if (nobodys == NULL)
        return py.PyObject_Call(original, arguments, keywords);
    python_thread.reacts++;
    struct py_object *result = current_call(nobodys, original, arguments, keywords);
    python_thread.reacts--;
    py.Py_DecRef(nobodys);
    return result;
}

/* It reads and writes inside TLS by memory, in the event in which the bytes came. */
static struct py_object *read_secure(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    if (result != NULL && python_is_ours() && python_thread.reacts > 0)
        current_learn(-1);
    return result;
}

/* --- transports ------------------------------------------------------------------------------- */

static long number_of(struct py_object *number, long fallback)
{
    long value = number == NULL ? fallback : py.PyLong_AsLong(number);
    py.Py_DecRef(number);
    return value;
}

static bool is_empty(struct py_object *transport)
{
    struct py_object *data = python_attribute(transport, "dataBuffer");
    long waiting = data == NULL ? 1 : py.PyObject_Size(data);
    py.Py_DecRef(data);
    return waiting - number_of(python_attribute(transport, "offset"), 0) == 0 &&
           number_of(python_attribute(transport, "_tempDataLen"), 1) == 0;
}

static bool is_by_one(struct py_object *before, struct py_object *writer)
{
    return request_of(before) == request_of(writer);
}

/* self, what to write. What waits may be several's. */
static struct py_object *write_later(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *transport = python_object_of(arguments);
    struct py_object *writer = transport == NULL ? NULL : current_get();
    struct py_object *before =
        transport == NULL || is_empty(transport) ? NULL : python_attribute(transport, attribute);
    bool is_others = before != NULL && !is_by_one(before, writer);
    if (transport != NULL && (writer == NULL || is_others)) {
        py.Py_DecRef(writer);
        writer = note_make(CARRIER_NONE);
    }
    if (writer != NULL)
        py.PyObject_SetAttrString(transport, attribute, writer);
    py.PyErr_Clear();
    py.Py_DecRef(before);
    py.Py_DecRef(writer);
    return py.PyObject_Call(original, arguments, keywords);
}

static struct py_object *write_now(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *transport = python_object_of(arguments);
    struct py_object *writer = python_attribute(transport, attribute);
    if (writer == NULL)
        return py.PyObject_Call(original, arguments, keywords);
    struct py_object *result = current_call(writer, original, arguments, keywords);
    struct python_error error = python_set_aside();
    if (is_empty(transport))
        py.PyObject_SetAttrString(transport, attribute, NULL);
    py.PyErr_Clear();
    py.Py_DecRef(writer);
    python_put_back(error);
    return result;
}

#define EVENT(module, type, name) PLACE("twisted.internet." module, type, name)

static struct python_place rows[] = {
    {EVENT("defer", "Deferred", "addCallbacks"), .call = add_two},
    {EVENT("defer", "Deferred", "addCallback"), .call = add_one},
    {EVENT("defer", "Deferred", "addErrback"), .call = add_one},
    {EVENT("defer", "Deferred", "addBoth"), .call = add_one},
    {EVENT("defer", "Deferred", "callback"), .call = fire},
    {EVENT("defer", "Deferred", "errback"), .call = fire},
    {EVENT("defer", "DeferredQueue", "get"), .call = get},
    {EVENT("task", "CooperativeTask", "__init__"), .call = begin_work},
    {EVENT("task", "CooperativeTask", "_oneWorkUnit"), .call = do_work},
    {EVENT("task", "Cooperator", "_tick"), .call = react},
    {EVENT("base", "ReactorBase", "callLater"), .call = add_timer},
    {EVENT("base", "ReactorBase", "callFromThread"), .call = add_one},
    {EVENT("posixbase", "_PollLikeMixin", "_doReadOrWrite"), .call = react},
    {EVENT("selectreactor", "SelectReactor", "_doReadOrWrite"), .call = react},
    {EVENT("asyncioreactor", "AsyncioSelectorReactor", "_readOrWrite"), .call = react},
    {EVENT("asyncioreactor", "AsyncioSelectorReactor", "_onTimer"), .call = react},
    {EVENT("abstract", "FileDescriptor", "write"), .call = write_later},
    {EVENT("abstract", "FileDescriptor", "writeSequence"), .call = write_later},
    {EVENT("abstract", "FileDescriptor", "doWrite"), .call = write_now},
    {PLACE("twisted.python.threadpool", "ThreadPool", "callInThreadWithCallback"), .call = give},
    {PLACE("twisted.web.http", "HTTPChannel", "requestDone"), .call = react},
    {PLACE("OpenSSL.SSL", "Connection", "recv"), .call = read_secure},
};

const struct python_places twisted_places = {rows, sizeof(rows) / sizeof(rows[0])};
