/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* proc_pid_stat(5): the 22nd field, the 20th after the name; 0: it is gone. */
static uint64_t start_of(pid_t pid)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return 0;
    ssize_t length = read(descriptor, text, sizeof text - 1);
    close(descriptor);
    text[length > 0 ? length : 0] = '\0';
    const char *at = strrchr(text, ')');
    if (at == NULL || at[1] == '\0' || at[2] == 'Z')
        return 0;
    for (unsigned i = 0; i < 20 && at != NULL; i++)
        at = strchr(at + 1, ' ');
    return at == NULL ? 0 : strtoull(at, NULL, 10);
}

bool peers_any_lives(struct peers *peers)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < peers->count; i++)
        if (start_of(peers->list[i].pid) == peers->list[i].start)
            peers->list[kept++] = peers->list[i];
    peers->count = kept;
    return kept > 0;
}

static void note(struct peers *peers, pid_t pid)
{
    struct peer peer = {pid, start_of(pid)};
    for (unsigned i = 0; i < peers->count; i++)
        if (peers->list[i].pid == pid && peers->list[i].start == peer.start)
            return;
    if (peers->count == PEERS_MAX)
        peers_any_lives(peers);
    if (peers->count < PEERS_MAX && peer.start != 0)
        peers->list[peers->count++] = peer;
}

bool peers_admit(struct peers *peers, int descriptor)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
        (peer.uid != geteuid() && peer.uid != 0))
        return false;
    if (peer.pid > 0 && peer.pid != getpid())
        note(peers, peer.pid);
    return true;
}
