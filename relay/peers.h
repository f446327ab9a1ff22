/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has ever asked us and still lives: as long as one does, the relay is needed, however long it
 * has been silent. Processes of another namespace have no number here and are not kept.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { PEERS_MAX = 1024 };

struct peers {
    struct peer {
        pid_t pid;
        uint64_t start; /* tells it from a later one with its number */
    } list[PEERS_MAX];
    unsigned count;
};

/* May the process at the other end use this relay: our user, or root? Remembers it if so. */
bool peers_admit(struct peers *peers, int descriptor);

/* Forgets the dead. */
bool peers_any_lives(struct peers *peers);
