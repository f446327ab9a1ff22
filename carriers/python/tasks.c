/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio: handles run in contexts, and who makes a handle wakes what will run in it. */
#include <stddef.h>
#include <string.h>

#include "carrier.h"
#include "note.h"
#include "python.h"

static py_method *original_run;
static struct py_object *get_running_loop, *current_task, *current_tasks, *none;

struct py_object *python_attribute(struct py_object *object, const char *name)
{
    struct py_object *found = object == NULL ? NULL : py.PyObject_GetAttrString(object, name);
    if (found == NULL)
        py.PyErr_Clear();
    return found;
}

struct py_object *python_attribute_of(struct py_object *object, const char *name)
{
    struct py_object *found = python_attribute(object, name);
    py.Py_DecRef(object);
    return found;
}

struct py_object *tasks_attribute(const char *module, const char *name)
{
    return python_attribute(py.PyDict_GetItemString(py.PyImport_GetModuleDict(), module), name);
}

struct py_object *tasks_none(void)
{
    if (none == NULL)
        none = py.Py_BuildValue("");
    return none;
}

static bool know_loops(void)
{
    if (get_running_loop != NULL)
        return true;
    tasks_none();
    current_task = tasks_attribute("_asyncio", "current_task"); /* in C from 3.12 on */
    current_tasks = tasks_attribute("_asyncio", "_current_tasks");
    get_running_loop = tasks_attribute("_asyncio", "_get_running_loop");
    return get_running_loop != NULL;
}

/* The functions called here are in C: none of the program's code runs, no signal is looked at. */
static struct py_object *running_loop(void)
{
    struct py_object *loop = know_loops() ? py.PyObject_CallObject(get_running_loop, NULL) : NULL;
    if (loop == none && loop != NULL) {
        py.Py_DecRef(loop);
        return NULL;
    }
    if (loop == NULL)
        py.PyErr_Clear();
    return loop;
}

bool tasks_have_loop(void)
{
    struct py_object *loop = running_loop();
    if (loop == NULL)
        return false;
    py.Py_DecRef(loop);
    return true;
}

bool tasks_are_scheduled(void)
{
    return current_context != NULL || tasks_have_loop() || greenlets_refresh();
}

static bool is_of_type(const struct py_object *object, const char *wanted, struct py_object **known)
{
    struct py_object *type = object == NULL ? NULL : ((const struct python_head *)object)->type;
    if (type == NULL || *known != NULL)
        return type != NULL && type == *known;
    struct py_object *text = py.PyObject_GetAttrString(type, "__name__");
    const char *name = text == NULL ? NULL : py.PyUnicode_AsUTF8(text);
    if (name != NULL && strcmp(name, wanted) == 0)
        *known = type; /* of the C library's own, there for good */
    if (text != NULL)
        py.Py_DecRef(text);
    py.PyErr_Clear();
    return type == *known;
}

bool tasks_is_step(const struct py_object *callback)
{
    static struct py_object *step_type;
    return is_of_type(callback, "TaskStepMethWrapper", &step_type);
}

void tasks_doubt(void)
{
    uint32_t handle = python_thread.is_callback ? carrier_look().handle : CARRIER_NONE;
    if (handle != CARRIER_NONE)
        carrier_enter_guess(handle);
}

static bool has_task(struct py_object *loop)
{
    if (current_task == NULL)
        return current_tasks == NULL || py.PyDict_GetItem(current_tasks, loop) != NULL;
    struct py_object *task = py.PyObject_CallObject(current_task, NULL);
    if (task == NULL)
        py.PyErr_Clear();
    else
        py.Py_DecRef(task);
    return task != NULL && task != none;
}

bool tasks_is_task(void)
{
    struct py_object *loop = running_loop();
    if (loop == NULL)
        return python_thread.reacts == 0 || current_context != NULL;
    bool is_task = has_task(loop);
    py.Py_DecRef(loop);
    return is_task;
}

/* Modules/_asynciomodule.c: a task is woken by a method in C, or by an object of a type of its own.
 */
static bool is_wakeup(const struct py_object *callback)
{
    struct function {
        struct python_head head;
        const char *const *method; /* its name comes first */
    };
    static struct py_object *function_type, *wakeup_type;
    if (function_type == NULL)
        function_type = ((struct python_head *)get_running_loop)->type;
    struct py_object *type = ((const struct python_head *)callback)->type;
    if (type == function_type)
        return strcmp(*((const struct function *)callback)->method, "task_wakeup") == 0;
    return is_of_type(callback, "TaskWakeupMethWrapper", &wakeup_type);
}

/* Context.run's arguments lie in an array. Does what it calls belong to an event loop, rather than
 * to a task? */
static bool is_of_loop(struct py_object *const *arguments, intptr_t count)
{
    return count > 0 && !tasks_is_step(arguments[0]) && tasks_have_loop() &&
           !is_wakeup(arguments[0]);
}

/* A thread that is at its own request goes on with that after what runs in a context, as asgiref's
 * work for it does; a loop does not. */
static struct carrier_view own_request(const struct py_object *outer)
{
    struct carrier_view view = carrier_look();
    bool is_own = outer == NULL && current_context == NULL && view.is_request && !view.is_carried;
    return is_own && !tasks_have_loop() ? view : (struct carrier_view){0};
}

static void *our_run(void *context, void *a, void *b, void *c)
{
    if (!python_is_ours())
        return original_run(context, a, b, c);
    bool is_first = current_context == NULL && uvloop_is_known();
    struct py_object *lent = is_first ? current_lend(context) : NULL;
    if (is_first)
        uvloop_calls(true);
    bool was_callback = python_thread.is_callback;
    struct py_object *inner = NULL;
    if (!current_begin(context, &inner))
        return original_run(context, a, b, c); /* it is entered somewhere: nothing was lent */
    struct py_object *outer = current_get();
    struct py_object *outer_context = current_context;
    struct carrier_view own = own_request(outer);
    carrier_hold(own.handle);
    if (current_context == NULL)
        python_thread.is_callback = is_of_loop(a, (intptr_t)b);
    current_context = context;
    current_enter(inner, context);
    tasks_doubt();
    if (inner != NULL)
        py.Py_DecRef(inner);
    void *result = original_run(context, a, b, c);
    struct python_error error = python_set_aside();
    if (is_first)
        uvloop_calls(false);
    if (lent != NULL)
        current_return(context, lent);
    python_thread.is_callback = was_callback;
    current_context = outer_context;
    if (own.handle == CARRIER_NONE)
        current_enter(outer, outer_context);
    else
        carrier_return(own);
    carrier_drop(own.handle);
    tasks_doubt();
    if (outer != NULL)
        py.Py_DecRef(outer);
    python_put_back(error);
    return result;
}

/* Has it been copied for this handle, or for the task whose first step this is? */
static bool is_new(
    struct py_object *context, struct py_object *arguments, struct py_object *keywords)
{
    enum { CALLBACK = 1, CONTEXT = 4 };
    bool has_all = py.PyObject_Size(arguments) > CONTEXT;
    struct py_object *given = has_all            ? py.PyTuple_GetItem(arguments, CONTEXT)
                              : keywords != NULL ? py.PyDict_GetItemString(keywords, "context")
                                                 : NULL;
    if (given == NULL || (know_loops() && given == none))
        return true;
    return context != current_context && tasks_is_step(py.PyTuple_GetItem(arguments, CALLBACK));
}

/* Of a class below the one that handles for now are of. */
static bool is_timer(struct py_object *handle)
{
    static struct py_object *plain;
    if (plain == NULL)
        plain = tasks_attribute("asyncio.events", "Handle");
    return ((struct python_head *)handle)->type != plain;
}

static struct py_object *make_handle(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    if (result == NULL || !python_is_ours())
        return result;
    struct py_object *handle = py.PyTuple_GetItem(arguments, 0);
    struct py_object *context = py.PyObject_GetAttrString(handle, "_context");
    if (context == NULL) {
        py.PyErr_Clear();
        return result;
    }
    bool is_made = is_new(context, arguments, keywords);
    if (is_made)
        current_make_late(context);
    current_adopt(context, is_made && !is_timer(handle));
    if (!is_made)
        signals_wake(context);
    else if (!tasks_have_loop())
        threads_hand_in();
    py.Py_DecRef(context);
    return result;
}

/* The call, with what the running context has been given, which it has no more then. */
static struct py_object *call_with(struct py_object *token, struct py_object *original,
    struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    if (token == NULL)
        return result;
    struct python_error error = python_set_aside();
    current_leave(token);
    python_put_back(error);
    return result;
}

/* asgiref puts all variables of one context into another, of a thread of many requests, too: not
 * ours. */
static struct py_object *restore(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *capsule = python_is_ours() ? note_make(CARRIER_NONE) : NULL;
    struct py_object *token = capsule == NULL ? NULL : current_put(capsule);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
    return call_with(token, original, arguments, keywords);
}

static struct python_place rows[] = {
    {PLACE("asgiref.sync", "", "_restore_context"), .call = restore},
    {PLACE("_contextvars", "Context", "run"), {our_run}, &original_run},
    {PLACE("asyncio.events", "Handle", "__init__"), .call = make_handle},
};

const struct python_places task_places = {rows, sizeof(rows) / sizeof(rows[0])};
