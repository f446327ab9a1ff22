/* SPDX-License-Identifier: Apache-2.0 */
/* A thread, and requests that it may be in; for tests of what keeps requests' contexts. */
#pragma once

#include "attribution.h"

enum { REQUESTS = 4 };

static struct thread self;
static struct context *requests[REQUESTS], *outside;

/* The process is there. Whose thread_self is `self` is up to the test. */
static void requests_start(void)
{
    static struct process_page page = {1};
    process.page = &page;
    process.epoch = 1;
    for (int i = 0; i < REQUESTS; i++) {
        requests[i] = context_take();
        requests[i]->epoch = process.epoch;
    }
    outside = context_take();
    outside->epoch = process.epoch;
}

static uint32_t held(void)
{
    uint32_t held = 0;
    for (int i = 0; i < REQUESTS; i++)
        held += requests[i]->references - 1; /* the test itself has one */
    return held;
}

static void be_in(struct context *context)
{
    attribution_leave(&self);
    if (context != NULL)
        attribution_request(&self, context, false);
}
