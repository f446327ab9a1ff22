/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few functions of libc that we both interpose and need ourselves. The preload fills them in;
 * elsewhere they are NULL, and what needs them does without.
 */
#pragma once

#include <pthread.h>
#include <sys/socket.h>

struct originals {
    int (*pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    /* Cancellation points, as the host's calls are. */
    ssize_t (*sendmsg)(int, const struct msghdr *, int);
    ssize_t (*send)(int, const void *, size_t, int);
};

extern struct originals originals;
