/* SPDX-License-Identifier: Apache-2.0 */
/* burdock show: one trace as a waterfall. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "archive.h"
#include "cli.h"
#include "fold.h"
#include "json_value.h"
#include "terminal.h"
#include "trace_id.h"
#include "traces.h"
#include "tree.h"
#include "waterfall.h"

struct show_options {
    const char *prefix;
    bool attributes, json, all;
    enum colour_mode colour;
};

enum { AMBIGUOUS_SHOWN_MAX = 20 };

static void complain_ambiguous(const struct traces *traces, const char *prefix)
{
    unsigned shown = 0;
    complain(prefix, "more than one trace begins so", "give more digits");
    for (size_t i = 0; i < traces->count && shown < AMBIGUOUS_SHOWN_MAX; i++) {
        if (!trace_id_begins(traces->items[i].trace_id, prefix))
            continue;
        char id[TRACE_ID_DIGITS + 1];
        char *root = terminal_copy(traces->items[i].root);
        trace_id_text(traces->items[i].trace_id, id);
        fprintf(stderr, "  %s  %s\n", id, root);
        free(root);
        shown++;
    }
}

/* The trace that is meant; NULL after a complaint. */
static const struct trace *pick(const struct traces *traces, const char *prefix)
{
    const struct trace *found = NULL;
    for (size_t i = 0; i < traces->count; i++) {
        if (!trace_id_begins(traces->items[i].trace_id, prefix))
            continue;
        if (found && *prefix) {
            complain_ambiguous(traces, prefix);
            return NULL;
        }
        if (!found)
            found = &traces->items[i]; /* sorted: the newest */
    }
    if (!found && *prefix)
        complain(prefix, "no trace begins so", "see burdock ls");
    if (!found && !*prefix)
        complain("show", "the store holds no traces", "trace something: burdock run COMMAND");
    return found;
}

/* Requests that hold spans of the trace, kept alive, and those spans. */
struct collection {
    uint8_t trace_id[16];
    struct tree_span *spans;
    size_t count;
    struct request **requests;
    size_t request_count;
};

static void span_collect(
    const struct resource *resource, const struct stored_span *span, void *context)
{
    struct collection *collection = context;
    if (memcmp(span->trace_id, collection->trace_id, 16) != 0)
        return;
    collection->spans =
        reallocate(collection->spans, collection->count + 1, sizeof *collection->spans);
    collection->spans[collection->count++] = (struct tree_span){resource, span};
}

static bool payload_collect(const uint8_t *payload, size_t length, void *context)
{
    struct collection *collection = context;
    /* Most requests hold nothing of this trace; its id stands in the bytes as it is. */
    if (!memmem(payload, length, collection->trace_id, sizeof collection->trace_id))
        return true;
    size_t before = collection->count;
    struct request *request = request_decode(payload, length);
    if (request)
        request_each_span(request, span_collect, collection);
    if (collection->count == before) {
        request_free(request);
        return true;
    }
    collection->requests =
        reallocate(collection->requests, collection->request_count + 1, sizeof request);
    collection->requests[collection->request_count++] = request;
    return true;
}

static void collection_free(struct collection *collection)
{
    for (size_t i = 0; i < collection->request_count; i++)
        request_free(collection->requests[i]);
    free(collection->requests);
    free(collection->spans);
}

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

static void print_head(
    const struct traces *traces, const struct trace *trace, const struct terminal *terminal)
{
    char id[TRACE_ID_DIGITS + 1], start[64], root[2048];
    time_t seconds = (time_t)(trace->start_ns / 1000000000);
    struct tm local;
    terminal_text(trace->root, root, sizeof root, terminal->width);
    trace_id_text(trace->trace_id, id);
    localtime_r(&seconds, &local);
    strftime(start, sizeof start, "%Y-%m-%d %H:%M:%S", &local);
    printf("%strace %s%s  %s  %.1f ms  %u span%s  %u service%s  %u error%s   %s.%03u\n",
        terminal_bold(terminal), id, terminal_plain(terminal), root, trace_milliseconds(trace),
        trace->spans, plural(trace->spans), trace->service_count, plural(trace->service_count),
        trace->errors, plural(trace->errors), start, (unsigned)(trace->start_ns / 1000000 % 1000));
}

static const char *kind_name(int kind)
{
    static const char *const names[] = {
        "unspecified", "internal", "server", "client", "producer", "consumer"};
    bool known = kind >= 0 && (size_t)kind < sizeof names / sizeof names[0];
    return names[known ? kind : 0];
}

static const char *status_name(int status)
{
    static const char *const names[] = {"unset", "ok", "error"};
    bool known = status >= 0 && (size_t)status < sizeof names / sizeof names[0];
    return names[known ? status : 0];
}

static void json_links(struct json *json, const struct stored_span *span)
{
    json_open(json, "links", '[');
    for (size_t i = 0; i < span->link_count; i++) {
        json_open(json, NULL, '{');
        json_hex(json, "trace_id", span->links[i].trace_id, 16);
        json_hex(json, "span_id", span->links[i].span_id, 8);
        json_close(json, '}');
    }
    json_close(json, ']');
    if (span->links_dropped > 0)
        json_integer(json, "dropped_links", span->links_dropped);
}

static void json_events(struct json *json, const struct stored_span *span)
{
    json_open(json, "events", '[');
    for (size_t i = 0; i < span->event_count; i++) {
        json_open(json, NULL, '{');
        json_text(json, "name", span->events[i].name);
        json_time(json, "time", span->events[i].time_ns);
        json_attributes(json, "attributes", &span->events[i].attributes);
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* One line for each span, schema v1: fields are added, never changed or removed. */
static void print_json(const struct tree_row *row)
{
    const struct stored_span *span = row->span.span;
    struct json json = {.stream = stdout};
    json_open(&json, NULL, '{');
    json_integer(&json, "v", 1);
    json_hex(&json, "trace_id", span->trace_id, 16);
    json_hex(&json, "span_id", span->span_id, 8);
    if (span->has_parent)
        json_hex(&json, "parent_id", span->parent_id, 8);
    else
        json_null(&json, "parent_id");
    json_bool(&json, "parent_seen", span->has_parent && !row->parent_unseen);
    json_integer(&json, "depth", row->depth);
    json_text(&json, "name", span->name);
    json_text(&json, "kind", kind_name(span->kind));
    json_text(&json, "service", row->span.resource->service);
    json_time(&json, "start", span->start_ns);
    json_real(&json, "duration_ms", (double)(span->end_ns - span->start_ns) / 1e6);
    json_text(&json, "status", status_name(span->status));
    json_text(&json, "status_message", span->status_message);
    json_attributes(&json, "attributes", &span->attributes);
    json_links(&json, span);
    json_events(&json, span);
    json_close(&json, '}');
    putchar('\n');
}

static void print_trace(const struct traces *traces, const struct trace *trace,
    struct collection *collection, const struct show_options *options)
{
    struct terminal terminal;
    terminal_detect(&terminal, options->colour);
    struct tree_row *rows = tree_build(collection->spans, collection->count);
    if (options->json) {
        for (size_t i = 0; i < collection->count; i++)
            print_json(&rows[i]);
    } else {
        bool folds = !options->all && !options->attributes;
        size_t count = folds ? rows_fold(rows, collection->count) : collection->count;
        print_head(traces, trace, &terminal);
        waterfall_print(&(struct waterfall){.terminal = &terminal,
            .rows = rows,
            .count = count,
            .start_ns = trace->start_ns,
            .end_ns = trace->end_ns,
            .attributes = options->attributes});
    }
    free(rows);
}

static bool parse(int argc, char **argv, struct show_options *options)
{
    enum { OPTION_COLOUR = 256 };
    static const struct option table[] = {{"attributes", no_argument, NULL, 'a'},
        {"all", no_argument, NULL, 'A'}, {"json", no_argument, NULL, 'j'},
        {"color", required_argument, NULL, OPTION_COLOUR}, {0}};
    int letter;
    bool good = true;
    while (good && (letter = getopt_long(argc, argv, ":aAj", table, NULL)) != -1) {
        switch (letter) {
        case 'a':
            options->attributes = true;
            break;
        case 'A':
            options->all = true;
            break;
        case 'j':
            options->json = true;
            break;
        case OPTION_COLOUR:
            good = colour_mode_parse(optarg, &options->colour);
            break;
        default:
            good = false;
        }
    }
    return good;
}

static int show(const struct show_options *options)
{
    struct config settings;
    struct traces traces;
    settings_read(&settings);
    const struct archive_selection all = {0};
    struct archive_result result = traces_read(&traces, settings.store_directory, &all);
    archive_report(&result);
    traces_sort(&traces);
    const struct trace *trace = pick(&traces, options->prefix);
    if (trace) {
        struct collection collection = {0};
        memcpy(collection.trace_id, trace->trace_id, 16);
        archive_walk(settings.store_directory, &all, payload_collect, &collection);
        print_trace(&traces, trace, &collection, options);
        collection_free(&collection);
    }
    traces_free(&traces);
    return trace ? STATUS_OK : STATUS_FAILED;
}

int verb_show(int argc, char **argv)
{
    struct show_options options = {.prefix = ""};
    if (!parse(argc, argv, &options))
        return complain_option("show", argv);
    if (optind < argc)
        options.prefix = argv[optind++];
    if (optind < argc || (*options.prefix && !trace_prefix_valid(options.prefix))) {
        complain("show", "one trace id or its first digits are expected", "see burdock ls");
        return STATUS_USAGE;
    }
    return show(&options);
}
