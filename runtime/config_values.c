/* SPDX-License-Identifier: Apache-2.0 */
/* Variables that stand alone: truth values, numbers, texts, directories. */
#include "config_parse.h"
#include "logs_edit.h"

void parse_problem(struct reading *reading, const char *variable, const char *why)
{
    struct config *config = reading->config;
    if (config->problem_count < CONFIG_PROBLEMS_MAX)
        config->problems[config->problem_count] = (struct config_problem){variable, why};
    config->problem_count++;
}

bool parse_text(struct reading *reading, const struct variable *variable, const char *value)
{
    size_t length = strlen(value);
    if (length >= variable->size) {
        parse_problem(reading, variable->name, "ignored: too long");
        return false;
    }
    memcpy(parse_target(reading, variable), value, length + 1);
    return true;
}

bool parse_token(struct slice name)
{
    for (size_t i = 0; i < name.length; i++)
        if (name.data[i] <= ' ' || name.data[i] > '~' ||
            strchr("\"(),/:;<=>?@[\\]{}", name.data[i]))
            return false;
    return name.length > 0;
}

/* ---- plain values ---- */

void parse_bool(struct reading *reading, const struct variable *variable, const char *value)
{
    bool yes = slice_is(slice_trim(whole(value)), "true");
    if (!yes && !slice_is(slice_trim(whole(value)), "false"))
        parse_problem(reading, variable->name, "neither true nor false: taken as false");
    *(bool *)parse_target(reading, variable) = yes;
}

/* A kill switch of our own: people type 1. */
void parse_switch(struct reading *reading, const struct variable *variable, const char *value)
{
    if (slice_is(slice_trim(whole(value)), "1"))
        *(bool *)parse_target(reading, variable) = true;
    else if (slice_is(slice_trim(whole(value)), "0"))
        *(bool *)parse_target(reading, variable) = false;
    else
        parse_bool(reading, variable, value);
}

void parse_guard(struct reading *reading, const struct variable *variable, const char *value)
{
    parse_switch(reading, variable, value);
    reading->config->crash_guard_given = true;
}

void parse_inbound(struct reading *reading, const struct variable *variable, const char *value)
{
    parse_switch(reading, variable, value);
    reading->config->inbound_given = true;
}

static bool read_number(struct reading *reading, const struct variable *variable, const char *value,
    uint64_t least, uint64_t *number)
{
    /* Milliseconds and counts are 32 bits with sign in other SDKs; more is a mistake. */
    if (number_parse(slice_trim(whole(value)), INT32_MAX, number) && *number >= least)
        return true;
    parse_problem(reading, variable->name, "ignored: not a number in the permitted range");
    return false;
}

void parse_number(struct reading *reading, const struct variable *variable, const char *value)
{
    uint64_t number;
    if (read_number(reading, variable, value, 0, &number))
        *(uint32_t *)parse_target(reading, variable) = (uint32_t)number;
}

void parse_positive(struct reading *reading, const struct variable *variable, const char *value)
{
    uint64_t number;
    if (read_number(reading, variable, value, 1, &number))
        *(uint32_t *)parse_target(reading, variable) = (uint32_t)number;
}

void parse_delay(struct reading *reading, const struct variable *variable, const char *value)
{
    uint64_t number;
    if (!read_number(reading, variable, value, 0, &number))
        return;
    reading->config->schedule_delay_ms = (uint32_t)number;
    reading->delay_given = true;
}

bool parse_milliseconds(
    struct reading *reading, const struct variable *variable, const char *value, uint64_t *ms)
{
    return read_number(reading, variable, value, 0, ms);
}

void parse_stack_minimum(
    struct reading *reading, const struct variable *variable, const char *value)
{
    uint64_t number;
    if (slice_is(slice_trim(whole(value)), "none"))
        reading->config->stack_min_ns = UINT64_MAX;
    else if (read_number(reading, variable, value, 0, &number))
        reading->config->stack_min_ns = number * 1000000;
}

void parse_context(struct reading *reading, const struct variable *variable, const char *value)
{
    parse_text(reading, variable, value);
}

void parse_config_done(struct reading *reading, const struct variable *variable, const char *value)
{
    reading->config_done = true;
}

void parse_config_file(struct reading *reading, const struct variable *variable, const char *value)
{
    if (!reading->config_done)
        parse_problem(reading, variable->name,
            "only burdock run reads it: start with it, or set the variables themselves");
}

/* ---- choices ---- */

struct bit_name {
    const char *name;
    uint32_t bit; /* 0: none */
};

/* A list of names, each a bit of the target. Without any known name the default stays. */
static void parse_bits(struct reading *reading, const struct variable *variable, const char *value,
    const struct bit_name *names, const char *problem)
{
    struct slice item, rest = whole(value);
    uint32_t chosen = 0;
    bool is_chosen = false;
    while (slice_split(&rest, ',', &item)) {
        const struct bit_name *name = names;
        while (name->name != NULL && !slice_is(item, name->name))
            name++;
        if (name->name == NULL)
            parse_problem(reading, variable->name, problem);
        is_chosen = is_chosen || name->name != NULL;
        chosen |= name->bit;
    }
    if (is_chosen)
        *(uint32_t *)parse_target(reading, variable) = chosen;
}

/* In the order of the list, each once. Where the default stays, so does its order. */
static void order_propagators(struct config *config, const char *value)
{
    static const char names[] =
#define PROPAGATOR(id, name, extract, inject) name "\0"
#include "propagators.def"
#undef PROPAGATOR
        ;
    struct slice item, rest = whole(value);
    uint32_t seen = 0, count = 0;
    while (slice_split(&rest, ',', &item))
        for (uint8_t i = 0; i < PROPAGATOR_COUNT; i++)
            if (slice_is(item, text_nth(names, i)) && !(seen & 1u << i)) {
                seen |= 1u << i;
                config->propagator_order[count++] = i;
            }
    if (seen == config->propagators)
        config->propagator_count = count;
}

void parse_propagators(struct reading *reading, const struct variable *variable, const char *value)
{
    static const struct bit_name names[] = {
#define PROPAGATOR(id, name, extract, inject) {name, PROPAGATOR_##id},
#include "propagators.def"
#undef PROPAGATOR
        {"none", 0}, {NULL, 0}};
    struct config *config = reading->config;
    parse_bits(reading, variable, value, names, "a propagator was ignored: it is not known");
    order_propagators(config, value);
    config->w3c = (config->propagators & PROPAGATOR_TRACECONTEXT) &&
                  !(config->propagators & ~(PROPAGATOR_TRACECONTEXT | PROPAGATOR_BAGGAGE));
}

void parse_carriers(struct reading *reading, const struct variable *variable, const char *value)
{
    static const struct bit_name names[] = {{"python", CARRIER_PYTHON}, {"node", CARRIER_NODE},
        {"lua", CARRIER_LUA}, {"java", CARRIER_JAVA}, {"ruby", CARRIER_RUBY}, {"none", 0},
        {NULL, 0}};
    parse_bits(reading, variable, value, names,
        "a runtime was ignored: python, node, lua, ruby, java, none");
}

void parse_answer_headers(
    struct reading *reading, const struct variable *variable, const char *value)
{
    static const struct bit_name names[] = {{"traceresponse", ANSWER_TRACERESPONSE},
        {"server-timing", ANSWER_SERVER_TIMING}, {"none", 0}, {NULL, 0}};
    parse_bits(reading, variable, value, names,
        "a header was ignored: traceresponse, server-timing, none");
}

void parse_methods(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice item, rest = whole(value);
    while (slice_split(&rest, ',', &item)) {
        if (parse_token(item))
            continue;
        parse_problem(reading, variable->name, "ignored: not a list of methods");
        return;
    }
    parse_text(reading, variable, value);
}

/* ---- directories ---- */

/* A relative one would follow the program from directory to directory. */
static bool set_directory(
    struct reading *reading, const struct variable *variable, const char *value, const char *below)
{
    size_t length = strlen(value), more = strlen(below);
    if (value[0] != '/') {
        parse_problem(reading, variable->name, "ignored: not an absolute path");
        return false;
    }
    if (length + more >= variable->size) {
        parse_problem(reading, variable->name, "ignored: too long");
        return false;
    }
    char *out = parse_target(reading, variable);
    memcpy(out, value, length);
    memcpy(out + length, below, more + 1);
    return true;
}

void parse_directory(struct reading *reading, const struct variable *variable, const char *value)
{
    set_directory(reading, variable, value, "");
}

/* Root's programs share one store, whatever HOME says: services often have none or somebody's. */
void parse_state_home(struct reading *reading, const struct variable *variable, const char *value)
{
    if (!reading->root && set_directory(reading, variable, value, "/burdock"))
        reading->state_home_given = true;
}

void parse_home(struct reading *reading, const struct variable *variable, const char *value)
{
    if (!reading->root && !reading->state_home_given)
        set_directory(reading, variable, value, "/.local/state/burdock");
}

void parse_store(struct reading *reading, const struct variable *variable, const char *value)
{
    set_directory(reading, variable, value, "");
}

void parse_spool(struct reading *reading, const struct variable *variable, const char *value)
{
    reading->config->spool_off = slice_is(slice_trim(whole(value)), "off");
    if (!reading->config->spool_off)
        set_directory(reading, variable, value, "");
}

void parse_bytes(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice text = slice_trim(whole(value));
    unsigned shift = 0;
    if (text.length > 0) {
        char unit = text.data[text.length - 1] & ~0x20;
        shift = unit == 'K' ? 10 : unit == 'M' ? 20 : unit == 'G' ? 30 : 0;
        text.length -= shift > 0;
    }
    uint64_t number;
    if (number_parse(text, INT64_MAX >> shift, &number))
        *(uint64_t *)parse_target(reading, variable) = number << shift;
    else
        parse_problem(reading, variable->name, "ignored: not a number of bytes, K, M or G");
}

/* --- logs --- */

static bool is_number_of_log(struct slice item)
{
    return item.length == 1 && (item.data[0] == '1' || item.data[0] == '2');
}

void parse_logs(struct reading *reading, const struct variable *variable, const char *value)
{
    struct slice item, rest = whole(value);
    struct config *config = reading->config;
    if (!parse_text(reading, variable, value))
        return;
    static const char suffix[] = " trace_id={trace_id} span_id={span_id}";
    config->joins_logs = true;
    memcpy(config->logs_suffix, suffix, sizeof(suffix)); /* BURDOCK_LOGS_SUFFIX stands below */
    while (slice_split(&rest, ',', &item)) {
        if (is_number_of_log(item))
            config->logs_descriptors |= 1u << (item.data[0] - '0');
        else if (slice_is(item, "syslog"))
            config->joins_syslog = true;
        else if (item.length < 2 || item.data[0] != '/')
            parse_problem(
                reading, variable->name, "an item was ignored: 1, 2, syslog or an absolute path");
    }
}

void parse_logs_suffix(struct reading *reading, const struct variable *variable, const char *value)
{
    if (logs_suffix_is_usable(value))
        parse_text(reading, variable, value);
    else
        parse_problem(
            reading, variable->name, "ignored: too long, not of one line, or without {trace_id}");
}

/* It becomes part of a file's name. */
void parse_run(struct reading *reading, const struct variable *variable, const char *value)
{
    static const char permitted[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (strspn(value, permitted) == strlen(value))
        parse_text(reading, variable, value);
    else
        parse_problem(reading, variable->name, "ignored: letters and digits only");
}
