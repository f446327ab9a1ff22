/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few functions of libc that we need and cannot name: those that we interpose ourselves, and
 * those that glibc before 2.34 keeps in a library of its own (libpthread), which a host need not
 * have. The preload fills them in; where they are NULL, what needs them does without.
 */
#pragma once

#include <pthread.h>
#include <sys/socket.h>

#include "ours.h"

struct originals {
    int (*pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    int (*pthread_attr_getstacksize)(const pthread_attr_t *, size_t *);
    int (*pthread_attr_setstacksize)(pthread_attr_t *, size_t);
    int (*pthread_timedjoin_np)(pthread_t, void **, const struct timespec *);
    int (*pthread_key_create)(pthread_key_t *, void (*)(void *));
    int (*pthread_key_delete)(pthread_key_t);
    int (*pthread_setspecific)(pthread_key_t, const void *);
    /* Cancellation points, as the host's calls are. */
    ssize_t (*sendmsg)(int, const struct msghdr *, int);
    ssize_t (*send)(int, const void *, size_t, int);
    ssize_t (*write)(int, const void *, size_t);
};

OURS struct originals originals;
