/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The carrier of CPython, 3.8 to 3.13. It is not linked with libpython and needs no header of it:
 * api.def declares the few functions, which are looked up in the process.
 *
 * Whose task runs is kept in a context variable of ours. Tasks, callbacks, asyncio.to_thread, anyio
 * and asgiref copy contextvars.Context when a piece of work is made, so what is in it is that of
 * who made it, in C and without a step of ours. Its value is a capsule that holds a handle
 * (runtime/carrier.h) and gives it back when the last context that has it is gone.
 *
 * | where | is done |
 * | socket.send, connect...    | before it: the thread enters what the variable says |
 * | socket.recv...             | after it: what was read on an event loop goes into the variable |
 * | Context.run                | the thread enters what the context says, and leaves it after |
 * | Handle.__init__ (asyncio)  | a context without a living request takes that of who wakes it |
 * | _WorkItem (executors)      | remembers who made it; its thread enters that |
 * | Queue (asyncio, queue)     | who put an item is remembered; a consumer enters that |
 * | Event, Condition (asyncio) | signals.c: who serves several requests is of none of them |
 * | consumers (pika)           | messages.c: their function enters the message it is called with |
 * | consumers (aiormq)         | aiormq.c: their tasks are made in the message they are for |
 * | consumers (nats-py)        | nats.c: who takes one from a queue enters the message |
 * | tasks (Celery)             | celery.c: in a worker process by the headers of their messages |
 * | greenlets (gevent)         | the same sockets; after each call the thread is in nothing |
 * | Deferreds, timers (Twisted) | twisted.c: who has added a function is who it works for |
 * | uvloop                     | uvloop.c: its handles enter contexts, its transports send later |
 * | start_new_thread           | the thread enters what the variable says: the new one inherits |
 *
 * Functions in C are replaced in their PyMethodDef, where nobody can see it; functions in Python by
 * an object that answers for the original in all but its type.
 *
 * All of it runs with the interpreter's lock (GIL) held, in the main interpreter; nothing of it in
 * an observe block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct py_object;

struct python {
#define PYTHON(result, name, parameters) result(*name) parameters;
#include "api.def"
#undef PYTHON
};
extern struct python py;

/* How each object begins. */
struct python_head {
    intptr_t references;
    struct py_object *type;
};

/* An exception that is on its way past us. */
struct python_error {
    struct py_object *type, *value, *traceback;
};
static inline struct python_error python_set_aside(void)
{
    struct python_error error;
    py.PyErr_Fetch(&error.type, &error.value, &error.traceback);
    return error;
}
static inline void python_put_back(struct python_error error)
{
    py.PyErr_Restore(error.type, error.value, error.traceback);
}

/* --- look.c, install.c ------------------------------------------------------------------------ */

/* Is CPython in this process, as we know it? */
bool python_look(void);
/* Host thread, outside an observe block. False: the interpreter is not ready. */
bool python_install(void);
/* The same in a worker that Celery has forked: it has its tasks by a pipe. */
void python_connecting(void);
/* Where Python's own code has connected, which holds nothing but its lock, and not that: as
 * python_install, and true once that is done. */
bool python_connected(const void *caller);
/* The interpreter is gone, or another one than ours runs here: nothing of ours may touch it. */
bool python_is_ours(void);
/* Whose method was called with these arguments, borrowed; NULL: none's, or not ours to touch. */
struct py_object *python_object_of(struct py_object *arguments);
/* The modules that had not been imported yet are looked for again. */
void python_look_again(void);

/* --- current.c: the variable ------------------------------------------------------------------ */

bool current_start(void);

/* The capsule that the running context has; a new reference or NULL. */
struct py_object *current_get(void);
/* The capsule that another context has, in which something is about to run. If it is nobody's and
 * serves a connection, it takes the request that is there. False: it is entered somewhere. */
bool current_begin(struct py_object *context, struct py_object **capsule);
/* What work made now carries: the running context's, else what the thread is in. */
struct py_object *current_made(void);
/* The thread enters what the capsule says, seen from the context; NULL: nobody's. */
void current_enter(struct py_object *capsule, struct py_object *context);
/* The running context has the capsule from now on; what current_leave takes it out by, or NULL. */
struct py_object *current_put(struct py_object *capsule);
/* The running code is nobody's, until current_leave. */
struct py_object *current_be_nobodys(void);
void current_leave(struct py_object *token);
/* Calls the function, as PyObject_Call, in what the capsule says; then all is as before. */
struct py_object *current_call(struct py_object *capsule, struct py_object *function,
    struct py_object *arguments, struct py_object *keywords);
/* The thread enters what the running context says. */
void current_tell(void);
/* Something was read: what the thread is in may belong into the running context, which from then on
 * serves this connection. fd -1: it is not known by which. */
void current_learn(int fd);
/* Work in `context` was made or woken by what runs now. is_use: made, and not for later. */
void current_adopt(struct py_object *context, bool is_use);

/* A callback in `context` is about to be told what its loop has read: it has that for as long as it
 * runs. NULL: nothing; else to be given to current_return. */
struct py_object *current_lend(struct py_object *context);
void current_return(struct py_object *context, struct py_object *token);

/* A task or a callback is made, in `context`, which is a copy of the running one: if the request
 * that this has adopted is over, it may be for the next one. */
void current_make_late(struct py_object *context);
/* What runs in `context` was made for this connection, and serves it alone. */
void current_serve(struct py_object *context, int fd, uint64_t connection);
/* The running context, if it is such a one and nobody's, takes the request that is there. */
void current_attend(void);

/* The context that runs on this thread, if Context.run began it; not held. */
extern __thread struct py_object *current_context;
/* The rest of what is known of the calling thread; one block, since there is little room. */
extern __thread struct python_thread {
    uint32_t releases;    /* calls under way that let the next one in: signals.c */
    bool is_callback : 1; /* what runs is the event loop's, and no task: tasks.c */
    bool has_begun : 1;   /* as it tells who has started it: threads.c */
    bool has_fired : 1;   /* a function that waited for something was called: twisted.c */
    bool is_green : 1;    /* current_context is a greenlet's, which may be gone by now */
    uint16_t reacts;      /* events of a reactor's under way: twisted.c */
} python_thread;

/* --- consumers.c (queue.h has more of it) ------------------------------------------------------
 */

struct note;

/* What waits in `context`, which is the running one and has the capsule, becomes what the taker has
 * become, if it waits for that one's taking. */
bool consumer_follows(struct py_object *capsule, struct py_object *context, struct note *taker);
/* What is about to run in `context`, which is the running one and has the capsule: something may
 * have been taken for it without its having been woken for that. */
bool consumer_catches_up(struct py_object *capsule, struct py_object *context);

/* --- signals.c -------------------------------------------------------------------------------- */

/* What waits in `context` is woken by what runs now; after current_adopt. */
void signals_wake(struct py_object *context);
/* A call that lets the next one in begins, or is over: it hands nothing over. */
void signals_release(bool begins);
bool signals_are_releases(void);
/* What runs in the running context, if a request has started it, may be at another one's from now
 * on. */
void signals_hand_in(void);
/* Places of more of them; answers how many modules are not there yet. */
uint32_t signals_look(struct py_object *modules);

/* --- replace.c: functions in C ---------------------------------------------------------------- */

/* A method by its calling convention may use any of the four registers. */
typedef void *py_method(void *self, void *a, void *b, void *c);
/* Of some the class comes as the second argument, from CPython 3.12 on. */
typedef void *py_wide_method(void *self, void *a, void *b, void *c, void *d);

/* Include/methodobject.h: how its arguments lie. */
enum { METHOD_FAST = 0x80 };

/* Puts `ours` in the place of the function `name` of the object (a module or a type). flags: what
 * its calls look like; may be NULL. */
bool replace_method(
    struct py_object *owner, const char *name, py_method *ours, py_method **original, int *flags);

/* --- wrap.c: functions in Python -------------------------------------------------------------- */

typedef struct py_object *wrapped_call(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords);

bool wrap_start(void);
/* Puts an object in the place of the class's function that calls `ours` with the original. */
bool wrap_method(struct py_object *type, const char *name, wrapped_call *ours);
/* Stands for the function, which is called in what the capsule says; NULL: no memory. */
struct py_object *wrap_carrying(struct py_object *function, struct py_object *capsule);
/* What calls `ours` and stands for no original; NULL: no memory. */
struct py_object *wrap_make(wrapped_call *ours);

/* --- what is put where ------------------------------------------------------------------------ */

/* Module, type, name, each ended: one pointer. No type: a function of the module. */
#define PLACE(module, type, name) module "\0" type "\0" name "\0"

struct python_place {
    const char *path; /* PLACE */
    union {
        py_method *method; /* in C... */
        py_wide_method *wide;
        wrapped_call *call; /* ...or in Python, and then there is no `original` */
    };
    py_method **original;
    int *flags; /* of it, for who asks */
    bool is_done;
};
/* Puts ours there. False: its module is not imported yet. */
bool python_fill(struct python_place *place, struct py_object *modules);

struct python_places {
    struct python_place *rows;
    uint32_t count;
};
extern const struct python_places socket_places, task_places, thread_places, queue_places,
    signal_places, greenlet_places, uvloop_places, message_places, aiormq_places, celery_places,
    twisted_places, kafka_places, nats_places;

/* Is this code run by a scheduler of many tasks: an event loop, or a greenlet that is not main? */
bool tasks_are_scheduled(void);
bool tasks_have_loop(void);
/* An attribute of a module that has been imported; a new reference or NULL. */
struct py_object *tasks_attribute(const char *module, const char *name);
/* An object's, a new reference; NULL: it has none, or is NULL. Only of what a library has made: no
 * code of the program's runs. */
struct py_object *python_attribute(struct py_object *object, const char *name);
/* The same; the reference to the object goes with it. */
struct py_object *python_attribute_of(struct py_object *object, const char *name);
/* None, not held; NULL: no memory. */
struct py_object *tasks_none(void);
/* Is this what runs a step of asyncio's own tasks? */
bool tasks_is_step(const struct py_object *callback);
/* A library in C that an event loop's callback calls may do anybody's work there (libcurl's multi
 * interface): what it sends by itself is in doubt. After whatever enters a context. */
void tasks_doubt(void);
/* And is it a task, rather than a callback of the loop? */
bool tasks_is_task(void);

/* --- threads.c -------------------------------------------------------------------------------- */

/* The running thread, if it was started for a request, may be at another one's from now on. */
void threads_hand_in(void);
/* Is this the lock that threads begin and end with? */
bool threads_is_beginning(const struct py_object *lock);

/* --- celery.c --------------------------------------------------------------------------------- */

/* The task that is at work here, if this is such a worker. */
void celery_look(void);

/* --- greenlets.c ------------------------------------------------------------------------------ */

void greenlets_look(void);
/* Does a greenlet run here that is not the thread's own? Then current_context is its context. */
bool greenlets_refresh(void);
/* The running greenlet, if a request has started it, may be at another one's from now on. */
void greenlets_hand_in(void);
/* Calls what takes locks of its own, by which the greenlet is given nothing, however often it
 * waits. */
struct py_object *greenlets_call_kept(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords);
/* It has sent or read: whichever runs next is not known. */
void greenlets_leave(void);

/* --- uvloop.c --------------------------------------------------------------------------------- */

void uvloop_look(void);
bool uvloop_is_known(void);
/* A callback for what libuv has read begins, or is over. */
void uvloop_calls(bool begins);
