/* SPDX-License-Identifier: Apache-2.0 */
/* Where coroutines are made, and on which stack: by libc (coroutines.S) and by Boost.Context, which
 * Boost's coroutines, fibers and Asio's use. Switching is not hooked: the stack says enough. */
#include <ucontext.h>

#include "foreign.h"
#include "stacks.h"

HOOK_ORIGINAL(makecontext);
HOOK_ROW(makecontext, "hooks_missing - .");

__typeof__(makecontext) *coroutine_made(const ucontext_t *context)
    __attribute__((visibility("hidden")));

__typeof__(makecontext) *coroutine_made(const ucontext_t *context)
{
    uintptr_t low = (uintptr_t)context->uc_stack.ss_sp;
    stacks_born(low, low + context->uc_stack.ss_size);
    return ORIGINAL(makecontext);
}

typedef void *fcontext;

/* `top` is the end of the stack. */
#define FUNCTIONS(X) X(fcontext, make_fcontext, (void *, size_t, void *))

FOREIGN_LIBRARY(boost, FUNCTIONS);

HOOK_FOREIGN(fcontext, make_fcontext, (void *top, size_t bytes, void *function))
{
    FOREIGN(boost);
    stacks_born((uintptr_t)top - bytes, (uintptr_t)top);
    return boost->make_fcontext(top, bytes, function);
}
FOREIGN_UNVERSIONED(make_fcontext);
