/* SPDX-License-Identifier: Apache-2.0 */
#include "counters.h"

#include <stddef.h>
#include <string.h>

#include "text.h"

static uint64_t own[COUNTER_COUNT];
uint64_t *counters = own;

const char *counter_name(enum counter counter)
{
    static const char names[] =
#define COUNTER(id, name, text) name "\0"
#include "counters.def"
        ;
    return text_nth(names, counter);
}

const char *counter_text(enum counter counter)
{
    static const char texts[] =
#define COUNTER(id, name, text) text "\0"
#include "counters.def"
        ;
    return text_nth(texts, counter);
}

_Static_assert(COUNTER_COUNT <= 64, "a bit for each");
const uint64_t counter_losses = 0
#define COUNTER(id, name, text)
#define LOSS(id, name, text) | 1ull << COUNTER_##id
#include "counters.def"
    ;

static void bring(uint64_t *from, uint64_t *to)
{
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        if (__atomic_load_n(&from[i], __ATOMIC_RELAXED) != 0)
            __atomic_fetch_add(
                &to[i], __atomic_exchange_n(&from[i], 0, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
    }
}

void counters_move(uint64_t *to)
{
    bring(__atomic_exchange_n(&counters, to, __ATOMIC_ACQ_REL), to);
}

void counters_gather(void)
{
    uint64_t *now = __atomic_load_n(&counters, __ATOMIC_ACQUIRE);
    if (now != own)
        bring(own, now);
}

void counters_forked(void)
{
    counters = own;
    memset(own, 0, sizeof(own));
}

bool counters_tell_loss(const uint64_t *now, const uint64_t *before)
{
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        if (counter_losses >> i & 1 && __atomic_load_n(&now[i], __ATOMIC_RELAXED) > before[i])
            return true;
    return false;
}
