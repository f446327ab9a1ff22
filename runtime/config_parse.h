/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files that read the environment share: the state of a reading and the parsers that
 * variables.def names. Before threads exist, or in the command-line tool.
 */
#pragma once

#include <stddef.h>
#include <string.h>

#include "config.h"
#include "text.h"

/* What rows say to each other before it is settled. */
struct reading {
    struct config *config;
    const char *executable;
    bool sampler_given;
    bool root;
    struct {
        bool is_https;             /* the endpoint that counts is https:// */
        const char *endpoint_from; /* the variable that gave the endpoint, NULL: none did */
    } signals[SIGNAL_COUNT];
    bool service_given;
    bool delay_given;
    bool state_home_given;
    bool config_done;
};

struct variable;
typedef void parser(struct reading *reading, const struct variable *variable, const char *value);

struct variable {
    const char *name;
    size_t offset; /* of the target in struct config */
    size_t size;
};

/* Notes a setting that is ignored. Both texts are static. */
void parse_problem(struct reading *reading, const char *variable, const char *why);

/* The variable's target in the configuration. */
static inline void *parse_target(struct reading *reading, const struct variable *variable)
{
    return (char *)reading->config + variable->offset;
}

/* What follows from the settings of sampling. */
void config_settle_sampling(struct config *config);

/* Copies a text. False, with a problem: it is longer than the target. */
bool parse_text(struct reading *reading, const struct variable *variable, const char *value);

/* False, with a problem: no number of milliseconds. */
bool parse_milliseconds(
    struct reading *reading, const struct variable *variable, const char *value, uint64_t *ms);

/* A token of RFC 9110, 5.6.2: the name of a field or a method. */
bool parse_token(struct slice name);

static inline struct slice whole(const char *text)
{
    return (struct slice){text, strlen(text)};
}

/* One per name in the column `parser`; many rows name the same, which C permits. */
#define VARIABLE(name, parser_name, target, secure, text) parser parser_name;
#include "variables.def"
#undef VARIABLE
