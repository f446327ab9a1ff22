/* SPDX-License-Identifier: Apache-2.0 */
/* burdock ls: recent traces, newest first. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "hex.h"
#include "json.h"
#include "list_options.h"
#include "traces.h"

static bool in_service(const struct traces *traces, const struct trace *trace, const char *name)
{
    for (uint32_t i = 0; i < trace->service_count; i++) {
        if (strcmp(traces->services[trace->services[i]], name) == 0)
            return true;
    }
    return false;
}

static bool wanted(
    const struct traces *traces, const struct trace *trace, const struct list_options *options)
{
    if (options->errors && trace->errors == 0)
        return false;
    return !options->service || in_service(traces, trace, options->service);
}

/* Schema v1: fields are added, never changed or removed. */
static void print_json(const struct traces *traces, const struct trace *trace)
{
    struct json json = {.stream = stdout};
    json_open(&json, NULL, '{');
    json_integer(&json, "v", 1);
    json_hex(&json, "trace_id", trace->trace_id, 16);
    json_text(&json, "root", trace->root);
    json_text(&json, "service", trace_service(traces, trace));
    json_time(&json, "start", trace->start_ns);
    json_real(&json, "duration_ms", trace_milliseconds(trace));
    json_integer(&json, "spans", trace->spans);
    json_integer(&json, "services", trace->service_count);
    json_integer(&json, "errors", trace->errors);
    json_text(&json, "status", trace->errors ? "error" : "ok");
    json_close(&json, '}');
    putchar('\n');
}

static void print_start(uint64_t unix_ns)
{
    time_t seconds = (time_t)(unix_ns / 1000000000);
    struct tm local;
    char text[64];
    localtime_r(&seconds, &local);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
    printf("%s.%03u", text, (unsigned)(unix_ns / 1000000 % 1000));
}

static void print_line(
    const struct traces *traces, const struct trace *trace, const struct terminal *terminal)
{
    enum { COLUMNS_BEFORE = 68, SERVICE_COLUMNS = 16 };
    char service[256], root[2048];
    int taken =
        terminal_text(trace_service(traces, trace), service, sizeof service, SERVICE_COLUMNS);
    terminal_text(trace->root, root, sizeof root, terminal->width - COLUMNS_BEFORE);
    hex_print(stdout, trace->trace_id, 4);
    printf("  ");
    print_start(trace->start_ns);
    printf("%10.1f%7u%s%7u%s  ", trace_milliseconds(trace), trace->spans,
        trace->errors ? terminal_red(terminal) : "", trace->errors,
        trace->errors ? terminal_plain(terminal) : "");
    printf("%s%*s  %s\n", service, SERVICE_COLUMNS - taken, "", root);
}

static void print_head(const struct terminal *terminal)
{
    printf("%s%-8s  %-23s%10s%7s%7s  %-16s  %s%s\n", terminal_dim(terminal), "TRACE", "START", "MS",
        "SPANS", "ERRORS", "SERVICE", "ROOT", terminal_plain(terminal));
}

static void print_list(const struct traces *traces, const struct list_options *options)
{
    struct terminal terminal;
    long printed = 0;
    terminal_detect(&terminal, options->colour);
    for (size_t i = 0; i < traces->count && printed < options->limit; i++) {
        if (!wanted(traces, &traces->items[i], options))
            continue;
        if (printed++ == 0 && !options->json)
            print_head(&terminal);
        if (options->json)
            print_json(traces, &traces->items[i]);
        else
            print_line(traces, &traces->items[i], &terminal);
    }
    if (printed == 0)
        fputs(
            "burdock: no such traces in the store; trace something: burdock run COMMAND\n", stderr);
}

int verb_ls(int argc, char **argv)
{
    struct list_options options;
    if (!list_options_parse(argc, argv, &options))
        return complain_option("ls", argv);
    if (optind < argc) {
        complain("ls", "takes no arguments", "to see one trace: burdock show TRACE");
        return STATUS_USAGE;
    }
    struct config settings;
    struct traces traces;
    settings_read(&settings);
    struct archive_result result =
        traces_read(&traces, settings.store_directory, &(struct archive_selection){0});
    traces_sort(&traces);
    print_list(&traces, &options);
    archive_report(&result);
    traces_free(&traces);
    return STATUS_OK;
}
