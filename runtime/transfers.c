/* SPDX-License-Identifier: Apache-2.0 */
#include "transfers.h"

#include <string.h>

#include "attribution.h"
#include "callbacks.h"
#include "places.h"
#include "readable.h"

enum { NEAR = 16 /* places that a transfer may stand in */, FOUND_MAX = 8 };

/* | field | who writes it                                     |
 * | key   | who takes the place, by exchange; who leaves it   |
 * | group | the same, after taking, before leaving            |
 * | rest  | the thread that uses the group                    | */
struct transfer {
    const void *key; /* NULL: free */
    const void *group;
    struct carrier_claim claim;
    bool is_finished; /* and has been taken up: it sends nothing any more */
};

static struct places places = {
    .count = TRANSFERS_MAX, .near = NEAR, .row_bytes = sizeof(struct transfer)};
static uint32_t known; /* that are there */

static struct transfer *find(const void *key)
{
    return __atomic_load_n(&known, __ATOMIC_ACQUIRE) == 0 ? NULL : places_find(&places, key);
}

static void leave(struct transfer *transfer)
{
    if (!transfer->is_finished)
        carrier_unclaim(transfer->claim.handle);
    transfer->claim = (struct carrier_claim){0};
    transfer->is_finished = false;
    __atomic_store_n(&transfer->group, NULL, __ATOMIC_RELEASE);
    __atomic_store_n(&transfer->key, NULL, __ATOMIC_RELEASE);
    __atomic_fetch_sub(&known, 1, __ATOMIC_RELEASE);
}

/* A process that has never served anybody is none of our business here. */
void transfers_give(const void *group, const void *transfer)
{
    bool is_needed =
        thread_self != NULL && (thread_self->current != NULL || places_are_made(&places));
    if (!is_needed || attribution_serves_one(thread_self))
        return;
    transfers_take(transfer); /* what was under its address before */
    struct transfer *place = places_take(&places, transfer);
    if (place == NULL)
        return;
    place->claim = callbacks_claim();
    __atomic_store_n(&place->group, group, __ATOMIC_RELEASE);
    __atomic_fetch_add(&known, 1, __ATOMIC_RELEASE);
}

void transfers_take(const void *key)
{
    struct transfer *transfer = find(key);
    if (transfer != NULL)
        leave(transfer);
}

void transfers_forget(const void *group)
{
    if (__atomic_load_n(&known, __ATOMIC_ACQUIRE) == 0)
        return;
    struct transfer *all = (struct transfer *)places.rows;
    for (uint32_t i = 0; i < TRANSFERS_MAX; i++)
        if (__atomic_load_n(&all[i].group, __ATOMIC_ACQUIRE) == group)
            leave(&all[i]);
}

/* --- its turn -----------------------------------------------------------------------------------
 */

bool transfers_begin(struct transfers_outer *outer, const struct transfers_turn *turn)
{
    if (thread_self == NULL || __atomic_load_n(&known, __ATOMIC_ACQUIRE) == 0)
        return false;
    outer->before = carrier_look();
    carrier_hold(outer->before.handle);
    outer->turn = thread_self->transfers.turn;
    thread_self->transfers.turn = *turn;
    thread_self->transfers.turn.stack = thread_self->stack;
    return true;
}

void transfers_end(const struct transfers_outer *outer)
{
    thread_self->transfers.turn = outer->turn;
    callbacks_end((struct carrier_claim){0}, outer->before);
}

/* What it was at ended with its last wait, if there was one since. */
static void step_over(struct thread *self)
{
    struct transfers *own = &self->transfers;
    own->group = NULL;
    if (own->unit == self->unit) {
        callbacks_end(own->claim, own->before);
        return;
    }
    carrier_drop(own->before.handle);
    carrier_drop(own->claim.handle);
}

void transfers_next(const void *group)
{
    struct thread *self = thread_self;
    if (self != NULL && self->transfers.group == group && group != NULL)
        step_over(self);
}

/* Who asks another group meanwhile goes on with what it is at. */
void transfers_finished(const void *group, const void *key)
{
    struct thread *self = thread_self;
    struct transfer *transfer = find(key);
    if (transfer == NULL || transfer->is_finished || self == NULL)
        return;
    struct transfers *own = &self->transfers;
    transfer->is_finished = true;
    if (own->group != NULL && own->unit == self->unit) {
        carrier_unclaim(transfer->claim.handle);
        return;
    }
    if (own->group != NULL)
        step_over(self);
    own->claim = transfer->claim;
    own->before = callbacks_begin(transfer->claim);
    own->group = group;
    own->unit = self->unit;
}

/* --- which one is it? ---------------------------------------------------------------------------
 */

struct found {
    uint32_t count;
    bool is_too_much;
    const struct transfer *transfers[FOUND_MAX];
};

static void add(struct found *found, const struct transfer *transfer)
{
    for (uint32_t i = 0; i < found->count; i++)
        if (found->transfers[i] == transfer)
            return;
    found->is_too_much |= found->count == FOUND_MAX;
    if (found->count < FOUND_MAX)
        found->transfers[found->count++] = transfer;
}

/* From the observe block, which lies in the call's own frame, to where the turn began. If a
 * coroutine that nobody told us of runs on a stack nearby, there may be pages between that are
 * nobody's. */
static void search(const struct thread *self, struct found *found)
{
    const struct transfers_turn *turn = &self->transfers.turn;
    uintptr_t page = 0;
    for (uintptr_t at = self->guard; at < turn->frame; at += sizeof(uintptr_t)) {
        if (at / READABLE_PAGE_BYTES != page && !readable_page(at / READABLE_PAGE_BYTES)) {
            found->is_too_much = true;
            return;
        }
        page = at / READABLE_PAGE_BYTES;
        uintptr_t word = *(const uintptr_t *)at;
        const struct transfer *transfer =
            word % sizeof(void *) != 0 ? NULL : find((const void *)word);
        if (transfer != NULL && !transfer->is_finished &&
            __atomic_load_n(&transfer->group, __ATOMIC_ACQUIRE) == turn->group)
            add(found, transfer);
    }
}

/* What follows the authority (RFC 3986, 3.2); what does not begin with a scheme is returned whole.
 */
static const char *path_of(const char *text, const char *end)
{
    const char *colon = memchr(text, ':', (size_t)(end - text));
    if (*text == '/' || colon == NULL || end - colon < 3 || memcmp(colon, "://", 3) != 0)
        return text;
    for (text = colon + 3; text < end && *text != '/' && *text != '?' && *text != '#';)
        text++;
    return text;
}

/* Is this the target of the request line (RFC 9112, 3.2) that goes out next? */
static bool is_sent(const struct transfers *own, const char *url)
{
    const char *line = (const char *)own->sending, *all = line + own->sending_bytes;
    const char *target = memchr(line, ' ', own->sending_bytes);
    const char *end = target == NULL ? NULL : memchr(target + 1, ' ', (size_t)(all - target - 1));
    if (end == NULL || url == NULL)
        return false;
    target = path_of(target + 1, end);
    url = path_of(url, url + strlen(url));
    size_t length = strcspn(url, "#");
    if (*url != '/') /* the empty path is "/" */
        return end - target == (ptrdiff_t)length + 1 && *target == '/' &&
               memcmp(target + 1, url, length) == 0;
    return end - target == (ptrdiff_t)length && memcmp(target, url, length) == 0;
}

static bool are_one(const struct found *found)
{
    for (uint32_t i = 1; i < found->count; i++)
        if (found->transfers[i]->claim.handle != found->transfers[0]->claim.handle)
            return false;
    return found->count > 0 && !found->is_too_much;
}

static bool is_by_url(const struct transfers *own, const void *transfer)
{
    return is_sent(own, own->turn.library->url(own->turn.functions, transfer));
}

static bool is_ready_now(const struct transfers *own, const void *transfer)
{
    return own->turn.library->is_ready(own->turn.functions, transfer);
}

/* Others were there before, or are next. */
static void keep(const struct transfers *own, struct found *found,
    bool (*is_it)(const struct transfers *, const void *))
{
    uint32_t kept = 0;
    if (own->sending == NULL || found->is_too_much || are_one(found))
        return;
    for (uint32_t i = 0; i < found->count; i++)
        if (is_it(own, found->transfers[i]->key))
            found->transfers[kept++] = found->transfers[i];
    found->count = kept;
}

void transfers_look(struct thread *self)
{
    struct transfers *own = &self->transfers;
    if (self->stack != own->turn.stack)
        return;
    if (self->guard >= own->turn.frame) {
        own->turn.frame = 0; /* a jump has left it */
        return;
    }
    struct found found = {0};
    if (own->turn.frame - self->guard <= TRANSFERS_STACK_MAX)
        search(self, &found);
    keep(own, &found, is_by_url);
    keep(own, &found, is_ready_now);
    if (!are_one(&found)) {
        attribution_guess(self, self->current);
        return;
    }
    struct carrier_claim claim = found.transfers[0]->claim;
    struct context *context = claim.handle == CARRIER_NONE ? NULL : context_at(claim.handle);
    if (context != NULL && !claim.is_certain)
        attribution_guess(self, context);
    else
        attribution_carry(self, context, true);
}
