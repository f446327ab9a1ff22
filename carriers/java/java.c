/* SPDX-License-Identifier: Apache-2.0 */
#include "java.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "carrier.h"
#include "counters.h"
#include "given.h"
#include "hook.h"
#include "jvm.h"
#include "kafka_natives.h"
#include "originals.h"
#include "sys.h"
#include "thread.h"

int32_t (*java_identity)(struct jni *, void *object);

void *java_queues_end, *java_carries_virtual;
void *(*java_thread)(struct jni *, void *class);

static struct jvm *machine;
static bool has_clients; /* all that will be changed are */
struct jvmti *java_tools;
uint32_t java_in_use;
static uint32_t changed; /* classes */
#define servers_end (executors_classes + EXECUTOR_CLASSES + SERVER_CLASSES)
#define classes_end (servers_end + OTHER_CLASSES)
#define clients (servers_end - CLIENT_CLASSES)
enum { RABBIT_CLASSES = 2 }; /* before those */

/* --- inside the machine ----------------------------------------------------------------------- */

static void edit(struct jvmti *tools, struct jni *env, void *class, void *loader, const char *name,
    void *domain, int32_t length, const uint8_t *bytes, int32_t *new_length, uint8_t **new_bytes)
{
    if (!thread_is_exempt() || class == NULL || name == NULL)
        return; /* another thread loads something */
    const struct executor_class *row = executors_classes;
    while (row < classes_end && strcmp(row->name, name) != 0)
        row++;
    size_t room = (size_t)length + CLASSFILE_GROWTH_MAX;
    uint8_t *out;
    if (row == classes_end || jvmti_allocate(tools, (int64_t)room, &out) != 0)
        return;
    const struct edit *edits = executors_edits + row->first;
    size_t used = classfile_edit(bytes, (size_t)length, edits, row->edits, out, room);
    if (used == 0)
        return; /* as large as a class is what we leave there */
    *new_bytes = out;
    *new_length = (int32_t)used;
    for (size_t i = 0; i < row->edits; i++)
        java_in_use |= 1u << edits[i].native;
    changed++;
}

static bool define(struct jni *env)
{
    uint8_t bytes[1024];
    struct jni_native natives[NATIVE_COUNT];
    for (int i = 0; i < NATIVE_COUNT; i++)
        natives[i] = (struct jni_native){classfile_natives[i].name,
            classfile_natives[i].takes_object ? "(Ljava/lang/Object;)V" : "()V",
            executors_natives[i]};
    size_t length = classfile_helper(bytes, sizeof(bytes));
    void *class = length == 0 ? NULL : jni_define_class(env, CLASSFILE_HELPER, bytes, length);
    return class != NULL && jni_register(env, class, natives, NATIVE_COUNT) == 0;
}

/* As this loader finds it. A loader like OSGi's may hide what is not its own. */
static void *find_by(struct jni *env, void *loader, const char *name)
{
    char dotted[sizeof(executors_classes[0].name)];
    size_t length = 0;
    for (; name[length] != 0; length++)
        dotted[length] = name[length] == '/' ? '.' : name[length];
    dotted[length] = 0;
    void *class = jni_class_of_loader(env, dotted, loader);
    jni_clear_exception(env);
    return class;
}

static bool are_of_one(const struct executor_class *a, const struct executor_class *b)
{
    enum { FAMILY = sizeof("org/eclipse/jetty") - 1 }; /* the others' are no shorter */
    return strncmp(a->name, b->name, FAMILY) == 0;
}

/* All of one server, by the loader of the first of them: the others may not have been needed yet.
 */
static void change_server(
    struct jni *env, struct jvmti *tools, void *loader, const struct executor_class *first)
{
    if (find_by(env, loader, CLASSFILE_HELPER) == NULL)
        return; /* whose methods are to be called */
    uint32_t before = changed;
    for (const struct executor_class *row = first; row < servers_end; row++) {
        void *class = are_of_one(row, first) ? find_by(env, loader, row->name) : NULL;
        if (class != NULL)
            jvmti_retransform(tools, 1, &class);
    }
    if (first == clients) {
        has_clients = true;
        kafka_is_off |= changed - before != CLIENT_CLASSES;
    }
}

static void change_if_server(struct jni *env, struct jvmti *tools, void *class, const char *name,
    const struct executor_class *from)
{
    void *loader;
    for (const struct executor_class *row = from; row < servers_end; row++) {
        size_t length = strlen(row->name);
        if (!are_of_one(row, row - 1) && strncmp(name + 1, row->name, length) == 0 &&
            name[length + 1] == ';' && jvmti_loader(tools, class, &loader) == 0)
            change_server(env, tools, loader, row);
    }
}

/* By loaders of their own: those that a row from this one on tells. All else is as good without. */
static void change_servers(struct jni *env, struct jvmti *tools, const struct executor_class *from)
{
    void **classes;
    int32_t count;
    if (jvmti_loaded_classes(tools, &count, &classes) != 0)
        return;
    for (int32_t i = 0; i < count; i++) {
        char *signature;
        if (jvmti_signature(tools, classes[i], &signature) != 0)
            continue;
        change_if_server(env, tools, classes[i], signature, from);
        jvmti_free(tools, signature);
    }
    jvmti_free(tools, classes);
}

static void change_others(struct jni *env, struct jvmti *tools)
{
    for (const struct executor_class *row = servers_end; row < classes_end; row++) {
        void *class = jni_find_class(env, row->name);
        jni_clear_exception(env);
        if (class != NULL)
            jvmti_retransform(tools, 1, &class);
    }
}

static bool change(struct jni *env, struct jvmti *tools)
{
    void *classes[EXECUTOR_CLASSES];
    for (int i = 0; i < EXECUTOR_CLASSES; i++)
        if ((classes[i] = jni_find_class(env, executors_classes[i].name)) == NULL)
            return false;
    static const struct jvmti_callbacks callbacks = {
        .thread_start = executors_thread_start, .class_file_load = edit};
    if (jvmti_may_retransform(tools) != 0 || jvmti_set_callbacks(tools, &callbacks) != 0 ||
        jvmti_switch(tools, JVMTI_CLASS_FILE_LOAD, true) != 0)
        return false;
    bool is_done =
        jvmti_retransform(tools, EXECUTOR_CLASSES, classes) == 0 && changed == EXECUTOR_CLASSES;
    if (is_done) {
        change_servers(env, tools, executors_classes + EXECUTOR_CLASSES);
        change_others(env, tools);
    }
    jvmti_switch(tools, JVMTI_CLASS_FILE_LOAD, false);
    return is_done && jvmti_switch(tools, JVMTI_THREAD_START, true) == 0;
}

static void *find_for_ever(struct jni *env, const char *name)
{
    void *class = jni_find_class(env, name);
    jni_clear_exception(env);
    return class == NULL ? NULL : jni_keep(env, class);
}

#define QUEUES_END "jdk/internal/net/http/common/SequentialScheduler$SchedulableTask"

static bool enter_machine(void)
{
    static const struct jvm_attach how = {JNI_VERSION, "burdock", NULL};
    struct jni *env;
    struct jvmti *tools;
    if (jvm_attach_as_daemon(machine, &env, &how) != 0)
        return false;
    bool is_done = false;
    if (given_start() && define(env) && jvm_tools(machine, &tools) == 0) {
        java_queues_end = find_for_ever(env, QUEUES_END);
        if (java_thread != NULL)
            java_carries_virtual = find_for_ever(env, "jdk/internal/misc/CarrierThread");
        java_tools = tools;
        is_done = change(env, tools);
        if (!is_done)
            jvmti_dispose(tools);
    }
    jni_clear_exception(env);
    jvm_detach(machine);
    return is_done;
}

static void look_again(void)
{
    static const struct jvm_attach how = {JNI_VERSION, "burdock", NULL};
    struct jni *env;
    if (jvm_attach_as_daemon(machine, &env, &how) != 0)
        return;
    if (jvmti_switch(java_tools, JVMTI_CLASS_FILE_LOAD, true) == 0)
        change_servers(env, java_tools, clients - RABBIT_CLASSES);
    jvmti_switch(java_tools, JVMTI_CLASS_FILE_LOAD, false);
    jni_clear_exception(env);
    jvm_detach(machine);
}

/* --- the way in ------------------------------------------------------------------------------- */

enum state { STATE_NONE, STATE_AT_WORK, STATE_OVER };
static uint32_t state;
static bool is_in; /* for good */

static void *run(void *argument)
{
    thread_exempt();
    if (is_in)
        look_again();
    else {
        is_in = enter_machine();
        counter_add(is_in ? COUNTER_CARRIER_JAVA : COUNTER_CARRIER_REFUSED, 1);
    }
    __atomic_store_n(&state, STATE_OVER, __ATOMIC_RELEASE);
    return NULL;
}

/* The machine stops threads by faults, and glibc by its own two signals; nothing else is for it. */
static bool start(void)
{
    uint64_t others = ~(3ull << 31 | 1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) |
                        1ull << (SIGFPE - 1) | 1ull << (SIGILL - 1) | 1ull << (SIGTRAP - 1));
    uint64_t before;
    pthread_attr_t attributes;
    pthread_t thread;
    if (originals.pthread_create == NULL || pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sys(SYS_rt_sigprocmask, SIG_SETMASK, &others, &before, sizeof(others));
    int error = originals.pthread_create(&thread, &attributes, run, NULL);
    sys(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
    pthread_attr_destroy(&attributes);
    return error == 0;
}

/* The thread that has accepted is outside the machine's own code, which may stop all others
 * meanwhile; it waits, since the first requests should not be worse off. But not for ever. */
static void wait(void)
{
    enum { STEPS_MAX = 2000 };
    static const struct timespec step = {0, 1000000};
    for (int i = 0; i < STEPS_MAX; i++) {
        if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == STATE_OVER)
            return;
        sys(SYS_nanosleep, &step, NULL);
    }
}

bool java_install(void)
{
    int32_t count = 0;
    static const char names[] = "JNI_GetCreatedJavaVMs\0"
                                "JVM_IHashCode\0"
                                "AsyncGetCallTrace\0"
                                "JVM_CurrentCarrierThread\0";
    struct {
        int (*created)(struct jvm **machines, int32_t room, int32_t *count);
        int32_t (*identity)(struct jni *, void *object);
        void *hotspots_own; /* no other machine has it */
        void *(*thread)(struct jni *, void *class);
    } found = {NULL};
    if (!hooks_find(names, &found))
        return false;
    if (found.identity == NULL || found.hotspots_own == NULL)
        return true; /* another one's */
    java_identity = found.identity;
    java_thread = found.thread;
    if (found.created(&machine, 1, &count) != 0 || count == 0)
        return false;
    state = STATE_AT_WORK;
    if (start())
        wait();
    return true;
}

/* Of several loaders those that have it when the first one has. */
bool java_look_again(void)
{
    enum { LOOKS_MAX = 64 };
    static uint32_t looks;
    if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == STATE_AT_WORK)
        return false; /* it takes its time */
    if (!is_in || has_clients || ++looks > LOOKS_MAX)
        return true;
    state = STATE_AT_WORK;
    if (start())
        wait();
    return has_clients;
}

bool java_brought(void)
{
    enum { TIMES_MAX = 4 };
    static uint32_t times;
    if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == STATE_AT_WORK)
        return false;
    if (!is_in || times == TIMES_MAX || (java_in_use & 1u << NATIVE_WORK))
        return true;
    if (carrier_source().connection == NULL)
        return false;
    times++;
    state = STATE_AT_WORK;
    if (start())
        wait();
    return false;
}
