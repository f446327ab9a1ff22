/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Node-API (nodejs.org/api/n-api.html), of which a few functions do, all of version 6 or older.
 * They are looked up, since the library is loaded into everything, and declared here, since headers
 * of Node are not needed for more. Their values are pointers to what only Node knows; a status is 0
 * when all went well.
 *
 * take(fd) is the context of the request that fd's connection was just read for, as a number;
 * enter(number) tells that what runs now is that context's. Neither throws.
 */
#include "addon.h"

#include <stddef.h>
#include <stdint.h>

#include "carrier.h"
#include "hook.h"
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
    int (*create_int32)(struct napi_env *, int32_t, struct napi_value **);
    int (*add_env_cleanup_hook)(struct napi_env *, void (*)(void *), void *);
} napi;

static struct hook_row functions[] = {
    {"napi_module_register", (void **)&napi.module_register},
    {"napi_create_function", (void **)&napi.create_function},
    {"napi_set_named_property", (void **)&napi.set_named_property},
    {"napi_get_cb_info", (void **)&napi.get_cb_info},
    {"napi_get_value_int32", (void **)&napi.get_value_int32},
    {"napi_create_int32", (void **)&napi.create_int32},
    {"napi_add_env_cleanup_hook", (void **)&napi.add_env_cleanup_hook},
};

bool addon_find(void)
{
    const size_t count = sizeof(functions) / sizeof(functions[0]);
    if (!hooks_find(functions, count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (*functions[i].original == NULL)
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

static struct napi_value *enter(struct napi_env *env, struct napi_callback_info *info)
{
    struct slots *slots = NULL;
    uint32_t number = (uint32_t)argument(env, info, &slots, 0);
    carrier_enter(slots == NULL ? CARRIER_NONE : slots_find(slots, number), false);
    return NULL;
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
    if (add(env, exports, "take", take, slots))
        add(env, exports, "enter", enter, slots);
    return exports;
}

void addon_offer(void)
{
    static struct napi_module module = {
        .version = 1, .file = "", .start = start, .name = "burdock"};
    napi.module_register(&module);
}
