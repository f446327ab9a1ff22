/* SPDX-License-Identifier: Apache-2.0 */
/* burdock export: sends the store, or a part of it, to an OTLP endpoint or into a file. It reads
 * every stored request once and deletes nothing. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "archive.h"
#include "cli.h"
#include "otlp_json.h"
#include "relay.h"
#include "sender.h"
#include "traces.h"

struct export_options {
    const char *endpoint, *json;
    const char *trace; /* prefix of its id, lower case */
    bool last;
    uint64_t since_ns; /* 0: all */
};

struct transfer {
    const struct export_options *options;
    struct sender *sender; /* or */
    FILE *stream;
    uint64_t json_spans;
};

static bool trace_matches(const uint8_t trace_id[16], const char *prefix)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; prefix[i]; i++) {
        uint8_t byte = trace_id[i / 2];
        if (prefix[i] != digits[i % 2 ? byte & 15 : byte >> 4])
            return false;
    }
    return true;
}

static bool keep(const uint8_t trace_id[16], uint64_t end_ns, void *context)
{
    const struct export_options *options = context;
    if (options->trace && !trace_matches(trace_id, options->trace))
        return false;
    return end_ns >= options->since_ns;
}

static bool json_write(
    struct transfer *transfer, const uint8_t *payload, size_t length, size_t spans)
{
    struct json_text line = otlp_json(SIGNAL_TRACES, payload, length);
    if (line.text) {
        fwrite(line.text, 1, line.length, transfer->stream);
        fputc('\n', transfer->stream);
        transfer->json_spans += spans;
    }
    return !ferror(transfer->stream);
}

static bool transfer_one(
    struct transfer *transfer, const uint8_t *body, size_t length, size_t spans)
{
    if (transfer->stream)
        return json_write(transfer, body, length, spans);
    return sender_send(transfer->sender, body, length, spans);
}

static bool payload_export(const uint8_t *payload, size_t length, void *context)
{
    struct transfer *transfer = context;
    const struct export_options *options = transfer->options;
    uint8_t *part;
    size_t part_length;
    size_t spans = request_filter(payload, length, keep, (void *)options, &part, &part_length);
    bool is_whole = !options->trace && !options->since_ns; /* then it goes out as it was stored */
    bool more = true;
    if (spans)
        more = transfer_one(
            transfer, is_whole ? payload : part, is_whole ? length : part_length, spans);
    free(part);
    return more;
}

static void walk(const struct config *settings, struct transfer *transfer)
{
    char run_id[RUN_ID_BYTES], file_name[256];
    struct archive_selection selection = {0};
    if (transfer->options->last && archive_last(settings->store_directory, run_id, file_name)) {
        selection.run_id = *run_id ? run_id : NULL;
        selection.file_name = *run_id ? NULL : file_name;
    }
    struct archive_result result =
        archive_walk(settings->store_directory, &selection, payload_export, transfer);
    archive_report(&result);
}

static int export_json(const struct config *settings, const struct export_options *options)
{
    bool to_stdout = strcmp(options->json, "-") == 0;
    FILE *stream = to_stdout ? stdout : fopen(options->json, "we");
    if (!stream) {
        complain(options->json, strerror(errno), NULL);
        return STATUS_FAILED;
    }
    struct transfer transfer = {.options = options, .stream = stream};
    walk(settings, &transfer);
    bool good = fflush(stream) == 0 && !ferror(stream);
    if (!to_stdout && fclose(stream) != 0)
        good = false;
    if (!good)
        complain(options->json, strerror(errno), NULL);
    else if (!to_stdout)
        printf("burdock: %" PRIu64 " spans written to %s\n", transfer.json_spans, options->json);
    return good ? STATUS_OK : STATUS_FAILED;
}

static void complain_failure(const struct sender *sender)
{
    const struct otlp_answer *answer = &sender->last_failure;
    char *why;
    if (answer->status)
        why = format_text("HTTP %d %s", answer->status, answer->message);
    else if (answer->error)
        why = format_text("%s", strerror(answer->error));
    else
        why = format_text("no answer in time");
    complain(sender->settings->urls[SIGNAL_TRACES], why, "burdock doctor checks the endpoint");
    free(why);
}

static int report(const struct sender *sender)
{
    printf("burdock: %" PRIu64 " spans in %" PRIu64 " requests sent, %" PRIu64 " rejected\n",
        sender->spans, sender->requests, sender->rejected);
    if (sender->rejected)
        complain("export", "the collector rejected spans", sender->last_rejection.message);
    if (sender->failed)
        complain_failure(sender);
    return sender->failed || sender->rejected ? STATUS_FAILED : STATUS_OK;
}

static int export_otlp(const struct config *settings, const struct export_options *options)
{
    struct sender sender;
    struct transfer transfer = {.options = options, .sender = &sender};
    sender_open(&sender, settings);
    walk(settings, &transfer);
    sender_close(&sender);
    return report(&sender);
}

/* 90, 90s, 15m, 2h or 7d. */
static bool duration_parse(const char *text, uint64_t *ns)
{
    static const struct unit {
        const char *name;
        uint64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    enum { COUNT_MAX = 100000000 };
    char *end;
    errno = 0;
    unsigned long long count = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || errno || count > COUNT_MAX)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) == 0) {
            *ns = count * units[i].seconds * 1000000000;
            return true;
        }
    }
    return false;
}

static bool since_parse(const char *text, uint64_t *since_ns)
{
    struct timespec now;
    uint64_t ago_ns;
    if (!duration_parse(text, &ago_ns))
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    *since_ns = ago_ns < now_ns ? now_ns - ago_ns : 0;
    return true;
}

static bool trace_parse(const char *text, const char **trace)
{
    char *lower = duplicate(text);
    for (char *at = lower; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    *trace = lower;
    size_t length = strlen(lower);
    return length > 0 && length <= 32 && strspn(lower, "0123456789abcdef") == length;
}

static bool parse(int argc, char **argv, struct export_options *options)
{
    static const struct option table[] = {{"endpoint", required_argument, NULL, 'e'},
        {"json", required_argument, NULL, 'j'}, {"trace", required_argument, NULL, 't'},
        {"last", no_argument, NULL, 'l'}, {"since", required_argument, NULL, 's'}, {0}};
    int letter;
    bool good = true;
    while (good && (letter = getopt_long(argc, argv, ":", table, NULL)) != -1) {
        switch (letter) {
        case 'e':
            options->endpoint = optarg;
            break;
        case 'j':
            options->json = optarg;
            break;
        case 't':
            good = trace_parse(optarg, &options->trace);
            break;
        case 'l':
            options->last = true;
            break;
        case 's':
            good = since_parse(optarg, &options->since_ns);
            break;
        default:
            good = false;
        }
    }
    return good;
}

static int complain_no_endpoint(const struct config *settings)
{
    for (uint32_t i = 0; i < settings->problem_count && i < CONFIG_PROBLEMS_MAX; i++) {
        const struct config_problem *problem = &settings->problems[i];
        complain(*problem->variable ? problem->variable : "settings", problem->why, NULL);
    }
    complain("export", "no endpoint that spans can be sent to",
        "give --endpoint http://HOST:4318 or https://HOST:4318, or --json FILE");
    return STATUS_USAGE;
}

int verb_export(int argc, char **argv)
{
    struct export_options options = {0};
    if (!parse(argc, argv, &options))
        return complain_option("export", argv);
    if (optind < argc) {
        complain("export", "takes no arguments", "one trace: --trace ID");
        return STATUS_USAGE;
    }
    if (options.endpoint) {
        setenv("OTEL_EXPORTER_OTLP_ENDPOINT", options.endpoint, 1);
        unsetenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        unsetenv("OTEL_TRACES_EXPORTER");
    }
    struct config settings;
    settings_read(&settings);
    if (options.json)
        return export_json(&settings, &options);
    if (settings.signals[SIGNAL_TRACES].destination != DESTINATION_OTLP)
        return complain_no_endpoint(&settings);
    if (!relay_ready(&settings))
        return STATUS_FAILED;
    return export_otlp(&settings, &options);
}
