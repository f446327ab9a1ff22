/* SPDX-License-Identifier: Apache-2.0 */
#include "ruby.h"

#include <stddef.h>

#include "carrier.h"
#include "counters.h"
#include "hook.h"

static bool has(const char *name)
{
    void *function;
    return hooks_find(name, &function);
}

bool ruby_install(void)
{
    if (carrier_starts_nobodys)
        return bunny_install();
    if (!has("rb_thread_create\0"))
        return true;
    carrier_starts_nobodys = true;
    if (has("Init_puma_http11\0")) {
        __atomic_store_n(&carrier_asked, carrier_serve, __ATOMIC_RELEASE);
        counter_add(COUNTER_CARRIER_RUBY, 1);
    }
    return bunny_install();
}
