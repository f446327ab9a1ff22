/* SPDX-License-Identifier: Apache-2.0 */
#include "jvm.h"

/* An environment is a pointer to a table of functions. */
#define CALL(env, place, result, parameters) \
    ((result(*) parameters)(*(void *const *const *)(const void *)(env))[place])

enum { VM_DETACH = 5, VM_GET_ENV = 6, VM_ATTACH_AS_DAEMON = 7 };

int jvm_attach_as_daemon(struct jvm *vm, struct jni **env, const struct jvm_attach *how)
{
    return CALL(vm, VM_ATTACH_AS_DAEMON, int,
        (struct jvm *, struct jni **, const struct jvm_attach *))(vm, env, how);
}

int jvm_detach(struct jvm *vm)
{
    return CALL(vm, VM_DETACH, int, (struct jvm *))(vm);
}

int jvm_tools(struct jvm *vm, struct jvmti **env)
{
    return CALL(vm, VM_GET_ENV, int, (struct jvm *, struct jvmti **, int32_t))(
        vm, env, JVMTI_VERSION);
}

enum {
    JNI_DEFINE_CLASS = 5,
    JNI_FIND_CLASS = 6,
    JNI_EXCEPTION_CLEAR = 17,
    JNI_NEW_GLOBAL_REF = 21,
    JNI_DELETE_LOCAL_REF = 23,
    JNI_GET_OBJECT_CLASS = 31,
    JNI_IS_INSTANCE_OF = 32,
    JNI_GET_FIELD_ID = 94,
    JNI_GET_OBJECT_FIELD = 95,
    JNI_GET_INT_FIELD = 100,
    JNI_GET_LONG_FIELD = 101,
    JNI_GET_STATIC_METHOD = 113,
    JNI_CALL_STATIC_OBJECT = 116,
    JNI_NEW_STRING = 167,
    JNI_REGISTER = 215
};

void *jni_find_class(struct jni *env, const char *name)
{
    return CALL(env, JNI_FIND_CLASS, void *, (struct jni *, const char *))(env, name);
}

/* By the loader of the machine's own classes. */
void *jni_define_class(struct jni *env, const char *name, const uint8_t *bytes, size_t length)
{
    return CALL(env, JNI_DEFINE_CLASS, void *,
        (struct jni *, const char *, void *, const uint8_t *, int32_t))(
        env, name, NULL, bytes, (int32_t)length);
}

int jni_register(struct jni *env, void *class, const struct jni_native *natives, int count)
{
    return CALL(env, JNI_REGISTER, int, (struct jni *, void *, const struct jni_native *, int32_t))(
        env, class, natives, count);
}

void *jni_keep(struct jni *env, void *object)
{
    return CALL(env, JNI_NEW_GLOBAL_REF, void *, (struct jni *, void *))(env, object);
}

bool jni_is_instance(struct jni *env, void *object, void *class)
{
    return CALL(env, JNI_IS_INSTANCE_OF, uint8_t, (struct jni *, void *, void *))(
               env, object, class) != 0;
}

void *jni_class_of_loader(struct jni *env, const char *name, void *loader)
{
    static const char descriptor[] =
        "(Ljava/lang/String;ZLjava/lang/ClassLoader;)Ljava/lang/Class;";
    union {
        void *object;
        uint8_t is_true;
        int64_t whole;
    } arguments[3] = {{.whole = 0}, {.whole = 0}, {.object = loader}};
    void *classes = jni_find_class(env, "java/lang/Class");
    void *method = CALL(env, JNI_GET_STATIC_METHOD, void *,
        (struct jni *, void *, const char *, const char *))(env, classes, "forName", descriptor);
    arguments[0].object =
        CALL(env, JNI_NEW_STRING, void *, (struct jni *, const char *))(env, name);
    if (method == NULL || arguments[0].object == NULL)
        return NULL;
    return CALL(env, JNI_CALL_STATIC_OBJECT, void *, (struct jni *, void *, void *, const void *))(
        env, classes, method, arguments);
}

void jni_clear_exception(struct jni *env)
{
    CALL(env, JNI_EXCEPTION_CLEAR, void, (struct jni *))(env);
}

void jni_forget(struct jni *env, void *local)
{
    if (local != NULL)
        CALL(env, JNI_DELETE_LOCAL_REF, void, (struct jni *, void *))(env, local);
}

static void *field(struct jni *env, void *object, const char *name, const char *type)
{
    if (object == NULL)
        return NULL;
    void *class = CALL(env, JNI_GET_OBJECT_CLASS, void *, (struct jni *, void *))(env, object);
    void *id = CALL(env, JNI_GET_FIELD_ID, void *,
        (struct jni *, void *, const char *, const char *))(env, class, name, type);
    jni_forget(env, class);
    if (id == NULL)
        jni_clear_exception(env);
    return id;
}

void *jni_object_in(struct jni *env, void *object, const char *name, const char *type)
{
    void *id = field(env, object, name, type);
    return id == NULL ? NULL
                      : CALL(env, JNI_GET_OBJECT_FIELD, void *, (struct jni *, void *, void *))(
                            env, object, id);
}

int64_t jni_number_in(struct jni *env, void *object, const char *name, bool is_long)
{
    void *id = field(env, object, name, is_long ? "J" : "I");
    if (id == NULL)
        return -1;
    if (is_long)
        return CALL(env, JNI_GET_LONG_FIELD, int64_t, (struct jni *, void *, void *))(
            env, object, id);
    return CALL(env, JNI_GET_INT_FIELD, int32_t, (struct jni *, void *, void *))(env, object, id);
}

/* The specification counts from 1. */
enum {
    TI_SET_EVENT_MODE = 2 - 1,
    TI_CURRENT_THREAD = 18 - 1,
    TI_ALLOCATE = 46 - 1,
    TI_DEALLOCATE = 47 - 1,
    TI_GET_SIGNATURE = 48 - 1,
    TI_GET_LOADER = 57 - 1,
    TI_GET_LOADED_CLASSES = 78 - 1,
    TI_SET_CALLBACKS = 122 - 1,
    TI_DISPOSE = 127 - 1,
    TI_ADD_CAPABILITIES = 142 - 1,
    TI_RETRANSFORM = 152 - 1
};

int jvmti_may_retransform(struct jvmti *env)
{
    static const uint8_t capabilities[16] = {[37 / 8] = 1 << 37 % 8}; /* can_retransform_classes */
    return CALL(env, TI_ADD_CAPABILITIES, int, (struct jvmti *, const void *))(env, capabilities);
}

int jvmti_set_callbacks(struct jvmti *env, const struct jvmti_callbacks *callbacks)
{
    return CALL(env, TI_SET_CALLBACKS, int, (struct jvmti *, const void *, int32_t))(
        env, callbacks, sizeof(*callbacks));
}

int jvmti_switch(struct jvmti *env, enum jvmti_event event, int is_on)
{
    return CALL(env, TI_SET_EVENT_MODE, int, (struct jvmti *, int, int, void *, ...))(
        env, is_on, event, NULL);
}

int jvmti_retransform(struct jvmti *env, int count, void *const *classes)
{
    return CALL(env, TI_RETRANSFORM, int, (struct jvmti *, int32_t, void *const *))(
        env, count, classes);
}

int jvmti_allocate(struct jvmti *env, int64_t bytes, uint8_t **memory)
{
    return CALL(env, TI_ALLOCATE, int, (struct jvmti *, int64_t, uint8_t **))(env, bytes, memory);
}

void jvmti_free(struct jvmti *env, void *memory)
{
    CALL(env, TI_DEALLOCATE, int, (struct jvmti *, void *))(env, memory);
}

int jvmti_loaded_classes(struct jvmti *env, int32_t *count, void ***classes)
{
    return CALL(env, TI_GET_LOADED_CLASSES, int, (struct jvmti *, int32_t *, void ***))(
        env, count, classes);
}

int jvmti_loader(struct jvmti *env, void *class, void **loader)
{
    return CALL(env, TI_GET_LOADER, int, (struct jvmti *, void *, void **))(env, class, loader);
}

int jvmti_signature(struct jvmti *env, void *class, char **signature)
{
    return CALL(env, TI_GET_SIGNATURE, int, (struct jvmti *, void *, char **, char **))(
        env, class, signature, NULL);
}

void jvmti_dispose(struct jvmti *env)
{
    CALL(env, TI_DISPOSE, int, (struct jvmti *))(env);
}

int jvmti_current_thread(struct jvmti *env, void **thread)
{
    return CALL(env, TI_CURRENT_THREAD, int, (struct jvmti *, void **))(env, thread);
}
