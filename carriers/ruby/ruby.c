/* SPDX-License-Identifier: Apache-2.0 */
#include "ruby.h"

#include <stddef.h>

#include "carrier.h"
#include "counters.h"
#include "hook.h"

static bool has(const char *name)
{
    void *function = NULL;
    struct hook_row row = {name, &function, NULL, 0};
    return hooks_find(&row, 1);
}

bool ruby_install(void)
{
    if (carrier_starts_nobodys || !has("rb_thread_create"))
        return true;
    carrier_starts_nobodys = true;
    if (has("Init_puma_http11")) {
        __atomic_store_n(&carrier_asked, carrier_serve, __ATOMIC_RELEASE);
        counter_add(COUNTER_CARRIER_RUBY, 1);
    }
    return true;
}
