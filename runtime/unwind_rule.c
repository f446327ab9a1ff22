/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind_rule.h"

#include <stdbool.h>
#include <string.h>

#include "unwind.h"

/* Registers by their numbers in DWARF (System V ABI, AMD64 supplement 1.0, figure 3.36; DWARF for
 * the Arm 64-bit Architecture, 4.1). */
#if defined(__x86_64__)
enum { REGISTER_FRAME = 6, REGISTER_STACK = 7, REGISTER_RETURN = 16 };
#elif defined(__aarch64__)
enum { REGISTER_FRAME = 29, REGISTER_STACK = 31, REGISTER_RETURN = 30 };
#endif

enum { REMEMBERED_MAX = 8 };
enum { OPERATION_DEREFERENCE = 0x06, OPERATION_REGISTER = 0x70 }; /* DWARF 5, 7.7.1 */

struct cursor {
    const uint8_t *at, *end;
    bool failed;
};

/* --- the encodings ------------------------------------------------------------------------- */

static uint64_t take(struct cursor *cursor, size_t bytes)
{
    uint64_t value = 0;
    if ((size_t)(cursor->end - cursor->at) < bytes) {
        cursor->failed = true;
        cursor->at = cursor->end;
        return 0;
    }
    memcpy(&value, cursor->at, bytes); /* both machines are little-endian */
    cursor->at += bytes;
    return value;
}

static uint64_t take_uleb(struct cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint64_t byte = take(cursor, 1);
        value |= (byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    cursor->failed = true;
    return 0;
}

static int64_t take_sleb(struct cursor *cursor)
{
    int64_t value = 0;
    for (unsigned shift = 0; shift < 64;) {
        uint64_t byte = take(cursor, 1);
        value |= (int64_t)((byte & 0x7f) << shift);
        shift += 7;
        if ((byte & 0x80) == 0)
            return shift < 64 && (byte & 0x40) ? value - (INT64_C(1) << shift) : value;
    }
    cursor->failed = true;
    return 0;
}

static void skip_bytes(struct cursor *cursor, uint64_t bytes)
{
    if (bytes > (uint64_t)(cursor->end - cursor->at)) {
        cursor->failed = true;
        bytes = (uint64_t)(cursor->end - cursor->at);
    }
    cursor->at += bytes;
}

/* Linux Standard Base, 10.5.1: DW_EH_PE_*. */
enum {
    POINTER_ABSOLUTE = 0x00,
    POINTER_4 = 0x0b,
    POINTER_8 = 0x0c,
    POINTER_RELATIVE = 0x10,
    POINTER_TABLE_RELATIVE = 0x30,
    POINTER_UNSIGNED_4 = 0x03
};

static uintptr_t take_pointer(struct cursor *cursor, uint8_t encoding)
{
    uintptr_t base = (encoding & 0x70) == POINTER_RELATIVE ? (uintptr_t)cursor->at : 0;
    switch (encoding & 0x0f) {
    case POINTER_ABSOLUTE:
    case POINTER_8:
        return base + take(cursor, 8);
    case POINTER_4:
        return base + (uintptr_t)(intptr_t)(int32_t)take(cursor, 4);
    default:
        cursor->failed = true;
        return 0;
    }
}

/* --- a frame's description ----------------------------------------------------------------- */

struct description {
    struct cursor common, own; /* instructions */
    uintptr_t begin, end;      /* of the code */
    uint64_t code_unit;
    int64_t data_unit;
    uint64_t return_register;
    bool is_signal;
    uint8_t encoding;
    bool has_augmentation;
};

/* Both kinds of entries begin with their length. */
static bool open_entry(struct cursor *cursor, const uint8_t *at, const uint8_t *end)
{
    *cursor = (struct cursor){at, end, false};
    uint64_t length = take(cursor, 4);
    if (cursor->failed || length == 0 || length > (uint64_t)(end - cursor->at))
        return false; /* also the form of 64 bits, which no compiler writes */
    cursor->end = cursor->at + length;
    return true;
}

/* "zR", "zPLR", "zRS" ... */
static void read_augmentation(struct description *out, struct cursor *cursor, const char *letters)
{
    out->has_augmentation = *letters == 'z';
    if (*letters == '\0')
        return;
    if (*letters++ != 'z') {
        cursor->failed = true;
        return;
    }
    uint64_t length = take_uleb(cursor);
    const uint8_t *data = cursor->at;
    for (; *letters != '\0' && !cursor->failed; letters++) {
        uint8_t encoding;
        switch (*letters) {
        case 'R':
            out->encoding = (uint8_t)take(cursor, 1);
            break;
        case 'L':
            take(cursor, 1);
            break;
        case 'P':
            encoding = (uint8_t)take(cursor, 1);
            take_pointer(cursor, encoding);
            break;
        case 'S':
            out->is_signal = true;
            break;
        case 'B': /* of Arm: return addresses are signed by the other key */
            break;
        default:
            cursor->failed = true;
        }
    }
    cursor->at = data;
    skip_bytes(cursor, length);
}

static bool read_common(struct description *out, const uint8_t *at, const uint8_t *end)
{
    struct cursor cursor;
    if (!open_entry(&cursor, at, end) || take(&cursor, 4) != 0)
        return false;
    uint64_t version = take(&cursor, 1);
    const char *letters = (const char *)cursor.at;
    const uint8_t *zero = memchr(cursor.at, 0, (size_t)(cursor.end - cursor.at));
    if ((version != 1 && version != 3) || zero == NULL)
        return false;
    cursor.at = zero + 1;
    out->code_unit = take_uleb(&cursor);
    out->data_unit = take_sleb(&cursor);
    out->return_register = version == 1 ? take(&cursor, 1) : take_uleb(&cursor);
    read_augmentation(out, &cursor, letters);
    out->common = cursor;
    return !cursor.failed;
}

static bool read_description(
    struct description *out, const uint8_t *at, const uint8_t *end, const uint8_t *start)
{
    struct cursor cursor;
    *out = (struct description){.encoding = POINTER_ABSOLUTE};
    if (!open_entry(&cursor, at, end))
        return false;
    const uint8_t *here = cursor.at;
    uint64_t back = take(&cursor, 4);
    if (back == 0 || back > (uint64_t)(here - start) || !read_common(out, here - back, end))
        return false;
    out->begin = take_pointer(&cursor, out->encoding);
    out->end = out->begin + take_pointer(&cursor, out->encoding & 0x0f);
    if (out->has_augmentation)
        skip_bytes(&cursor, take_uleb(&cursor));
    out->own = cursor;
    return !cursor.failed;
}

/* --- its instructions (DWARF 5, 6.4.2) ----------------------------------------------------- */

enum {
    CFA_ADVANCE = 0x40,
    CFA_OFFSET = 0x80,
    CFA_RESTORE = 0xc0, /* with an operand in six bits */
    CFA_SET = 0x01,
    CFA_ADVANCE_1,
    CFA_ADVANCE_2,
    CFA_ADVANCE_4,
    CFA_OFFSET_EXTENDED,
    CFA_RESTORE_EXTENDED,
    CFA_UNDEFINED,
    CFA_SAME_VALUE,
    CFA_REGISTER,
    CFA_REMEMBER,
    CFA_RECALL,
    CFA_DEFINE,
    CFA_DEFINE_REGISTER,
    CFA_DEFINE_OFFSET,
    CFA_DEFINE_EXPRESSION,
    CFA_EXPRESSION,
    CFA_OFFSET_SIGNED,
    CFA_DEFINE_SIGNED,
    CFA_DEFINE_OFFSET_SIGNED,
    CFA_VALUE_OFFSET,
    CFA_VALUE_OFFSET_SIGNED,
    CFA_VALUE_EXPRESSION,
    CFA_ARM_NEGATE_STATE = 0x2d,
    CFA_ARGUMENTS_SIZE = 0x2e
};

struct machine {
    const struct description *description;
    struct rule rule, initial, remembered[REMEMBERED_MAX];
    unsigned depth;
    uintptr_t location;
};

static void define_base(struct rule *rule, uint64_t number)
{
    rule->base = number == REGISTER_STACK   ? BASE_STACK
                 : number == REGISTER_FRAME ? BASE_FRAME
                                            : BASE_UNKNOWN;
}

static void define_offset(struct machine *machine, struct cursor *cursor, int64_t offset)
{
    machine->rule.offset = (int32_t)offset;
    cursor->failed |= offset != (int32_t)offset;
}

static void define_saved(
    struct machine *machine, struct cursor *cursor, uint64_t number, enum saved how, int64_t at)
{
    struct rule *rule = &machine->rule;
    if (number == machine->description->return_register) {
        rule->return_how = (uint8_t)how;
        rule->return_at = (int16_t)at;
    } else if (number == REGISTER_FRAME) {
        rule->frame_how = (uint8_t)how;
        rule->frame_at = (int16_t)at;
    } else
        return;
    cursor->failed |= at != (int16_t)at;
}

static void restore(struct machine *machine, uint64_t number)
{
    struct rule *rule = &machine->rule;
    const struct rule *initial = &machine->initial;
    if (number == machine->description->return_register) {
        rule->return_how = initial->return_how;
        rule->return_at = initial->return_at;
    } else if (number == REGISTER_FRAME) {
        rule->frame_how = initial->frame_how;
        rule->frame_at = initial->frame_at;
    }
}

static int64_t scaled(struct machine *machine, uint64_t number)
{
    return (int64_t)number * machine->description->data_unit;
}

/* The two expressions that compilers write for a frame whose stack was aligned anew: the value at
 * frame pointer + offset, and that address. */
static bool take_frame_offset(struct cursor *cursor, bool is_dereferenced, int64_t *offset)
{
    uint64_t length = take_uleb(cursor);
    struct cursor inner = *cursor;
    skip_bytes(cursor, length);
    inner.end = cursor->at;
    if (take(&inner, 1) != OPERATION_REGISTER + REGISTER_FRAME)
        return false;
    *offset = take_sleb(&inner);
    return (!is_dereferenced || take(&inner, 1) == OPERATION_DEREFERENCE) && !inner.failed &&
           inner.at == inner.end;
}

static void save_by_expression(struct machine *machine, struct cursor *cursor)
{
    uint64_t number = take_uleb(cursor);
    int64_t offset;
    if (take_frame_offset(cursor, false, &offset))
        define_saved(machine, cursor, number, SAVED_AT_FRAME, offset);
    else
        define_saved(machine, cursor, number, SAVED_UNKNOWN, 0);
}

static void define_by_expression(struct machine *machine, struct cursor *cursor)
{
    int64_t offset = 0;
    machine->rule.base = take_frame_offset(cursor, true, &offset) ? BASE_AT_FRAME : BASE_UNKNOWN;
    define_offset(machine, cursor, offset);
}

static void execute_extended(struct machine *machine, struct cursor *cursor, uint8_t code)
{
    uint64_t unit = machine->description->code_unit, number;
    switch (code) {
    case 0: /* nothing */
    case CFA_ARM_NEGATE_STATE:
        break;
    case CFA_SET:
        machine->location = take_pointer(cursor, machine->description->encoding);
        break;
    case CFA_ADVANCE_1:
    case CFA_ADVANCE_2:
    case CFA_ADVANCE_4:
        machine->location += take(cursor, (size_t)1 << (code - CFA_ADVANCE_1)) * unit;
        break;
    case CFA_OFFSET_EXTENDED:
        number = take_uleb(cursor);
        define_saved(machine, cursor, number, SAVED_AT, scaled(machine, take_uleb(cursor)));
        break;
    case CFA_OFFSET_SIGNED:
        number = take_uleb(cursor);
        define_saved(
            machine, cursor, number, SAVED_AT, scaled(machine, (uint64_t)take_sleb(cursor)));
        break;
    case CFA_RESTORE_EXTENDED:
        restore(machine, take_uleb(cursor));
        break;
    case CFA_UNDEFINED:
        number = take_uleb(cursor);
        machine->rule.is_outermost |= number == machine->description->return_register;
        define_saved(machine, cursor, number, SAVED_UNKNOWN, 0);
        break;
    case CFA_SAME_VALUE:
        define_saved(machine, cursor, take_uleb(cursor), SAVED_SAME, 0);
        break;
    case CFA_REGISTER:
    case CFA_VALUE_OFFSET:
        define_saved(machine, cursor, take_uleb(cursor), SAVED_UNKNOWN, 0);
        take_uleb(cursor);
        break;
    case CFA_VALUE_OFFSET_SIGNED:
        define_saved(machine, cursor, take_uleb(cursor), SAVED_UNKNOWN, 0);
        take_sleb(cursor);
        break;
    case CFA_EXPRESSION:
        save_by_expression(machine, cursor);
        break;
    case CFA_VALUE_EXPRESSION:
        define_saved(machine, cursor, take_uleb(cursor), SAVED_UNKNOWN, 0);
        skip_bytes(cursor, take_uleb(cursor));
        break;
    case CFA_REMEMBER:
        cursor->failed |= machine->depth >= REMEMBERED_MAX;
        if (!cursor->failed)
            machine->remembered[machine->depth++] = machine->rule;
        break;
    case CFA_RECALL:
        cursor->failed |= machine->depth == 0;
        if (!cursor->failed)
            machine->rule = machine->remembered[--machine->depth];
        break;
    case CFA_DEFINE:
        define_base(&machine->rule, take_uleb(cursor));
        define_offset(machine, cursor, (int64_t)take_uleb(cursor));
        break;
    case CFA_DEFINE_SIGNED:
        define_base(&machine->rule, take_uleb(cursor));
        define_offset(machine, cursor, scaled(machine, (uint64_t)take_sleb(cursor)));
        break;
    case CFA_DEFINE_REGISTER:
        define_base(&machine->rule, take_uleb(cursor));
        break;
    case CFA_DEFINE_OFFSET:
        define_offset(machine, cursor, (int64_t)take_uleb(cursor));
        break;
    case CFA_DEFINE_OFFSET_SIGNED:
        define_offset(machine, cursor, scaled(machine, (uint64_t)take_sleb(cursor)));
        break;
    case CFA_DEFINE_EXPRESSION:
        define_by_expression(machine, cursor);
        break;
    case CFA_ARGUMENTS_SIZE:
        take_uleb(cursor);
        break;
    default:
        cursor->failed = true;
    }
}

/* Up to and including those for the address. */
static bool execute(struct machine *machine, struct cursor cursor, uintptr_t address)
{
    while (cursor.at < cursor.end && machine->location <= address && !cursor.failed) {
        uint8_t code = (uint8_t)take(&cursor, 1), operand = code & 0x3f;
        switch (code & 0xc0) {
        case CFA_ADVANCE:
            machine->location += operand * machine->description->code_unit;
            break;
        case CFA_OFFSET:
            define_saved(machine, &cursor, operand, SAVED_AT, scaled(machine, take_uleb(&cursor)));
            break;
        case CFA_RESTORE:
            restore(machine, operand);
            break;
        default:
            execute_extended(machine, &cursor, code);
        }
    }
    return !cursor.failed;
}

/* --- from an address to its rule ----------------------------------------------------------- */

/* .eh_frame_hdr (Linux Standard Base, 10.6.2), in the form that linkers write: addresses relative
 * to its own start, sorted. */
struct table {
    uint8_t version, frame_encoding, count_encoding, entry_encoding;
    int32_t frame;
    uint32_t count;
    struct {
        int32_t begin, description;
    } entries[];
};

static const uint8_t *find_entry(const struct unwind_object *object, uintptr_t address)
{
    const struct table *table = object->table;
    int64_t wanted = (int64_t)(address - (uintptr_t)table);
    size_t room = (size_t)((uint8_t *)object->end - (const uint8_t *)table);
    if (table->version != 1 || table->count_encoding != POINTER_UNSIGNED_4 ||
        table->entry_encoding != (POINTER_TABLE_RELATIVE | POINTER_4) || table->count == 0 ||
        table->count > (room - sizeof(*table)) / sizeof(table->entries[0]))
        return NULL;
    uint32_t low = 0, high = table->count; /* the last one that begins at or before it */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (table->entries[middle].begin <= wanted)
            low = middle;
        else
            high = middle;
    }
    return (const uint8_t *)table + table->entries[low].description;
}

static bool is_inside(const struct unwind_object *object, const void *address)
{
    return address >= object->start && address < object->end;
}

struct rule unwind_rule(uintptr_t address)
{
    static const struct rule unknown = {.base = BASE_UNKNOWN};
    struct unwind_object object;
    struct description description;
    if (unwind_find_object == NULL || unwind_find_object((void *)address, &object) != 0 ||
        object.table == NULL || !is_inside(&object, object.table))
        return unknown;
    const uint8_t *entry = find_entry(&object, address);
    if (entry == NULL || !is_inside(&object, entry) ||
        !read_description(&description, entry, object.end, object.start) || description.is_signal ||
        address < description.begin || address >= description.end)
        return unknown;
    struct machine machine = {.description = &description,
        .rule = {.return_how = SAVED_SAME, .frame_how = SAVED_SAME},
        .location = description.begin};
    if (!execute(&machine, description.common, address))
        return unknown;
    machine.initial = machine.rule;
    machine.location = description.begin;
    return execute(&machine, description.own, address) ? machine.rule : unknown;
}
