/* SPDX-License-Identifier: Apache-2.0 */
/* The way in, and what may end it. */
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "counters.h"
#include "object.h"
#include "process.h"
#include "python.h"
#include "queue.h"
#include "text.h"

static const struct python_places *const all_places[] = {&socket_places, &task_places,
    &thread_places, &queue_places, &signal_places, &greenlet_places, &uvloop_places,
    &message_places, &aiormq_places, &celery_places, &twisted_places, &kafka_places, &nats_places};

static void *main_interpreter;
static bool is_active;
static uint32_t missing = UINT32_MAX; /* places whose modules have not been imported yet */

/* At the end of the interpreter, and for good: a second one in the process is not ours. */
static void python_ended(void)
{
    if (is_active)
        queue_end_messages(); /* of what the consumers were there is nothing left */
    is_active = false;
}

bool python_is_ours(void)
{
    return is_active && py.PyInterpreterState_Head() == main_interpreter;
}

struct py_object *python_object_of(struct py_object *arguments)
{
    bool is_known = python_is_ours() && arguments != NULL && py.PyObject_Size(arguments) > 0;
    return is_known ? py.PyTuple_GetItem(arguments, 0) : NULL;
}

bool python_fill(struct python_place *place, struct py_object *modules)
{
    const char *type = text_nth(place->path, 1), *name = text_nth(type, 1);
    struct py_object *module = py.PyDict_GetItemString(modules, place->path);
    struct py_object *owner = module;
    if (module == NULL)
        return false;
    if (*type != '\0' && (owner = py.PyObject_GetAttrString(module, type)) == NULL)
        return false; /* it is being imported */
    if (place->original == NULL)
        wrap_method(owner, name, place->call);
    else
        replace_method(owner, name, place->method, place->original, place->flags);
    if (owner != module)
        py.Py_DecRef(owner);
    return true;
}

void python_look_again(void)
{
    greenlets_look();
    struct py_object *modules = missing == 0 ? NULL : py.PyImport_GetModuleDict();
    if (modules == NULL)
        return;
    missing = 0;
    for (size_t i = 0; i < sizeof(all_places) / sizeof(all_places[0]); i++)
        for (uint32_t k = 0; k < all_places[i]->count; k++) {
            struct python_place *place = &all_places[i]->rows[k];
            place->is_done = place->is_done || python_fill(place, modules);
            missing += !place->is_done;
            py.PyErr_Clear();
        }
    missing += signals_look(modules);
    uvloop_look();
}

/* A build that traces references has other layouts. */
static bool is_known_build(void)
{
    struct py_object *sys = py.PyDict_GetItemString(py.PyImport_GetModuleDict(), "sys");
    struct py_object *tracing = sys == NULL ? NULL : py.PyObject_GetAttrString(sys, "getobjects");
    py.PyErr_Clear();
    if (tracing != NULL)
        py.Py_DecRef(tracing);
    return sys != NULL && tracing == NULL;
}

static bool is_alone(void)
{
    main_interpreter = py.PyInterpreterState_Head();
    return main_interpreter != NULL && py.PyInterpreterState_Next(main_interpreter) == NULL;
}

static bool start(void)
{
    return is_alone() && is_known_build() && current_start() && wrap_start() &&
           py.Py_AtExit(python_ended) == 0;
}

static void install(void)
{
    is_active = start();
    if (is_active)
        python_look_again();
    counter_add(is_active ? COUNTER_CARRIER_PYTHON : COUNTER_CARRIER_REFUSED, 1);
}

/* Calls it under the interpreter's lock, if Python is here. False: it is not ready. */
static bool call_locked(void (*function)(void))
{
    static bool is_known, is_asked;
    if (!is_asked) {
        is_known = python_look();
        is_asked = true;
    }
    if (!is_known)
        return true;
    /* Only a thread of Python's: it has given the lock back for this call, and takes it again. */
    if (!py.Py_IsInitialized() || py.PyGILState_GetThisThreadState() == NULL)
        return false;
    int state = py.PyGILState_Ensure();
    struct python_error error = python_set_aside();
    if (!is_active)
        function();
    py.PyErr_Clear();
    python_put_back(error);
    py.PyGILState_Release(state);
    return true;
}

bool python_install(void)
{
    return call_locked(install);
}

/* Is the code the socket module's, or in the object that has Python's own? */
struct caller {
    uintptr_t code, python;
};

static int is_pythons(struct dl_phdr_info *info, size_t size, void *argument)
{
    const struct caller *caller = argument;
    return object_contains(info, caller->code) &&
           (object_contains(info, caller->python) || strstr(info->dlpi_name, "/_socket.") != NULL);
}

bool python_connected(const void *caller)
{
    struct caller wanted = {(uintptr_t)caller, (uintptr_t)py.PyGILState_Ensure};
    return wanted.python != 0 && py.Py_IsInitialized() &&
           py.PyGILState_GetThisThreadState() != NULL &&
           dl_iterate_phdr(is_pythons, &wanted) != 0 && python_install();
}

static void install_in_worker(void)
{
    if (py.PyDict_GetItemString(py.PyImport_GetModuleDict(), "billiard.pool") == NULL)
        return;
    install();
    if (is_active)
        celery_look();
}

static int is_used_by_billiard(struct dl_phdr_info *info, size_t size, void *unused)
{
    return strstr(info->dlpi_name, "/_multiprocessing.") != NULL;
}

/* A child that a library has forked, and not Python, could wait for the lock for ever. */
void python_connecting(void)
{
    if (dl_iterate_phdr(is_used_by_billiard, NULL) != 0)
        call_locked(install_in_worker);
}
