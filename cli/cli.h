/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs of the command share: their signatures, the form of an error, exit statuses.
 * Single-threaded; any libc function and malloc are allowed here, nothing of this enters a host.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "config.h"

enum {
    STATUS_OK = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    /* Of `run`, by the convention of env(1) and timeout(1). */
    STATUS_LAUNCHER = 125,
    STATUS_NOT_EXECUTABLE = 126,
    STATUS_NOT_FOUND = 127
};

/* Each verb gets argv[0] = its own name and answers the exit status. */
int verb_run(int argc, char **argv);
int verb_show(int argc, char **argv);
int verb_ls(int argc, char **argv);
int verb_sql(int argc, char **argv);
int verb_map(int argc, char **argv);
int verb_export(int argc, char **argv);
int verb_recover(int argc, char **argv);
int verb_relay(int argc, char **argv);
int verb_doctor(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_metrics(int argc, char **argv);
int verb_allow(int argc, char **argv);

/* Prints the help text of a verb. False: there is no such verb. */
bool help_print(const char *verb, FILE *stream);

/* One line on stderr: "burdock: what: why; fix". fix may be NULL. Texts are made safe to print. */
void complain(const char *what, const char *why, const char *fix);

/* Explains what getopt_long answered '?' or ':' for; answers STATUS_USAGE. */
int complain_option(const char *verb, char **argv);

/* The number of a process; 0: it is none. */
int pid_parse(const char *text);

/* The configuration that a program started from here would have. */
void settings_read(struct config *settings);

/* malloc and friends that end the command with a message when there is no memory. */
void *allocate(size_t bytes);
void *reallocate(void *block, size_t count, size_t bytes);
char *duplicate(const char *text);
__attribute__((format(printf, 1, 2))) char *format_text(const char *format, ...);
