/* SPDX-License-Identifier: Apache-2.0 */
#include "objects.h"

#include <string.h>

#include "java.h"
#include "jvm.h"

/* As in jvm.c. */
#define CALL(env, place, result, parameters) \
    ((result(*) parameters)(*(void *const *const *)(const void *)(env))[place])

enum {
    PUSH_LOCAL_FRAME = 19,
    POP_LOCAL_FRAME = 20,
    IS_SAME_OBJECT = 24,
    NEW_LOCAL_REF = 25,
    GET_OBJECT_CLASS = 31,
    GET_METHOD_ID = 33,
    CALL_OBJECT_METHOD = 36,
    CALL_INT_METHOD = 51,
    GET_FIELD_ID = 94,
    GET_OBJECT_FIELD = 95,
    GET_INT_FIELD = 100,
    GET_LONG_FIELD = 101,
    GET_STRING_LENGTH = 164,
    GET_STRING_UTF_LENGTH = 168,
    GET_ARRAY_LENGTH = 171,
    GET_OBJECT_ARRAY_ELEMENT = 173,
    GET_BYTE_ARRAY_REGION = 200,
    GET_STRING_UTF_REGION = 221,
    NEW_WEAK_REF = 226,
    EXCEPTION_CHECK = 228
};

static bool has_thrown(struct jni *env)
{
    bool has = CALL(env, EXCEPTION_CHECK, uint8_t, (struct jni *))(env) != 0;
    if (has)
        jni_clear_exception(env);
    return has;
}

void *object_class(struct jni *env, void *object)
{
    return CALL(env, GET_OBJECT_CLASS, void *, (struct jni *, void *))(env, object);
}

static bool begins(void *class, const char *name, char behind)
{
    char *signature;
    size_t length = strlen(name);
    if (jvmti_signature(java_tools, class, &signature) != 0)
        return false;
    bool is = *signature == 'L' && strncmp(signature + 1, name, length) == 0 &&
              (behind == 0 || signature[length + 1] == behind);
    jvmti_free(java_tools, signature);
    return is;
}

bool object_is_named(void *class, const char *name)
{
    return begins(class, name, ';');
}

bool object_is_beneath(void *class, const char *beginning)
{
    return begins(class, beginning, 0);
}

void *object_class_beside(struct jni *env, void *beside, const char *dotted_name)
{
    void *loader;
    if (jvmti_loader(java_tools, beside, &loader) != 0)
        return NULL;
    void *class = jni_class_of_loader(env, dotted_name, loader);
    return has_thrown(env) ? NULL : class;
}

bool object_is_same(struct jni *env, void *object, void *other)
{
    return CALL(env, IS_SAME_OBJECT, uint8_t, (struct jni *, void *, void *))(env, object, other);
}

static void *member(
    struct jni *env, int place, void *class, const char *name, const char *descriptor)
{
    void *id = CALL(env, place, void *, (struct jni *, void *, const char *, const char *))(
        env, class, name, descriptor);
    return has_thrown(env) ? NULL : id;
}

void *object_field_id(struct jni *env, void *class, const char *name, const char *descriptor)
{
    return member(env, GET_FIELD_ID, class, name, descriptor);
}

void *object_method_id(struct jni *env, void *class, const char *name, const char *descriptor)
{
    return member(env, GET_METHOD_ID, class, name, descriptor);
}

void *object_field(struct jni *env, void *object, void *field)
{
    return CALL(env, GET_OBJECT_FIELD, void *, (struct jni *, void *, void *))(env, object, field);
}

int64_t object_int(struct jni *env, void *object, void *field)
{
    return CALL(env, GET_INT_FIELD, int32_t, (struct jni *, void *, void *))(env, object, field);
}

int64_t object_long(struct jni *env, void *object, void *field)
{
    return CALL(env, GET_LONG_FIELD, int64_t, (struct jni *, void *, void *))(env, object, field);
}

void *object_call(struct jni *env, void *object, void *method, int32_t index)
{
    union {
        int32_t number;
        int64_t whole;
    } argument = {.number = index};
    void *result = CALL(env, CALL_OBJECT_METHOD, void *,
        (struct jni *, void *, void *, const void *))(env, object, method, &argument);
    return has_thrown(env) ? NULL : result;
}

int32_t object_call_int(struct jni *env, void *object, void *method)
{
    int32_t number = CALL(env, CALL_INT_METHOD, int32_t,
        (struct jni *, void *, void *, const void *))(env, object, method, NULL);
    return has_thrown(env) ? 0 : number;
}

int32_t object_array_length(struct jni *env, void *array)
{
    return CALL(env, GET_ARRAY_LENGTH, int32_t, (struct jni *, void *))(env, array);
}

void *object_array_element(struct jni *env, void *array, int32_t index)
{
    void *element = CALL(env, GET_OBJECT_ARRAY_ELEMENT, void *, (struct jni *, void *, int32_t))(
        env, array, index);
    return has_thrown(env) ? NULL : element;
}

size_t object_text(struct jni *env, void *string, char *text, size_t room)
{
    enum { BYTES_MAX = 3 }; /* of a char */
    if (string == NULL)
        return 0;
    int32_t length = CALL(env, GET_STRING_LENGTH, int32_t, (struct jni *, void *))(env, string);
    int32_t bytes = CALL(env, GET_STRING_UTF_LENGTH, int32_t, (struct jni *, void *))(env, string);
    bool is_long = (size_t)bytes >= room; /* it writes a 0 behind them */
    if (is_long) {
        if ((size_t)length >= room / BYTES_MAX)
            length = (int32_t)(room / BYTES_MAX) - 1;
        memset(text, 0, room);
    }
    CALL(env, GET_STRING_UTF_REGION, void, (struct jni *, void *, int32_t, int32_t, char *))
    (env, string, 0, length, text);
    if (has_thrown(env))
        return 0;
    return is_long ? strnlen(text, room) : (size_t)bytes;
}

size_t object_bytes(struct jni *env, void *array, char *bytes, size_t room)
{
    if (array == NULL)
        return 0;
    size_t length = (size_t)object_array_length(env, array);
    if (length > room)
        length = room;
    CALL(env, GET_BYTE_ARRAY_REGION, void, (struct jni *, void *, int32_t, int32_t, char *))
    (env, array, 0, (int32_t)length, bytes);
    return has_thrown(env) ? 0 : length;
}

void *object_weak(struct jni *env, void *object)
{
    void *weak = CALL(env, NEW_WEAK_REF, void *, (struct jni *, void *))(env, object);
    return has_thrown(env) ? NULL : weak;
}

void *object_local(struct jni *env, void *weak)
{
    return CALL(env, NEW_LOCAL_REF, void *, (struct jni *, void *))(env, weak);
}

bool object_frame(struct jni *env)
{
    enum { ROOM = 32 };
    int error = CALL(env, PUSH_LOCAL_FRAME, int, (struct jni *, int32_t))(env, ROOM);
    return !has_thrown(env) && error == 0;
}

void object_frame_end(struct jni *env)
{
    CALL(env, POP_LOCAL_FRAME, void *, (struct jni *, void *))(env, NULL);
}
