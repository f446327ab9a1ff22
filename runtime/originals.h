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
    ssize_t (*sendmsg)(int, const struct msghdr *, int); /* a cancellation point, as the host's */
};

extern struct originals originals;
