/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Node-API (nodejs.org/api/n-api.html), of which a few functions do, all of version 6 or older.
 * They are looked up, since the library is loaded into everything, and declared here, since headers
 * of Node are not needed for more. Their values are pointers to what only Node knows; a status is 0
 * when all went well.
 *
 * | function | |
 * |---|---|
 * | take(fd) | the context of the request that fd's connection was just read for, as a number |
 * | takeMessage(fd, channel, tag) | the same of a message that an AMQP connection has brought |
 * | worked(fd, channel, tag, number) | its program's function is over: true if the message is not |
 * | handOut([topic, key, group, partition + 1, offset, count, header, value, ...]) | the context of
 * a record of Kafka's, or of several, that a consumer hands to its program, entered for certain |
 * | done(number) | that is over |
 * | isPending(value) | it is a promise that is not settled |
 * | enter(number) | what runs now is that context's; number + SURE: for certain; -number: a guess,
 * of what is alone too if SURE is added |
 * | guess(number) | it is that context's or another's; that one's if it is alone |
 * | parts([end, number, ...]) | the write made next is of several: bytes up to `end` are the
 * number's; nothing: it is over |
 * | wrap(original, name, before, after) | a function that calls before(this, arguments), which may
 * answer other arguments; the original; after(this, arguments, result) |
 * | run(get, enter, context, callback, ...) | calls back in the context, and enters what was before
 * |
 *
 * None of them throws, but what the functions that they call throw passes through. Functions in C
 * stand on no stack that the program can see.
 */
#include "addon.h"

#include <stddef.h>
#include <stdint.h>

#include "../protocols/messaging.h"
#include "amqp.h"
#include "carrier.h"
#include "hook.h"
#include "message.h"
#include "slots.h"

struct napi_env;
struct napi_value;
struct napi_callback_info;
typedef struct napi_value *callback(struct napi_env *, struct napi_callback_info *);

struct napi_module {
    int version; /* of this struct */
    unsigned flags;
    const char *file;
    struct napi_value *(*start)(struct napi_env *, struct napi_value *exports);
    const char *name;
    void *private;
    void *reserved[4];
};

static struct {
    void (*module_register)(struct napi_module *);
    int (*create_function)(
        struct napi_env *, const char *name, size_t, callback *, void *data, struct napi_value **);
    int (*set_named_property)(
        struct napi_env *, struct napi_value *object, const char *name, struct napi_value *);
    int (*get_cb_info)(struct napi_env *, struct napi_callback_info *, size_t *count,
        struct napi_value **arguments, struct napi_value **receiver, void **data);
    int (*get_value_int32)(struct napi_env *, struct napi_value *, int32_t *);
    int (*get_value_int64)(struct napi_env *, struct napi_value *, int64_t *);
    int (*create_int32)(struct napi_env *, int32_t, struct napi_value **);
    int (*get_boolean)(struct napi_env *, bool, struct napi_value **);
    int (*is_promise)(struct napi_env *, struct napi_value *, bool *);
    int (*state)(struct napi_value *); /* or NULL; a value is a handle of V8's */
    int (*add_env_cleanup_hook)(struct napi_env *, void (*)(void *), void *);
    int (*call_function)(struct napi_env *, struct napi_value *receiver,
        struct napi_value *function, size_t, struct napi_value *const *, struct napi_value **);
    int (*get_array_length)(struct napi_env *, struct napi_value *, uint32_t *);
    int (*get_element)(struct napi_env *, struct napi_value *, uint32_t, struct napi_value **);
    int (*set_element)(struct napi_env *, struct napi_value *, uint32_t, struct napi_value *);
    int (*create_array)(struct napi_env *, struct napi_value **);
    int (*get_undefined)(struct napi_env *, struct napi_value **);
    int (*create_reference)(struct napi_env *, struct napi_value *, uint32_t, void **);
    int (*get_reference_value)(struct napi_env *, void *, struct napi_value **);
    int (*get_value_string_utf8)(
        struct napi_env *, struct napi_value *, char *, size_t, size_t *length);
} napi;

/* In the order of their pointers. */
static const char names[] = "napi_module_register\0"
                            "napi_create_function\0"
                            "napi_set_named_property\0"
                            "napi_get_cb_info\0"
                            "napi_get_value_int32\0"
                            "napi_get_value_int64\0"
                            "napi_create_int32\0"
                            "napi_get_boolean\0"
                            "napi_is_promise\0"
                            "_ZN2v87Promise5StateEv\0" /* v8::Promise::State() */
                            "napi_add_env_cleanup_hook\0"
                            "napi_call_function\0"
                            "napi_get_array_length\0"
                            "napi_get_element\0"
                            "napi_set_element\0"
                            "napi_create_array\0"
                            "napi_get_undefined\0"
                            "napi_create_reference\0"
                            "napi_get_reference_value\0"
                            "napi_get_value_string_utf8\0";

bool addon_find(void)
{
    if (!hooks_find(names, &napi))
        return false;
    for (size_t i = 0; i < sizeof(napi) / sizeof(void *); i++)
        if (((void **)&napi)[i] == NULL && (void *)&((void **)&napi)[i] != &napi.state)
            return false;
    return true;
}

/* The only argument of a call, and the slots of the thread it came on. */
static int32_t argument(
    struct napi_env *env, struct napi_callback_info *info, struct slots **slots, int32_t otherwise)
{
    size_t count = 1;
    struct napi_value *value = NULL;
    int32_t number = otherwise;
    if (napi.get_cb_info(env, info, &count, &value, NULL, (void **)slots) != 0 || count != 1 ||
        napi.get_value_int32(env, value, &number) != 0)
        return otherwise;
    return number;
}

static struct napi_value *take(struct napi_env *env, struct napi_callback_info *info)
{
    struct slots *slots = NULL;
    struct napi_value *number = NULL;
    uint32_t handle = carrier_take_at(argument(env, info, &slots, -1));
    if (handle != CARRIER_NONE)
        napi.create_int32(env, (int32_t)slots_keep(slots, handle), &number);
    return number;
}

enum { SURE = 1 << 30 }; /* above all numbers; burdock-node.cjs */

/* What a number says: whose, and how sure that is. */
static struct carrier_part said(struct slots *slots, int32_t number)
{
    if (slots == NULL)
        return (struct carrier_part){0};
    uint32_t size = number < 0 ? -(uint32_t)number : (uint32_t)number, of = size % SURE;
    return (struct carrier_part){.handle = slots_find(slots, of),
        .is_certain = number >= SURE,
        .is_guess = number < 0 && (size >= SURE || !slots_is_alone(slots, of))};
}

static void enter_as(struct carrier_part part)
{
    if (part.is_guess)
        carrier_enter_guess(part.handle);
    else
        carrier_enter(part.handle, part.is_certain);
}

static struct napi_value *enter(struct napi_env *env, struct napi_callback_info *info)
{
    struct slots *slots = NULL;
    int32_t number = argument(env, info, &slots, 0);
    enter_as(said(slots, number));
    return NULL;
}

static struct napi_value *guess(struct napi_env *env, struct napi_callback_info *info)
{
    struct slots *slots = NULL;
    int32_t number = argument(env, info, &slots, 0);
    if (number > 0)
        enter_as(said(slots, -number));
    else
        carrier_enter_guess(CARRIER_NONE);
    return NULL;
}

/* To wait for it would make its error a handled one. */
static struct napi_value *is_pending(struct napi_env *env, struct napi_callback_info *info)
{
    size_t count = 1;
    struct napi_value *value = NULL, *answer = NULL;
    bool is = false;
    if (napi.get_cb_info(env, info, &count, &value, NULL, NULL) == 0 &&
        napi.is_promise(env, value, &is) == 0 && is)
        is = napi.state != NULL && napi.state(value) == 0;
    napi.get_boolean(env, is, &answer);
    return answer;
}

/* --- messages --------------------------------------------------------------------------------- */

enum { FD, CHANNEL, TAG, NUMBER, MESSAGE_ARGUMENTS };

/* What a message is told by, `count` of it. False: it is not. */
static bool message_of(struct napi_env *env, struct napi_callback_info *info, size_t count,
    int64_t told[MESSAGE_ARGUMENTS], struct slots **slots)
{
    size_t given = MESSAGE_ARGUMENTS;
    struct napi_value *values[MESSAGE_ARGUMENTS];
    if (napi.get_cb_info(env, info, &given, values, NULL, (void **)slots) != 0 || given != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (napi.get_value_int64(env, values[i], &told[i]) != 0 || told[i] < 0)
            return false;
    return told[CHANNEL] > 0 && told[TAG] > 0;
}

static uint64_t key_of(const int64_t told[MESSAGE_ARGUMENTS])
{
    return amqp_key((uint16_t)told[CHANNEL], (uint64_t)told[TAG]);
}

static struct napi_value *take_message(struct napi_env *env, struct napi_callback_info *info)
{
    int64_t told[MESSAGE_ARGUMENTS];
    struct slots *slots = NULL;
    struct napi_value *number = NULL;
    if (!message_of(env, info, NUMBER, told, &slots))
        return NULL;
    carrier_enter(CARRIER_NONE, false); /* it is not brought for what the thread did last */
    uint32_t handle = carrier_take_message((int)told[FD], key_of(told));
    if (handle == CARRIER_NONE)
        return NULL;
    napi.create_int32(env, (int32_t)slots_keep(slots, handle), &number);
    carrier_enter(handle, true);
    return number;
}

static struct napi_value *worked(struct napi_env *env, struct napi_callback_info *info)
{
    int64_t told[MESSAGE_ARGUMENTS];
    struct slots *slots = NULL;
    struct napi_value *is_live = NULL;
    if (!message_of(env, info, MESSAGE_ARGUMENTS, told, &slots))
        return NULL;
    uint32_t handle = slots_find(slots, (uint32_t)told[NUMBER]);
    if (handle != CARRIER_NONE)
        carrier_worked((int)told[FD], key_of(told), handle);
    carrier_enter(CARRIER_NONE, false);
    napi.get_boolean(env, carrier_is_live(handle), &is_live);
    return is_live;
}

/* --- records of Kafka ------------------------------------------------------------------------- */

enum { TOPIC, KEY, GROUP, PARTITION, OFFSET, COUNT, HEADERS, TEXT_MAX = 2048 };

static int64_t number_in(struct napi_env *env, struct napi_value *array, uint32_t index)
{
    struct napi_value *value = NULL;
    int64_t number = 0;
    if (napi.get_element(env, array, index, &value) == 0)
        napi.get_value_int64(env, value, &number);
    return number;
}

/* "": there is none. */
static size_t text_in(
    struct napi_env *env, struct napi_value *array, uint32_t index, char text[TEXT_MAX])
{
    struct napi_value *value = NULL;
    size_t length = 0;
    *text = '\0';
    if (napi.get_element(env, array, index, &value) == 0)
        napi.get_value_string_utf8(env, value, text, TEXT_MAX, &length);
    return length;
}

static void tell_records(
    struct napi_env *env, struct napi_value *array, uint32_t length, struct exchange *exchange)
{
    static const uint8_t texts[] = {FIELD_DESTINATION, FIELD_ROUTING, FIELD_SUBSCRIPTION};
    char text[TEXT_MAX], name[TEXT_MAX];
    for (uint32_t i = TOPIC; i <= GROUP; i++) {
        size_t bytes = text_in(env, array, i, text);
        if (bytes > 0)
            call_text(exchange, texts[i], text, bytes);
    }
    call_number(exchange, FIELD_VERSION, MESSAGE_PROCESS);
    call_number(exchange, FIELD_ROWS, number_in(env, array, PARTITION));
    call_number(exchange, FIELD_STATUS, number_in(env, array, OFFSET));
    call_number(exchange, FIELD_BATCH, number_in(env, array, COUNT));
    for (uint32_t i = HEADERS; i + 1 < length; i += 2) {
        text_in(env, array, i, name);
        size_t bytes = text_in(env, array, i + 1, text);
        if (exchange->numbers[FIELD_BATCH] > 1)
            message_link(exchange, text, bytes);
        else
            message_header(exchange, name, text, bytes);
    }
}

static struct napi_value *hand_out(struct napi_env *env, struct napi_callback_info *info)
{
    struct slots *slots = NULL;
    struct napi_value *array = NULL, *number = NULL;
    size_t count = 1;
    uint32_t length = 0;
    if (napi.get_cb_info(env, info, &count, &array, NULL, (void **)&slots) != 0 || count != 1 ||
        napi.get_array_length(env, array, &length) != 0)
        return NULL;
    carrier_enter(CARRIER_NONE, false);
    struct exchange *exchange = message_begin(true);
    if (exchange == NULL)
        return NULL;
    tell_records(env, array, length, exchange);
    struct context *context = message_handed(exchange, LIBRARY_KAFKA, HANDED_TOLD);
    if (context == NULL)
        return NULL;
    uint32_t handle = carrier_hold(context->index);
    if (call_put(context, (struct call){exchange, 0}) == NULL) {
        carrier_drop(handle);
        return NULL;
    }
    napi.create_int32(env, (int32_t)slots_keep(slots, handle), &number);
    carrier_enter(handle, true);
    return number;
}

static struct napi_value *done(struct napi_env *env, struct napi_callback_info *info)
{
    struct slots *slots = NULL;
    struct call call;
    int32_t number = argument(env, info, &slots, 0);
    uint32_t handle = number <= 0 ? CARRIER_NONE : slots_find(slots, (uint32_t)number);
    if (handle != CARRIER_NONE && call_take(context_at(handle), &call))
        message_done(call.exchange);
    return NULL;
}

/* --- writes of several ------------------------------------------------------------------------ */

static int32_t element(struct napi_env *env, struct napi_value *array, uint32_t index)
{
    struct napi_value *value = NULL;
    int32_t number = 0;
    if (napi.get_element(env, array, index, &value) == 0)
        napi.get_value_int32(env, value, &number);
    return number;
}

static struct napi_value *parts(struct napi_env *env, struct napi_callback_info *info)
{
    struct slots *slots = NULL;
    struct napi_value *array = NULL;
    size_t count = 1;
    uint32_t length = 0;
    carrier_parted();
    if (napi.get_cb_info(env, info, &count, &array, NULL, (void **)&slots) != 0 || count != 1 ||
        napi.get_array_length(env, array, &length) != 0)
        return NULL;
    uint32_t used = 0;
    for (uint32_t i = 0; i + 1 < length && used < SLOT_PARTS_MAX - 1; i += 2) {
        slots->parts[used] = said(slots, element(env, array, i + 1));
        slots->parts[used++].end = (size_t)element(env, array, i);
    }
    slots->parts[used] = (struct carrier_part){SIZE_MAX, CARRIER_NONE, false};
    carrier_parts(slots->parts);
    return NULL;
}

/* --- functions around functions --------------------------------------------------------------- */

enum { ARGUMENTS_MAX = 16, NAME_BYTES = 64 };

/* For as long as its thread of Node's runs. */
struct wrapped {
    void *original, *before, *after; /* references */
};

static struct napi_value *referred(struct napi_env *env, void *reference)
{
    struct napi_value *value = NULL;
    napi.get_reference_value(env, reference, &value);
    return value;
}

static struct napi_value *array_of(struct napi_env *env, struct napi_value **values, size_t count)
{
    struct napi_value *array = NULL;
    napi.create_array(env, &array);
    for (size_t i = 0; i < count; i++)
        napi.set_element(env, array, (uint32_t)i, values[i]);
    return array;
}

static struct napi_value *call_wrapped(struct napi_env *env, struct napi_callback_info *info)
{
    size_t count = ARGUMENTS_MAX;
    struct wrapped *wrapped = NULL;
    struct napi_value *values[ARGUMENTS_MAX], *receiver = NULL, *result = NULL, *other = NULL;
    if (napi.get_cb_info(env, info, &count, values, &receiver, (void **)&wrapped) != 0)
        return NULL;
    if (count > ARGUMENTS_MAX)
        count = ARGUMENTS_MAX; /* none of those that are wrapped takes as many */
    struct napi_value *told[3] = {receiver, array_of(env, values, count)};
    uint32_t length = 0;
    if (napi.call_function(env, receiver, referred(env, wrapped->before), 2, told, &other) == 0 &&
        napi.get_array_length(env, other, &length) == 0 && length == count)
        for (uint32_t i = 0; i < length; i++)
            napi.get_element(env, other, i, &values[i]);
    if (napi.call_function(
            env, receiver, referred(env, wrapped->original), count, values, &result) != 0)
        return NULL;
    told[2] = result;
    napi.call_function(env, receiver, referred(env, wrapped->after), 3, told, &other);
    return result;
}

static struct napi_value *wrap(struct napi_env *env, struct napi_callback_info *info)
{
    size_t count = 4;
    struct slots *slots = NULL;
    struct napi_value *values[4], *function = NULL;
    char name[NAME_BYTES];
    if (napi.get_cb_info(env, info, &count, values, NULL, (void **)&slots) != 0 || count != 4 ||
        napi.get_value_string_utf8(env, values[1], name, sizeof(name), NULL) != 0)
        return NULL;
    struct wrapped *wrapped = slots_room(slots, sizeof(*wrapped));
    if (wrapped == NULL || napi.create_reference(env, values[0], 1, &wrapped->original) != 0 ||
        napi.create_reference(env, values[2], 1, &wrapped->before) != 0 ||
        napi.create_reference(env, values[3], 1, &wrapped->after) != 0)
        return NULL;
    napi.create_function(env, name, SIZE_MAX, call_wrapped, wrapped, &function);
    return function;
}

/* What the callback throws goes on as it is: to catch it would show where it was thrown again. */
static struct napi_value *run(struct napi_env *env, struct napi_callback_info *info)
{
    enum { GET, ENTER, CONTEXT, CALLBACK, FIRST };
    size_t count = ARGUMENTS_MAX;
    struct napi_value *values[ARGUMENTS_MAX], *nothing, *before, *result = NULL, *ignored;
    if (napi.get_cb_info(env, info, &count, values, NULL, NULL) != 0 || count < FIRST ||
        napi.get_undefined(env, &nothing) != 0 ||
        napi.call_function(env, nothing, values[GET], 0, NULL, &before) != 0)
        return NULL;
    if (count > ARGUMENTS_MAX)
        count = ARGUMENTS_MAX;
    napi.call_function(env, nothing, values[ENTER], 1, &values[CONTEXT], &ignored);
    if (napi.call_function(
            env, nothing, values[CALLBACK], count - FIRST, values + FIRST, &result) == 0)
        napi.call_function(env, nothing, values[ENTER], 1, &before, &ignored);
    return result;
}

static bool add(struct napi_env *env, struct napi_value *exports, const char *name,
    callback *function, struct slots *slots)
{
    struct napi_value *value;
    return napi.create_function(env, name, SIZE_MAX, function, slots, &value) == 0 &&
           napi.set_named_property(env, exports, name, value) == 0;
}

static void end(void *slots)
{
    slots_free(slots);
}

/* Each of Node's threads starts the addon for itself. */
static struct napi_value *start(struct napi_env *env, struct napi_value *exports)
{
    struct slots *slots = slots_make();
    if (slots == NULL)
        return exports;
    if (napi.add_env_cleanup_hook(env, end, slots) != 0) {
        slots_free(slots);
        return exports;
    }
    static const struct {
        const char *name;
        callback *function;
    } offered[] = {{"take", take}, {"takeMessage", take_message}, {"worked", worked},
        {"handOut", hand_out}, {"done", done}, {"isPending", is_pending}, {"guess", guess},
        {"parts", parts}, {"wrap", wrap}, {"run", run},
        {"enter", enter}}; /* the last one stands for all */
    for (size_t i = 0; i < sizeof(offered) / sizeof(offered[0]); i++)
        if (!add(env, exports, offered[i].name, offered[i].function, slots))
            break;
    return exports;
}

void addon_offer(void)
{
    static struct napi_module module = {
        .version = 1, .file = "", .start = start, .name = "burdock"};
    napi.module_register(&module);
}
