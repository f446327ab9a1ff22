/* SPDX-License-Identifier: Apache-2.0 */
/* What `burdock doctor` has to say, one line for each finding. */
#pragma once

#include <stdbool.h>

#include "config.h"

enum finding { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct findings {
    unsigned count[3];
};

/* "fail  <what>  fix: <fix>"; fix may be NULL. Takes what over and frees it (see format_text). */
void finding_add(struct findings *findings, enum finding finding, char *what, const char *fix);

/* The closing line; answers the exit status. */
int findings_close(const struct findings *findings);

/* The parts of the doctor. */
void doctor_installation(struct findings *findings);
void doctor_settings(struct findings *findings);
/* What in these settings prevents or thins out traces, and what in them is ignored. */
void doctor_switches(struct findings *findings, const struct config *settings);
/* A variable, "NAME=VALUE", that is meant for us and that we do not know; those of this
 * environment. */
void doctor_unknown(struct findings *findings, const char *variable);
void doctor_unknown_here(struct findings *findings);
void doctor_command(struct findings *findings, const char *command);
/* What the file itself says, by any name; depth counts interpreters of scripts. */
void doctor_file(struct findings *findings, const char *path, int depth);
/* Nothing, unless these settings of a user's processes need it. */
void doctor_relay(struct findings *findings, const struct config *settings, unsigned user);
void doctor_process(struct findings *findings, int pid);
