/* SPDX-License-Identifier: Apache-2.0 */
/* burdock recover: takes up what was left behind, by hand. What cannot be sent stays. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "delivery.h"
#include "lost.h"
#include "process.h"
#include "recover.h"
#include "relay.h"

enum { GIVE_UP_MS = 10000 }; /* of a collector that takes nothing */

struct recover_options {
    const char *endpoint;
    bool to_store;
};

static bool parse(int argc, char **argv, struct recover_options *options)
{
    static const struct option table[] = {
        {"endpoint", required_argument, NULL, 'e'}, {"store", no_argument, NULL, 's'}, {0}};
    int letter;
    bool good = true;
    while (good && (letter = getopt_long(argc, argv, ":", table, NULL)) != -1) {
        if (letter == 'e')
            options->endpoint = optarg;
        options->to_store |= letter == 's';
        good = letter == 'e' || letter == 's';
    }
    return good;
}

static void sleep_until(uint64_t ns)
{
    struct timespec until = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static uint64_t sent(const struct delivery *delivery, enum signal signal)
{
    return delivery->ways[signal].fates[FATE_EXPORTED];
}

static uint64_t lost(const struct delivery *delivery, enum signal signal)
{
    const uint64_t *fates = delivery->ways[signal].fates;
    return fates[FATE_DROPPED] + fates[FATE_DROPPED_SPOOL];
}

/* False: the collector takes nothing for as long as OTLP asks us to try. */
static bool spool_send(struct delivery *delivery)
{
    uint64_t due, seen = 0, give_up_ns = 0;
    delivery->catch_up_bytes_per_s = UINT64_MAX;
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        delivery->ways[i].catch_up_ns = delivery->ways[i].away.until_ns;
    while ((due = delivery_catch_up(delivery)) != UINT64_MAX) {
        uint64_t now = process_monotonic_ns(), done = 0;
        for (unsigned i = 0; i < SIGNAL_COUNT; i++)
            done += sent(delivery, i) + lost(delivery, i);
        if (give_up_ns == 0 || done != seen)
            give_up_ns = now + GIVE_UP_MS * 1000000ull;
        seen = done;
        if (due > give_up_ns)
            return false;
        sleep_until(due);
    }
    return true;
}

/* False: the store takes no more. */
static bool spool_store(struct delivery *delivery, struct spool *spool)
{
    static uint8_t buffer[STORE_FRAME_BYTES_MAX];
    size_t length;
    int error;
    spool->takes_all = true;
    spool->takes_others = geteuid() == 0;
    while ((length = spool_next(spool, buffer, sizeof buffer)) != 0) {
        if (!store_append(&delivery->store, buffer, length, &error))
            return false;
        delivery->ways[SIGNAL_TRACES].fates[FATE_EXPORTED] += spool_items(buffer, length);
        spool_settle(spool);
    }
    return true;
}

/* Of lines only if there were any. True: none is lost or waits. */
static bool report_signal(const struct delivery *delivery, enum signal signal, const char *what,
    uint64_t from_rings, const char *done)
{
    uint64_t all = sent(delivery, signal), refused = lost(delivery, signal);
    uint64_t spooled = delivery->ways[signal].fates[FATE_SPOOLED];
    if (signal == SIGNAL_TRACES || all > 0)
        printf("burdock: %" PRIu64 " %s of dead processes and %" PRIu64 " of the spool %s\n",
            from_rings, what, all - from_rings, done);
    if (spooled)
        printf("burdock: %" PRIu64 " %s of dead processes put into the spool\n", spooled, what);
    if (refused)
        printf("burdock: %" PRIu64 " %s refused and lost\n", refused, what);
    return spooled == 0 && refused == 0;
}

static int report(const struct config *settings, const struct delivery *delivery,
    const struct spool *spool, const uint64_t from_rings[SIGNAL_COUNT], bool is_done)
{
    bool to_collector = settings->signals[SIGNAL_TRACES].destination == DESTINATION_OTLP;
    uint64_t left = spool_bytes(spool);
    bool is_well = report_signal(delivery, SIGNAL_TRACES, "spans", from_rings[SIGNAL_TRACES],
        to_collector ? "sent" : "stored");
    is_well &=
        report_signal(delivery, SIGNAL_LOGS, "lines of logs", from_rings[SIGNAL_LOGS], "sent");
    is_well &=
        report_signal(delivery, SIGNAL_METRICS, "metrics", from_rings[SIGNAL_METRICS], "sent");
    if (left)
        printf("burdock: %" PRIu64 " bytes wait in %s: %s\n", left, spool->directory,
            to_collector ? "for other endpoints or headers, or a living process is at them"
                         : "metrics or lines of logs, which are not stored, or a living process "
                           "is at them");
    if (!is_done)
        complain(to_collector ? settings->urls[SIGNAL_TRACES] : settings->store_directory,
            "takes nothing now; what waits stays where it is", "burdock doctor tells why");
    return is_done && is_well ? STATUS_OK : STATUS_FAILED;
}

static int recover(struct config *settings, bool to_store)
{
    static struct delivery delivery;
    static struct spool spool; /* of this environment, though spans may go to the store */
    static struct config meant;
    uint64_t lost_before[COUNTER_COUNT] = {0}; /* they died */
    if (to_store)
        settings->signals[SIGNAL_TRACES].destination = DESTINATION_STORE;
    if (!delivery_open(&delivery, settings)) {
        complain("recover", "out of memory", NULL);
        return STATUS_FAILED;
    }
    meant = *settings;
    meant.signals[SIGNAL_TRACES].destination = DESTINATION_OTLP;
    spool_open(&spool, &meant, SIGNAL_TRACES);
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        delivery.ways[i].spool->takes_others = geteuid() == 0;
    delivery.keeps = true;
    recover_dead(&delivery, settings, NULL, NULL, lost_before);
    const uint64_t from_rings[SIGNAL_COUNT] = {[SIGNAL_TRACES] = sent(&delivery, SIGNAL_TRACES),
        [SIGNAL_METRICS] = sent(&delivery, SIGNAL_METRICS),
        [SIGNAL_LOGS] = sent(&delivery, SIGNAL_LOGS)};
    bool is_done = to_store ? spool_store(&delivery, &spool) : spool_send(&delivery);
    int status = report(settings, &delivery, &spool, from_rings, is_done && !delivery.is_stuck);
    spool_close(&spool);
    lost_print(stdout, lost_before);
    delivery_close(&delivery);
    return status;
}

/* Whoever has left lines of logs had asked for their records; who recovers need not. */
static void want_logs(void)
{
    setenv("OTEL_LOGS_EXPORTER", "otlp", 0);
    setenv("BURDOCK_LOGS", "2", 0);
}

int verb_recover(int argc, char **argv)
{
    struct recover_options options = {0};
    static struct config settings;
    if (!parse(argc, argv, &options))
        return complain_option("recover", argv);
    if (optind < argc || (options.endpoint && options.to_store)) {
        complain(
            "recover", optind < argc ? "takes no arguments" : "either --endpoint or --store", NULL);
        return STATUS_USAGE;
    }
    if (options.endpoint) {
        setenv("OTEL_EXPORTER_OTLP_ENDPOINT", options.endpoint, 1);
        unsetenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        unsetenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT");
        unsetenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT");
        unsetenv("OTEL_TRACES_EXPORTER");
    }
    want_logs();
    settings_read(&settings);
    if (options.endpoint && settings.signals[SIGNAL_TRACES].destination != DESTINATION_OTLP) {
        complain(options.endpoint, "spans cannot be sent there", "http://HOST:4318");
        return STATUS_USAGE;
    }
    if (!options.to_store && !relay_ready(&settings))
        return STATUS_FAILED;
    return recover(&settings, options.to_store);
}
