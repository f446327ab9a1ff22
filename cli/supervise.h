/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command as if it had been started directly: it keeps the process group, the terminal, the
 * signal mask and the dispositions; signals sent to us reach it; its stops stop us, so that the
 * shell's job control works; its end becomes ours.
 */
#pragma once

#include <stdbool.h>

struct ending {
    int launch_error; /* errno of the failed exec, 0 if the command ran */
    bool fork_failed;
    int wait_status; /* as from waitpid */
};

/* Starts argv[0], found in PATH, waits for its end. What is to be seen to meanwhile, if it is not
 * NULL, is called every five seconds. The forwarded signals stay blocked afterwards:
 * nothing may change the status any more. */
struct ending supervise(char **argv, void (*now_and_then)(void));

/* Ends this process the way the command ended; returns the status to exit with where that is how.
 */
int ending_status(const struct ending *ending);
