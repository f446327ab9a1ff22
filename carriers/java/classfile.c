/* SPDX-License-Identifier: Apache-2.0 */
#include "classfile.h"

#include "bytes.h"
#include "code.h"

const struct native_name classfile_natives[NATIVE_COUNT] = {
    [NATIVE_GIVE] = {"give", true},
    [NATIVE_FORGET] = {"forget", true},
    [NATIVE_ENTER] = {"enter", true},
    [NATIVE_LEAVE] = {"leave", false},
    [NATIVE_BEGIN] = {"begin", true},
    [NATIVE_END] = {"end", false},
    [NATIVE_SAVE] = {"save", true},
    [NATIVE_SWITCH] = {"change", true},
    [NATIVE_SERVE] = {"serve", false},
    [NATIVE_RENEW] = {"renew", true},
    [NATIVE_SEEK] = {"seek", false},
    [NATIVE_POLLS] = {"polls", true},
    [NATIVE_ASKS] = {"asks", false},
    [NATIVE_HANDS] = {"hands", true},
    [NATIVE_LISTS] = {"lists", true},
    [NATIVE_BRINGS] = {"brings", true},
    [NATIVE_WORK] = {"work", true},
    [NATIVE_WORKED] = {"worked", false},
};

enum {
    CONSTANT_UTF8 = 1,
    CONSTANT_LONG = 5,
    CONSTANT_DOUBLE = 6,
    CONSTANT_CLASS = 7,
    CONSTANT_METHOD = 10,
    CONSTANT_INTERFACE_METHOD = 11,
    CONSTANT_NAME_AND_TYPE = 12
};

/* --- constants (JVMS 4.4) --------------------------------------------------------------------- */

static size_t constant_bytes(const struct in *in)
{
    static const uint8_t sizes[] = {0, 3, 0, 5, 5, 9, 9, 3, 3, 5, 5, 5, 5, 0, 0, 4, 3, 5, 5, 3, 3};
    if (in->end - in->at < 3 || *in->at >= sizeof(sizes))
        return SIZE_MAX; /* none */
    size_t size = sizes[*in->at];
    if (*in->at == CONSTANT_UTF8)
        size += (size_t)in->at[1] << 8 | in->at[2];
    return size == 0 ? SIZE_MAX : size;
}

static bool is_wide(uint8_t tag)
{
    return tag == CONSTANT_LONG || tag == CONSTANT_DOUBLE;
}

/* One walk for each question: few are asked. */
static struct in constant(const struct pool *pool, uint32_t index)
{
    struct in in = pool->constants;
    for (uint32_t i = 1; i < index && !in.failed; i += 1 + is_wide(*in.at))
        in.at += constant_bytes(&in);
    return in;
}

static struct in constant_of(const struct pool *pool, uint32_t index, uint8_t tag)
{
    static const struct in none = {.failed = true};
    if (index == 0 || index >= pool->count)
        return none;
    struct in in = constant(pool, index);
    return in_take(&in, 1) == tag ? in : none;
}

bool pool_names(const struct pool *pool, uint32_t index, const char *text)
{
    struct in in = constant_of(pool, index, CONSTANT_UTF8);
    size_t length = strlen(text), has = in_take(&in, 2);
    return has == length && !in.failed && memcmp(in.at, text, length) == 0;
}

bool pool_calls(const struct pool *pool, uint32_t index, const char *name)
{
    struct in in = constant_of(pool, index, CONSTANT_METHOD);
    if (in.failed)
        in = constant_of(pool, index, CONSTANT_INTERFACE_METHOD);
    in_take(&in, 2);
    struct in both = constant_of(pool, in_take(&in, 2), CONSTANT_NAME_AND_TYPE);
    return pool_names(pool, in_take(&both, 2), name);
}

static void put_text(struct out *out, const char *text)
{
    out_put(out, CONSTANT_UTF8, 1);
    out_put(out, (uint32_t)strlen(text), 2);
    out_copy(out, text, strlen(text));
}

/* Behind a class's own constants, the first of them as number `first`. */
enum { HELPER_TEXT, HELPER, THROWABLE_TEXT, THROWABLE, FRAMES, WITH_OBJECT, WITHOUT, NATIVES };
enum { ADDED = NATIVES + 3 * NATIVE_COUNT }; /* of each native: its name, with its type, itself */

static void put_class(struct out *out, const char *name, uint32_t its_text)
{
    put_text(out, name);
    out_put(out, CONSTANT_CLASS, 1);
    out_put(out, its_text, 2);
}

static void put_constants(struct out *out, uint32_t first)
{
    put_class(out, CLASSFILE_HELPER, first + HELPER_TEXT);
    put_class(out, "java/lang/Throwable", first + THROWABLE_TEXT);
    put_text(out, "StackMapTable");
    put_text(out, "(Ljava/lang/Object;)V");
    put_text(out, "()V");
    for (uint32_t i = 0; i < NATIVE_COUNT; i++) {
        uint32_t name = first + NATIVES + 3 * i;
        put_text(out, classfile_natives[i].name);
        out_put(out, CONSTANT_NAME_AND_TYPE, 1);
        out_put(out, name, 2);
        out_put(out, first + (classfile_natives[i].takes_object ? WITH_OBJECT : WITHOUT), 2);
        out_put(out, CONSTANT_METHOD, 1);
        out_put(out, first + HELPER, 2);
        out_put(out, name + 1, 2);
    }
}

uint32_t pool_native(const struct pool *pool, enum native native)
{
    return pool->count + NATIVES + 3 * native + 2;
}

uint32_t pool_throwable(const struct pool *pool)
{
    return pool->count + THROWABLE;
}

uint32_t pool_frames(const struct pool *pool)
{
    return pool->count + FRAMES;
}

/* --- the class (JVMS 4.1) --------------------------------------------------------------------- */

static void skip_attributes(struct in *in)
{
    for (uint32_t left = in_take(in, 2); left > 0 && !in->failed; left--) {
        in_take(in, 2);
        in_skip(in, in_take(in, 4));
    }
}

static void skip_members(struct in *in)
{
    for (uint32_t left = in_take(in, 2); left > 0 && !in->failed; left--) {
        in_skip(in, 6);
        skip_attributes(in);
    }
}

static void edit_method(struct class_edit *edit)
{
    struct in *in = &edit->in;
    const struct pool *pool = &edit->pool;
    const uint8_t *start = in->at;
    in_take(in, 2);
    uint32_t name = in_take(in, 2);
    in_take(in, 2);
    edit->chosen = 0;
    for (size_t i = 0; i < edit->count; i++)
        if (pool_names(pool, name, edit->edits[i].method))
            edit->chosen |= 1u << i;
    if (edit->chosen == 0) {
        skip_attributes(in);
        out_copy(&edit->out, start, (size_t)(in->at - start));
        return;
    }
    uint32_t left = in_take(in, 2);
    out_copy(&edit->out, start, (size_t)(in->at - start));
    for (; left > 0 && !in->failed && !edit->out.failed; left--) {
        start = in->at;
        bool is_code = pool_names(pool, in_take(in, 2), "Code");
        struct in code = {NULL, NULL, true};
        uint32_t length = in_take(in, 4);
        code.at = in_skip(in, length);
        code.failed = code.at == NULL;
        code.end = in->at;
        if (is_code)
            code_edit(edit, start, code);
        else
            out_copy(&edit->out, start, (size_t)(in->at - start));
    }
}

static bool edit_class(struct class_edit *edit)
{
    struct in *in = &edit->in;
    for (size_t i = 0; i < edit->count; i++)
        edit->done |= (uint32_t)edit->edits[i].is_optional << i;
    out_copy(&edit->out, in_skip(in, 8), 8);
    edit->pool.count = in_take(in, 2);
    out_put(&edit->out, edit->pool.count + ADDED, 2);
    if (in->failed || edit->pool.count + ADDED > UINT16_MAX)
        return false;
    edit->pool.constants = *in;
    const uint8_t *start = in->at;
    for (uint32_t i = 1; i < edit->pool.count; i++) {
        if (constant_bytes(in) > (size_t)(in->end - in->at))
            return false;
        i += is_wide(*in->at);
        in->at += constant_bytes(in);
    }
    out_copy(&edit->out, start, (size_t)(in->at - start));
    put_constants(&edit->out, edit->pool.count);
    start = in->at;
    in_take(in, 2);
    edit->pool.this_class = in_take(in, 2);
    in_take(in, 2);
    in_skip(in, 2 * (size_t)in_take(in, 2));
    skip_members(in); /* fields */
    uint32_t methods = in_take(in, 2);
    out_copy(&edit->out, start, (size_t)(in->at - start));
    for (; methods > 0 && !in->failed && !edit->out.failed; methods--)
        edit_method(edit);
    out_copy(&edit->out, in->at, (size_t)(in->end - in->at));
    return !in->failed && !edit->out.failed && edit->done == (1u << edit->count) - 1;
}

size_t classfile_edit(const uint8_t *in, size_t length, const struct edit *edits, size_t count,
    uint8_t *out, size_t room)
{
    struct class_edit edit = {.in = {in, in + length, false},
        .out = {out, 0, room, false},
        .edits = edits,
        .count = count};
    return edit_class(&edit) ? edit.out.used : 0;
}

size_t classfile_helper(uint8_t *bytes, size_t room)
{
    enum {
        FIRST = 3,
        PUBLIC_FINAL_SUPER_SYNTHETIC = 0x1031,
        PUBLIC_STATIC_NATIVE = 0x1109,
        JAVA_7 = 51
    };
    struct out out = {bytes, 0, room, false};
    out_put(&out, 0xcafebabe, 4);
    out_put(&out, JAVA_7, 4);
    out_put(&out, FIRST + ADDED, 2);
    put_class(&out, "java/lang/Object", 1);
    put_constants(&out, FIRST);
    out_put(&out, PUBLIC_FINAL_SUPER_SYNTHETIC, 2);
    out_put(&out, FIRST + HELPER, 2);
    out_put(&out, 2, 2);
    out_put(&out, 0, 4); /* no interfaces, no fields */
    out_put(&out, NATIVE_COUNT, 2);
    for (uint32_t i = 0; i < NATIVE_COUNT; i++) {
        out_put(&out, PUBLIC_STATIC_NATIVE, 2);
        out_put(&out, FIRST + NATIVES + 3 * i, 2);
        out_put(&out, FIRST + (classfile_natives[i].takes_object ? WITH_OBJECT : WITHOUT), 2);
        out_put(&out, 0, 2);
    }
    out_put(&out, 0, 2);
    return out.failed ? 0 : out.used;
}
