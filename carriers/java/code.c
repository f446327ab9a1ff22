/* SPDX-License-Identifier: Apache-2.0 */
/* The code of a method (JVMS 4.7.3 and 6.5). */
#include "code.h"

enum { INSERTED = 4, INSERTIONS_MAX = 16, BEFORE_ALL = -1 };

struct insertion {
    int at; /* before the instruction there; BEFORE_ALL: what leads to the first one skips it */
    uint8_t bytes[INSERTED];
};

struct code {
    const uint8_t *bytes;
    int length;
    struct insertion insertions[INSERTIONS_MAX];
    int count; /* of them, in their order */
    bool is_surrounded;
};

/* Where a jump to `at` leads now; where the instruction that was there stands. */
static int target(const struct code *code, int at)
{
    int before = 0;
    while (before < code->count && code->insertions[before].at < at)
        before++;
    return at + INSERTED * before;
}

static int stand(const struct code *code, int at)
{
    return target(code, at + 1) - 1;
}

static int new_length(const struct code *code)
{
    return code->length + INSERTED * (code->count + code->is_surrounded);
}

/* --- instructions ----------------------------------------------------------------------------- */

enum {
    OP_IF_FIRST = 0x99, /* up to goto, which is before jsr */
    OP_JSR = 0xa8,
    OP_LOOKUPSWITCH = 0xab,
    OP_RETURN_FIRST = 0xac,
    OP_RETURN = 0xb1,
    OP_INVOKEVIRTUAL = 0xb6,
    OP_INVOKESTATIC = 0xb8,
    OP_INVOKEINTERFACE = 0xb9,
    OP_ATHROW = 0xbf,
    OP_WIDE = 0xc4,
    OP_IFNULL = 0xc6,
    OP_IFNONNULL = 0xc7,
    OP_IINC = 0x84
};

/* 0: cut off, or one that the methods in question do not have: switches, subroutines, what is wide.
 */
static int instruction_length(const struct code *code, int at)
{
    uint8_t op = code->bytes[at];
    int length = 1;
    if (op == 0x10 || op == 0x12 || (op >= 0x15 && op <= 0x19) || (op >= 0x36 && op <= 0x3a) ||
        op == 0xbc)
        length = 2; /* bipush, ldc, loads, stores, newarray */
    else if (op == 0x11 || op == 0x13 || op == 0x14 || op == OP_IINC ||
             (op >= OP_IF_FIRST && op < OP_JSR) || (op >= 0xb2 && op <= OP_INVOKESTATIC) ||
             op == 0xbb || op == 0xbd || op == 0xc0 || op == 0xc1 || op == OP_IFNULL ||
             op == OP_IFNONNULL)
        length = 3;
    else if (op == 0xc5)
        length = 4; /* multianewarray */
    else if (op == OP_INVOKEINTERFACE || op == 0xba)
        length = 5;
    else if ((op >= OP_JSR && op <= OP_LOOKUPSWITCH) || op >= OP_WIDE)
        length = 0;
    return at + length > code->length ? 0 : length;
}

static void put_offset(struct out *out, const struct code *code, int at, int offset)
{
    int moved = target(code, at + offset) - stand(code, at);
    if (moved != (int16_t)moved)
        out->failed = true;
    out_put(out, (uint32_t)moved, 2);
}

static void put_instruction(struct out *out, const struct code *code, int at, int length)
{
    uint8_t op = code->bytes[at];
    const uint8_t *operand = code->bytes + at + 1;
    if ((op >= OP_IF_FIRST && op < OP_JSR) || op == OP_IFNULL || op == OP_IFNONNULL) {
        out_put(out, op, 1);
        put_offset(out, code, at, (int16_t)(operand[0] << 8 | operand[1]));
    } else
        out_copy(out, code->bytes + at, (size_t)length);
}

static void put_code(struct out *out, const struct code *code)
{
    int next = 0, length;
    for (; next < code->count && code->insertions[next].at == BEFORE_ALL; next++)
        out_copy(out, code->insertions[next].bytes, INSERTED);
    for (int at = 0; at < code->length; at += length) {
        length = instruction_length(code, at);
        for (; next < code->count && code->insertions[next].at == at; next++)
            out_copy(out, code->insertions[next].bytes, INSERTED);
        put_instruction(out, code, at, length);
    }
}

/* --- where to insert -------------------------------------------------------------------------- */

static void insert(struct class_edit *edit, struct code *code, int at, enum native native, int load)
{
    if (code->count == INSERTIONS_MAX) {
        edit->out.failed = true;
        return;
    }
    uint32_t method = pool_native(&edit->pool, native);
    struct insertion *insertion = &code->insertions[code->count++];
    *insertion = (struct insertion){at, {OP_INVOKESTATIC, method >> 8, method}}; /* and nop */
    if (classfile_natives[native].takes_object)
        *insertion = (struct insertion){at, {load, OP_INVOKESTATIC, method >> 8, method}};
}

static bool is_call(
    const struct class_edit *edit, const struct code *code, int at, const char *name)
{
    const uint8_t *bytes = code->bytes + at;
    return *bytes >= OP_INVOKEVIRTUAL && *bytes <= OP_INVOKEINTERFACE &&
           pool_calls(&edit->pool, (uint32_t)bytes[1] << 8 | bytes[2], name);
}

static bool belongs(
    const struct class_edit *edit, const struct code *code, int at, const struct edit *one)
{
    uint8_t op = code->bytes[at];
    if (one->place == BEFORE_CALL)
        return is_call(edit, code, at, one->call);
    return op >= OP_RETURN_FIRST && op <= OP_RETURN && one->place != AT_START;
}

/* False: there is an instruction that we do not know. */
static bool find_places(struct class_edit *edit, struct code *code)
{
    const struct edit *end = edit->edits + edit->count;
    for (const struct edit *one = edit->edits; one < end; one++) {
        uint32_t bit = 1u << (one - edit->edits);
        if (!(edit->chosen & bit))
            continue;
        bool is_first = one->place == AT_START || one->place == AROUND;
        if (is_first)
            insert(edit, code, BEFORE_ALL, one->native, one->load);
        code->is_surrounded |= one->place == AROUND;
        edit->done |= is_first ? bit : 0;
    }
    for (int at = 0, length; at < code->length; at += length) {
        length = instruction_length(code, at);
        if (length == 0)
            return false;
        for (const struct edit *one = edit->edits; one < end; one++) {
            uint32_t bit = 1u << (one - edit->edits);
            if (!(edit->chosen & bit) || !belongs(edit, code, at, one))
                continue;
            insert(edit, code, at, one->place == AROUND ? NATIVE_END : one->native, one->load);
            edit->done |= bit;
        }
    }
    return true;
}

/* --- what tells of places --------------------------------------------------------------------- */

static void put_handlers(struct class_edit *edit, const struct code *code, struct in *in)
{
    struct out *out = &edit->out;
    uint32_t count = in_take(in, 2);
    out_put(out, count + code->is_surrounded, 2);
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        for (int k = 0; k < 3; k++)
            out_put(out, (uint32_t)target(code, (int)in_take(in, 2)), 2);
        out_put(out, in_take(in, 2), 2);
    }
    if (!code->is_surrounded)
        return;
    out_put(out, (uint32_t)target(code, 0), 2); /* last, and for what the others do not catch */
    out_put(out, (uint32_t)(new_length(code) - INSERTED), 2);
    out_put(out, (uint32_t)(new_length(code) - INSERTED), 2);
    out_put(out, 0, 2);
}

static void put_lines(struct out *out, const struct code *code, struct in *in)
{
    uint32_t count = in_take(in, 2);
    out_put(out, count, 2);
    for (; count > 0 && !in->failed; count--) {
        out_put(out, (uint32_t)target(code, (int)in_take(in, 2)), 2);
        out_put(out, in_take(in, 2), 2);
    }
}

static void put_variables(struct out *out, const struct code *code, struct in *in)
{
    uint32_t count = in_take(in, 2);
    out_put(out, count, 2);
    for (; count > 0 && !in->failed; count--) {
        int start = (int)in_take(in, 2), end = start + (int)in_take(in, 2);
        out_put(out, (uint32_t)target(code, start), 2);
        out_put(out, (uint32_t)(target(code, end) - target(code, start)), 2);
        out_copy(out, in_skip(in, 6), 6);
    }
}

/* JVMS 4.7.4. */
static void put_types(struct out *out, const struct code *code, struct in *in, uint32_t count)
{
    enum { OBJECT = 7, UNINITIALIZED = 8 };
    for (; count > 0 && !in->failed; count--) {
        uint32_t kind = in_take(in, 1);
        out_put(out, kind, 1);
        if (kind == OBJECT)
            out_put(out, in_take(in, 2), 2);
        else if (kind == UNINITIALIZED)
            out_put(out, (uint32_t)stand(code, (int)in_take(in, 2)), 2);
    }
}

enum {
    FRAME_SAME_MAX = 63,
    FRAME_ONE_MAX = 127,
    FRAME_ONE_WIDE = 247,
    FRAME_SAME_WIDE = 251,
    FRAME_FULL = 255
};

/* Those that have their distance in themselves get it beside them, where there is always room. */
static int put_frame(struct out *out, const struct code *code, struct in *in, int before, int *new)
{
    uint32_t kind = in_take(in, 1);
    int distance = kind <= FRAME_SAME_MAX  ? (int)kind
                   : kind <= FRAME_ONE_MAX ? (int)kind - FRAME_SAME_MAX - 1
                                           : (int)in_take(in, 2);
    int at = before + distance + 1, moved = target(code, at);
    bool has_one = kind > FRAME_SAME_MAX && kind <= FRAME_ONE_WIDE;
    out_put(out, kind <= FRAME_SAME_MAX ? FRAME_SAME_WIDE : has_one ? FRAME_ONE_WIDE : kind, 1);
    out_put(out, (uint32_t)(moved - *new - 1), 2);
    *new = moved;
    if (kind > FRAME_ONE_MAX && kind < FRAME_ONE_WIDE)
        out->failed = true; /* none that we know */
    if (has_one)
        put_types(out, code, in, 1);
    else if (kind > FRAME_SAME_WIDE && kind < FRAME_FULL)
        put_types(out, code, in, kind - FRAME_SAME_WIDE);
    for (int i = 0; i < 2 && kind == FRAME_FULL; i++) {
        uint32_t count = in_take(in, 2);
        out_put(out, count, 2);
        put_types(out, code, in, count);
    }
    return at;
}

static void put_frames(struct class_edit *edit, const struct code *code, struct in *in)
{
    struct out *out = &edit->out;
    uint32_t count = in == NULL ? 0 : in_take(in, 2);
    int at = -1, new = -1;
    out_put(out, count + code->is_surrounded, 2);
    for (uint32_t i = 0; i < count && !in->failed; i++)
        at = put_frame(out, code, in, at, &new);
    if (!code->is_surrounded)
        return;
    static const uint8_t one_object[] = {0, 1, 7};
    out_put(out, FRAME_FULL, 1);
    out_put(out, (uint32_t)(new_length(code) - INSERTED - new - 1), 2);
    out_copy(out, one_object, sizeof(one_object));
    out_put(out, edit->pool.this_class, 2);
    out_copy(out, one_object, sizeof(one_object));
    out_put(out, pool_throwable(&edit->pool), 2);
}

/* False: there may be places in it that we do not know. */
static bool put_attribute(
    struct class_edit *edit, const struct code *code, struct in *in, bool *has)
{
    struct out *out = &edit->out;
    uint32_t name = in_take(in, 2), length = in_take(in, 4);
    struct in content = {.at = in_skip(in, length)};
    content.failed = content.at == NULL;
    content.end = in->at;
    out_put(out, name, 2);
    size_t where = out->used;
    out_put(out, 0, 4);
    if (pool_names(&edit->pool, name, "LineNumberTable"))
        put_lines(out, code, &content);
    else if (pool_names(&edit->pool, name, "LocalVariableTable") ||
             pool_names(&edit->pool, name, "LocalVariableTypeTable"))
        put_variables(out, code, &content);
    else if (pool_names(&edit->pool, name, "StackMapTable")) {
        put_frames(edit, code, &content);
        *has = true;
    } else
        return false;
    out_mend(out, where, (uint32_t)(out->used - where - 4), 4);
    return !content.failed && content.at == content.end;
}

static void put_attributes(struct class_edit *edit, const struct code *code, struct in *in)
{
    struct out *out = &edit->out;
    size_t where = out->used;
    uint32_t count = in_take(in, 2);
    bool has_frames = false;
    out_put(out, count, 2);
    for (uint32_t i = 0; i < count && !in->failed; i++)
        if (!put_attribute(edit, code, in, &has_frames))
            in->failed = true;
    if (has_frames || !code->is_surrounded)
        return;
    out_mend(out, where, count + 1, 2);
    out_put(out, pool_frames(&edit->pool), 2);
    out_put(out, 2 + 13, 4);
    put_frames(edit, code, NULL);
}

void code_edit(struct class_edit *edit, const uint8_t *start, struct in in)
{
    struct out *out = &edit->out;
    struct code code = {0};
    uint32_t stack = in_take(&in, 2), locals = in_take(&in, 2);
    code.length = (int)in_take(&in, 4);
    code.bytes =
        code.length <= 0 || code.length > UINT16_MAX ? NULL : in_skip(&in, (size_t)code.length);
    if (code.bytes == NULL || !find_places(edit, &code) || new_length(&code) > UINT16_MAX) {
        out->failed = true;
        return;
    }
    out_copy(out, start, 2);
    size_t where = out->used;
    out_put(out, 0, 4);
    out_put(out, stack + 1, 2);
    out_put(out, locals, 2);
    out_put(out, (uint32_t)new_length(&code), 4);
    put_code(out, &code);
    if (code.is_surrounded) {
        out_put(out, OP_INVOKESTATIC, 1);
        out_put(out, pool_native(&edit->pool, NATIVE_END), 2);
        out_put(out, OP_ATHROW, 1);
    }
    put_handlers(edit, &code, &in);
    put_attributes(edit, &code, &in);
    out_mend(out, where, (uint32_t)(out->used - where - 4), 4);
    out->failed = out->failed || in.failed || in.at != in.end;
}
