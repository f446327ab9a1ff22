/* SPDX-License-Identifier: Apache-2.0 */
#include "leftovers.h"

#include <stdio.h>
#include <string.h>

#include "delivery.h"
#include "recover.h"

int leftovers_recover(const struct config *settings, const char *run_id)
{
    struct delivery delivery = {0};
    if (!delivery_open(&delivery, settings))
        return 0;
    delivery.keeps = true;
    uint64_t rescued = recover_dead(&delivery, settings, NULL, run_id);
    delivery_close(&delivery);
    return (int)rescued;
}

bool leftovers_read(const struct config *settings, int pid, struct leftovers *out)
{
    static struct ring_file file;
    if (!recover_counters(settings, (uint32_t)pid, &file, &out->waiting))
        return false;
    memcpy(out->counters, file.counters, sizeof(out->counters));
    out->health = file.health;
    out->connections = file.connections;
    snprintf(out->service_name, sizeof out->service_name, "%.255s", file.service_name);
    snprintf(out->broken_why, sizeof out->broken_why, "%.127s", file.broken ? file.broken_why : "");
    return true;
}
