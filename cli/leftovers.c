/* SPDX-License-Identifier: Apache-2.0 */
#include "leftovers.h"

#include <stdio.h>
#include <string.h>

#include "delivery.h"
#include "recover.h"

void leftovers_recover(
    const struct config *settings, const char *run_id, uint64_t lost[COUNTER_COUNT])
{
    struct delivery delivery = {0};
    if (!delivery_open(&delivery, settings))
        return;
    delivery.keeps = true;
    recover_dead(&delivery, settings, NULL, run_id, lost);
    delivery_close(&delivery);
    for (int i = 0; i < COUNTER_COUNT; i++)
        lost[i] += counters[i];
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
