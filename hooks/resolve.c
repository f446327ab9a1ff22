/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <errno.h>

#include "hook.h"

extern const struct hook_row __start_hook_rows[] __attribute__((visibility("hidden")));
extern const struct hook_row __stop_hook_rows[] __attribute__((visibility("hidden")));

bool burdock_is_first(void) __attribute__((visibility("default")));

bool burdock_is_first(void)
{
    return dlsym(RTLD_DEFAULT, "burdock_is_first") == (void *)burdock_is_first;
}

/* The original of what this libc does not have. A program that asks whether the name exists, to do
 * without it otherwise, finds ours: it hears what an old kernel would say. */
static long missing(void)
{
    errno = ENOSYS;
    return -1;
}

void hooks_resolve(void)
{
    for (const struct hook_row *row = __start_hook_rows; row < __stop_hook_rows; row++) {
        if (*row->original != NULL)
            continue;
        void *found = dlsym(RTLD_NEXT, row->name);
        *row->original = found != NULL ? found : (void *)missing;
    }
}
