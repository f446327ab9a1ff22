/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

#include <stdint.h>

#include "callbacks.h"
#include "places.h"
#include "pool.h"
#include "process.h"

enum { NEAR = 8 /* places that a client may stand in */ };

struct command {
    uint64_t pool_link;
    size_t bytes; /* still to be written */
    uint32_t next;
    struct carrier_claim claim; /* whose it is */
};

/* The commands from `unsent` on have bytes left; those before it wait for answers. */
struct commands_client {
    const void *key; /* NULL: free. Whoever sets it has the rest, all zero */
    uint32_t first, last, unsent;
    bool is_lost;
    bool calls_back;                       /* what its program was called back for is not over */
    struct carrier_claim claim;            /* whose it is */
    struct carrier_view at_call, at_write; /* where the thread was before */
    struct carrier_part parts[COMMANDS_PARTS_MAX + 1];
};

static struct pool pool = {.block_shift = 5, .clear_bytes = 8};
static struct places places = {
    .count = COMMANDS_CLIENTS_MAX, .near = NEAR, .row_bytes = sizeof(struct commands_client)};

_Static_assert(sizeof(struct command) <= 1 << 5, "a command fits its block");

static struct command *command_at(uint32_t index)
{
    return pool_block(&pool, index);
}

static struct commands_client *find(const void *key)
{
    return places_find(&places, key);
}

static struct commands_client *make(const void *key)
{
    struct commands_client *client = find(key);
    return client != NULL ? client : places_take(&places, key);
}

/* Nobody's, if there is none. */
static struct carrier_claim take_first(struct commands_client *client)
{
    uint32_t index = client->first;
    struct carrier_claim claim = {0};
    if (index == 0)
        return claim;
    const struct command *command = command_at(index);
    claim = command->claim;
    if (client->unsent == index)
        client->unsent = command->next;
    client->first = command->next;
    if (client->first == 0)
        client->last = 0;
    pool_give(&pool, index);
    return claim;
}

static void empty(struct commands_client *client)
{
    while (client->first != 0)
        carrier_unclaim(take_first(client).handle);
}

static void lose(struct commands_client *client)
{
    empty(client);
    client->is_lost = true;
}

void commands_put(const void *key, size_t bytes)
{
    struct commands_client *client = process.page == NULL ? NULL : make(key);
    if (client == NULL || client->is_lost)
        return;
    uint32_t index = pool_take(&pool);
    if (index == 0) {
        lose(client);
        return;
    }
    *command_at(index) = (struct command){.bytes = bytes, .claim = callbacks_claim()};
    if (client->last != 0)
        command_at(client->last)->next = index;
    else
        client->first = index;
    client->last = index;
    if (client->unsent == 0)
        client->unsent = index;
}

void commands_give_up(const void *key)
{
    struct commands_client *client = process.page == NULL ? NULL : make(key);
    if (client != NULL)
        lose(client);
}

void commands_strange(const void *key)
{
    struct commands_client *client = find(key);
    if (client != NULL)
        lose(client);
}

/* --- its loop writes ----------------------------------------------------------------------------
 */

struct commands_client *commands_write(const void *key)
{
    struct commands_client *client = find(key);
    if (client == NULL)
        return NULL;
    struct carrier_part *part = client->parts;
    size_t end = 0;
    for (uint32_t i = client->unsent; i != 0 && part < &client->parts[COMMANDS_PARTS_MAX];
         i = command_at(i)->next) {
        const struct command *command = command_at(i);
        end += command->bytes;
        *part++ = (struct carrier_part){
            end, command->claim.handle, command->claim.is_certain, !command->claim.is_certain};
    }
    *part = (struct carrier_part){.end = SIZE_MAX};
    client->at_write = callbacks_begin((struct carrier_claim){0});
    carrier_parts(client->parts);
    return client;
}

void commands_written(struct commands_client *client, bool is_all)
{
    size_t told = carrier_parted(), gone = is_all ? SIZE_MAX : told;
    while (client->unsent != 0 && gone > 0) {
        struct command *command = command_at(client->unsent);
        size_t taken = command->bytes < gone ? command->bytes : gone;
        command->bytes -= taken;
        gone -= taken;
        if (command->bytes > 0)
            break;
        client->unsent = command->next;
    }
    callbacks_end((struct carrier_claim){0}, client->at_write);
}

/* --- it calls back ------------------------------------------------------------------------------
 */

struct commands_client *commands_next(const void *key)
{
    struct commands_client *client = find(key);
    if (client != NULL && client->calls_back) {
        client->calls_back = false;
        callbacks_end(client->claim, client->at_call);
    }
    return client;
}

void commands_answer(struct commands_client *client)
{
    if (client->is_lost)
        return; /* what was read says whose it may be */
    client->claim = take_first(client);
    client->calls_back = true;
    client->at_call = callbacks_begin(client->claim);
}

void commands_abandon(const void *key)
{
    struct commands_client *client = commands_next(key);
    if (client == NULL)
        return;
    lose(client);
    carrier_enter(CARRIER_NONE, false);
}

void commands_forget(const void *key)
{
    struct commands_client *client = commands_next(key);
    if (client == NULL)
        return;
    empty(client);
    client->is_lost = false;
    __atomic_store_n(&client->key, NULL, __ATOMIC_RELEASE);
}
