/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation.h"

enum {
    WINDOW = 128,    /* calls by which need and help are measured */
    NEED = 16,       /* one of so many doubtful is need */
    HELP = 2,        /* a trial has helped if it leaves no more than one of so many of them */
    SETTLE = 2048,   /* calls at most until trust is regained */
    PAUSE = 2048,    /* calls after a trial in vain; four times as many after the next */
    DRAINS_MAX = 64, /* looks in a row: a loop that has more to do never sleeps */
    REFUSALS_MAX = 3
};

static void open_window(struct isolation *isolation, enum isolation_phase phase, uint32_t pause)
{
    isolation->phase = (uint8_t)phase;
    isolation->pause = pause;
    isolation->calls = isolation->doubtful = 0;
    isolation->is_needed = isolation->has_settled = false;
}

static void refuse(struct isolation *isolation)
{
    uint32_t pause = (uint32_t)PAUSE << 2 * isolation->refusals;
    isolation->refusals++;
    open_window(isolation,
        isolation->refusals >= REFUSALS_MAX ? ISOLATION_NEVER : ISOLATION_WATCHES, pause);
}

bool isolation_asks(struct isolation *isolation, int epoll, int *most, bool sleeps)
{
    if (!isolation_is_on(isolation) || isolation->loop != epoll + 1 || *most < 1)
        return false;
    *most = 1;
    isolation->is_single = true;
    if (sleeps || !isolation->is_clean)
        return false;
    if (isolation->drained < DRAINS_MAX) {
        isolation->drained++;
        return true;
    }
    refuse(isolation);
    return false;
}

static void close_window(struct isolation *isolation, bool is_trusted)
{
    uint32_t share = isolation->doubtful * UINT32_C(1024) / isolation->calls;
    if (isolation->phase == ISOLATION_SETTLES) {
        if (is_trusted || isolation->calls >= SETTLE)
            open_window(isolation, ISOLATION_TRIES, 0);
    } else if (isolation->phase == ISOLATION_HELPS && !is_trusted) {
        open_window(isolation, ISOLATION_SETTLES, 0);
    } else if (isolation->phase != ISOLATION_WATCHES) {
        if (share * HELP <= isolation->before)
            open_window(isolation, ISOLATION_HELPS, 0);
        else
            refuse(isolation);
    } else if (isolation->is_needed && share * NEED >= 1024) {
        isolation->before = share;
        open_window(isolation, ISOLATION_SETTLES, 0);
    } else {
        open_window(isolation, ISOLATION_WATCHES, 0);
    }
}

void isolation_waited(
    struct isolation *isolation, int epoll, int events, bool sleeps, bool is_trusted)
{
    if (isolation->loop != epoll + 1)
        *isolation = (struct isolation){.loop = epoll + 1};
    isolation->is_clean = sleeps && isolation->is_single;
    isolation->is_single = false;
    isolation->drained = 0;
    isolation->is_needed = isolation->is_needed || events > 1 || !sleeps;
    if (isolation->calls >= WINDOW && isolation->phase != ISOLATION_NEVER)
        close_window(isolation, is_trusted);
}

bool isolation_settles(struct isolation *isolation)
{
    if (isolation->phase != ISOLATION_SETTLES || isolation->has_settled ||
        isolation->calls < WINDOW)
        return false;
    isolation->has_settled = true;
    return true;
}

void isolation_count(struct isolation *isolation, bool is_doubtful)
{
    if (isolation->pause > 0) {
        isolation->pause--;
        return;
    }
    isolation->calls++;
    isolation->doubtful += is_doubtful;
}
