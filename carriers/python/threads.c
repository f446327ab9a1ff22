/* SPDX-License-Identifier: Apache-2.0 */
/* Work that goes to other threads: new ones inherit (runtime/attribution.h), executors' carry. */
#include <stddef.h>

#include "carrier.h"
#include "python.h"

static py_method *original_start, *original_start_joinable;
static struct py_object *attribute;

static void prepare(void)
{
    if (!python_is_ours())
        return;
    python_look_again();
    current_tell();
}

static void *our_start(void *self, void *a, void *b, void *c)
{
    prepare();
    void *result = original_start(self, a, b, c);
    tasks_doubt();
    return result;
}

static void *our_start_joinable(void *self, void *a, void *b, void *c)
{
    prepare();
    void *result = original_start_joinable(self, a, b, c);
    tasks_doubt();
    return result;
}

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

/* For as long as the item runs, its thread's own context says what it carries. */
static struct py_object *begin_item(struct py_object *item)
{
    struct py_object *capsule = know_attribute() ? py.PyObject_GetAttr(item, attribute) : NULL;
    if (capsule == NULL) {
        py.PyErr_Clear();
        return NULL;
    }
    struct py_object *token = current_put(capsule);
    current_enter(capsule, NULL);
    py.Py_DecRef(capsule);
    return token;
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

static struct python_place rows[] = {
    {"_thread", NULL, "start_new_thread", our_start, &original_start},
    {"_thread", NULL, "start_joinable_thread", our_start_joinable, &original_start_joinable},
    {"concurrent.futures.thread", "_WorkItem", "__init__", .call = make_item},
    {"concurrent.futures.thread", "_WorkItem", "run", .call = run_item},
};

const struct python_places thread_places = {rows, sizeof(rows) / sizeof(rows[0])};
