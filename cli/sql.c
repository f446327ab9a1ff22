/* SPDX-License-Identifier: Apache-2.0 */
/* burdock sql: which statements took the time, and how often one request sends them. */
#include <ctype.h>
#include <getopt.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "cli.h"
#include "decode.h"
#include "fold.h"
#include "json.h"
#include "list_options.h"
#include "title.h"
#include "trace_id.h"

struct statement {
    char *system, *text;
    uint64_t total_ns, median_ns, longest_ns;
    size_t count, errors, traces, most; /* most: in one trace */
};

/* One span of a statement. */
struct sighting {
    struct statement *statement;
    uint64_t duration_ns;
    uint8_t trace_id[16];
};

struct statements {
    const struct list_options *options;
    const char *prefix; /* of the traces that count */
    void *tree;         /* of struct statement, by system and text */
    struct statement **items;
    size_t count, room;
    struct sighting *sightings;
    size_t sighting_count, sighting_room;
};

static int by_text(const void *a, const void *b)
{
    const struct statement *left = a, *right = b;
    int order = strcmp(left->system, right->system);
    return order != 0 ? order : strcmp(left->text, right->text);
}

static struct statement *intern(struct statements *all, const char *system, const char *text)
{
    struct statement wanted = {.system = (char *)system, .text = (char *)text};
    struct statement **found = tfind(&wanted, &all->tree, by_text);
    if (found != NULL)
        return *found;
    struct statement *made = allocate(sizeof(*made));
    *made = (struct statement){.system = duplicate(system), .text = duplicate(text)};
    if (tsearch(made, &all->tree, by_text) == NULL)
        abort(); /* no memory: as in allocate */
    if (all->count == all->room) {
        all->room = all->room * 2 + 64;
        all->items = reallocate(all->items, all->room, sizeof(*all->items));
    }
    return all->items[all->count++] = made;
}

static bool is_wanted(
    const struct statements *all, const struct resource *resource, const struct stored_span *span)
{
    const char *service = all->options->service;
    return trace_id_begins(span->trace_id, all->prefix) &&
           (service == NULL || strcmp(resource->service, service) == 0);
}

static void span_collect(
    const struct resource *resource, const struct stored_span *span, void *context)
{
    struct statements *all = context;
    const char *text = statement_of(span);
    if (text == NULL || !is_wanted(all, resource, span))
        return;
    const struct value *system = attribute_find(span, "db.system.name");
    struct statement *statement = intern(all, system->kind == VALUE_TEXT ? system->text : "", text);
    if (all->sighting_count == all->sighting_room) {
        all->sighting_room = all->sighting_room * 2 + 256;
        all->sightings = reallocate(all->sightings, all->sighting_room, sizeof(*all->sightings));
    }
    struct sighting *sighting = &all->sightings[all->sighting_count++];
    *sighting = (struct sighting){statement, span->end_ns - span->start_ns, {0}};
    memcpy(sighting->trace_id, span->trace_id, sizeof(sighting->trace_id));
    statement->count++;
    statement->errors += span->status == STATUS_CODE_ERROR;
    statement->total_ns += sighting->duration_ns;
}

static bool payload_collect(const uint8_t *payload, size_t length, void *context)
{
    struct request *request = request_decode(payload, length);
    if (request != NULL)
        request_each_span(request, span_collect, context);
    request_free(request);
    return true;
}

static int by_statement(const struct sighting *left, const struct sighting *right)
{
    uintptr_t one = (uintptr_t)left->statement, other = (uintptr_t)right->statement;
    return (one > other) - (one < other);
}

static int by_duration(const void *a, const void *b)
{
    const struct sighting *left = a, *right = b;
    int order = by_statement(left, right);
    return order != 0 ? order
                      : (left->duration_ns > right->duration_ns) -
                            (left->duration_ns < right->duration_ns);
}

static int by_trace(const void *a, const void *b)
{
    const struct sighting *left = a, *right = b;
    int order = by_statement(left, right);
    return order != 0 ? order : memcmp(left->trace_id, right->trace_id, sizeof(left->trace_id));
}

static void find_durations(struct statements *all)
{
    qsort(all->sightings, all->sighting_count, sizeof(*all->sightings), by_duration);
    for (size_t i = 0; i < all->sighting_count; i += all->sightings[i].statement->count) {
        struct statement *statement = all->sightings[i].statement;
        statement->median_ns = all->sightings[i + (statement->count - 1) / 2].duration_ns;
        statement->longest_ns = all->sightings[i + statement->count - 1].duration_ns;
    }
}

static void count_traces(struct statements *all)
{
    size_t here = 0;
    qsort(all->sightings, all->sighting_count, sizeof(*all->sightings), by_trace);
    for (size_t i = 0; i < all->sighting_count; i++) {
        struct statement *statement = all->sightings[i].statement;
        bool is_same = i > 0 && by_trace(&all->sightings[i - 1], &all->sightings[i]) == 0;
        here = is_same ? here + 1 : 1;
        statement->traces += !is_same;
        statement->most = here > statement->most ? here : statement->most;
    }
}

static int by_total(const void *a, const void *b)
{
    const struct statement *left = *(struct statement *const *)a;
    const struct statement *right = *(struct statement *const *)b;
    if (left->total_ns != right->total_ns)
        return left->total_ns > right->total_ns ? -1 : 1;
    return by_text(left, right);
}

static double milliseconds(uint64_t ns)
{
    return (double)ns / 1e6;
}

static double per_trace(const struct statement *statement)
{
    return (double)statement->count / (double)statement->traces;
}

/* Schema v1: fields are added, never changed or removed. */
static void print_json(const struct statement *statement)
{
    struct json json = {.stream = stdout};
    json_open(&json, NULL, '{');
    json_integer(&json, "v", 1);
    json_text(&json, "system", statement->system);
    json_text(&json, "statement", statement->text);
    json_integer(&json, "count", (int64_t)statement->count);
    json_integer(&json, "errors", (int64_t)statement->errors);
    json_real(&json, "total_ms", milliseconds(statement->total_ns));
    json_real(&json, "p50_ms", milliseconds(statement->median_ns));
    json_real(&json, "max_ms", milliseconds(statement->longest_ns));
    json_integer(&json, "traces", (int64_t)statement->traces);
    json_real(&json, "per_trace", per_trace(statement));
    json_integer(&json, "per_trace_max", (int64_t)statement->most);
    json_close(&json, '}');
    putchar('\n');
}

/* Lines and indents of a statement as single spaces. */
static char *in_one_line(const char *text)
{
    char *line = duplicate(text), *to = line;
    for (const char *from = text; *from != '\0'; from++) {
        bool is_space = isspace((unsigned char)*from);
        if (!is_space || (to > line && to[-1] != ' '))
            *to++ = is_space ? ' ' : *from;
    }
    *to = '\0';
    return line;
}

static void print_line(const struct statement *statement, const struct terminal *terminal)
{
    enum { COLUMNS_BEFORE = 72, SYSTEM_COLUMNS = 12 };
    char system[128], text[4096];
    char *line = in_one_line(statement->text);
    int taken = terminal_text(statement->system, system, sizeof(system), SYSTEM_COLUMNS);
    terminal_text(line, text, sizeof(text), terminal->width - COLUMNS_BEFORE);
    printf("%10.1f%8zu%10.2f%10.2f%9.1f%s%8zu%s  %s%*s  %s\n", milliseconds(statement->total_ns),
        statement->count, milliseconds(statement->median_ns), milliseconds(statement->longest_ns),
        per_trace(statement), statement->errors > 0 ? terminal_red(terminal) : "",
        statement->errors, statement->errors > 0 ? terminal_plain(terminal) : "", system,
        SYSTEM_COLUMNS - taken, "", text);
    free(line);
}

static void print_head(const struct terminal *terminal)
{
    printf("%s%10s%8s%10s%10s%9s%8s  %-12s  %s%s\n", terminal_dim(terminal), "TOTAL MS", "COUNT",
        "P50 MS", "MAX MS", "/TRACE", "ERRORS", "SYSTEM", "STATEMENT", terminal_plain(terminal));
}

static void print_list(const struct statements *all)
{
    const struct list_options *options = all->options;
    struct terminal terminal;
    long printed = 0;
    terminal_detect(&terminal, options->colour);
    for (size_t i = 0; i < all->count && printed < options->limit; i++) {
        if (options->errors && all->items[i]->errors == 0)
            continue;
        if (printed++ == 0 && !options->json)
            print_head(&terminal);
        if (options->json)
            print_json(all->items[i]);
        else
            print_line(all->items[i], &terminal);
    }
    if (printed == 0)
        fputs("burdock: no such statements in the store\n", stderr);
}

static void statements_free(struct statements *all)
{
    for (size_t i = 0; i < all->count; i++) {
        tdelete(all->items[i], &all->tree, by_text);
        free(all->items[i]->system);
        free(all->items[i]->text);
        free(all->items[i]);
    }
    free(all->items);
    free(all->sightings);
}

int verb_sql(int argc, char **argv)
{
    struct list_options options;
    struct statements all = {.options = &options, .prefix = ""};
    if (!list_options_parse(argc, argv, &options))
        return complain_option("sql", argv);
    if (optind < argc)
        all.prefix = argv[optind++];
    if (optind < argc || (*all.prefix != '\0' && !trace_prefix_valid(all.prefix))) {
        complain("sql", "one trace id or its first digits are expected", "see burdock ls");
        return STATUS_USAGE;
    }
    struct config settings;
    settings_read(&settings);
    struct archive_result result = archive_walk(
        settings.store_directory, &(struct archive_selection){0}, payload_collect, &all);
    find_durations(&all);
    count_traces(&all);
    if (all.count > 0)
        qsort(all.items, all.count, sizeof(*all.items), by_total);
    print_list(&all);
    archive_report(&result);
    statements_free(&all);
    return STATUS_OK;
}
