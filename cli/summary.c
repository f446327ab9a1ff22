/* SPDX-License-Identifier: Apache-2.0 */
#include "summary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"
#include "hex.h"
#include "lost.h"
#include "relay.h"
#include "terminal.h"
#include "traces.h"

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static const struct trace *slowest(const struct traces *traces)
{
    const struct trace *slowest = &traces->items[0];
    for (size_t i = 1; i < traces->count; i++) {
        const struct trace *trace = &traces->items[i];
        if (trace->end_ns - trace->start_ns > slowest->end_ns - slowest->start_ns)
            slowest = trace;
    }
    return slowest;
}

/* Eight digits are enough to find a trace among millions of one store. */
static void print_prefix(const struct trace *trace)
{
    hex_print(stderr, trace->trace_id, 4);
}

static void print_traces(const struct traces *traces)
{
    const struct trace *trace = slowest(traces);
    char *root = terminal_copy(trace->root);
    fprintf(stderr,
        "burdock: %" PRIu64 " span%s in %zu trace%s, %zu service%s, %" PRIu64 " error%s\n",
        traces->spans, plural(traces->spans), traces->count, plural(traces->count),
        traces->service_count, plural(traces->service_count), traces->errors,
        plural(traces->errors));
    fprintf(stderr, "  slowest  %s  %.1f ms\nNext: burdock show ", root, trace_milliseconds(trace));
    print_prefix(trace);
    fputc('\n', stderr);
    free(root);
}

void summary_print(
    const struct config *settings, const char *run_id, const uint64_t lost[COUNTER_COUNT])
{
    if (settings->signals[SIGNAL_TRACES].destination == DESTINATION_OTLP) {
        struct relay_told told;
        bool is_sent =
            !settings->signals[SIGNAL_TRACES].is_relayed || relay_ask(settings, geteuid(), &told);
        char *endpoint = terminal_copy(settings->urls[SIGNAL_TRACES]);
        fprintf(stderr, "burdock: spans %s %s%s\n", is_sent ? "are sent to" : "wait to be sent to",
            endpoint, is_sent ? "" : ": no relay runs; burdock doctor tells why");
        free(endpoint);
    }
    struct traces traces;
    struct archive_selection selection = {.run_id = run_id};
    struct archive_result result = traces_read(&traces, settings->store_directory, &selection);
    if (traces.spans)
        print_traces(&traces);
    else if (settings->signals[SIGNAL_TRACES].destination == DESTINATION_STORE)
        fputs("burdock: no spans; to learn why: burdock doctor -- COMMAND\n", stderr);
    lost_print(stderr, lost);
    archive_report(&result);
    traces_free(&traces);
}
