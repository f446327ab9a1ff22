/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs that list something take: -n, --errors, --service, --json, --color. */
#pragma once

#include "terminal.h"

struct list_options {
    long limit;
    bool errors, json;
    const char *service; /* NULL: of all */
    enum colour_mode colour;
};

/* Starts with the defaults; optind is the first argument that is no option. False: wrong usage. */
bool list_options_parse(int argc, char **argv, struct list_options *options);
