/* SPDX-License-Identifier: Apache-2.0 */
/* burdock recover: takes up what was left behind, by hand. What cannot be sent stays. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "delivery.h"
#include "process.h"
#include "recover.h"

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

/* False: the collector takes nothing for as long as OTLP asks us to try. */
static bool spool_send(struct delivery *delivery)
{
    uint64_t due, seen = 0, give_up_ns = 0;
    delivery->hurries = true;
    delivery->catch_up_ns = delivery->away_until_ns;
    while ((due = delivery_catch_up(delivery)) != UINT64_MAX) {
        uint64_t now = process_monotonic_ns();
        if (give_up_ns == 0 || delivery->delivered + delivery->dropped != seen)
            give_up_ns = now + GIVE_UP_MS * 1000000ull;
        seen = delivery->delivered + delivery->dropped;
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
        delivery->delivered += spool_spans(buffer, length);
        spool_settle(spool);
    }
    return true;
}

static int report(const struct config *settings, const struct delivery *delivery,
    const struct spool *spool, uint64_t from_rings, bool is_done)
{
    bool to_collector = settings->signals[SIGNAL_TRACES].destination == DESTINATION_OTLP;
    uint64_t left = spool_bytes(spool);
    printf("burdock: %" PRIu64 " spans of dead processes and %" PRIu64 " of the spool %s\n",
        from_rings, delivery->delivered - from_rings, to_collector ? "sent" : "stored");
    if (delivery->spooled)
        printf(
            "burdock: %" PRIu64 " spans of dead processes put into the spool\n", delivery->spooled);
    if (delivery->dropped)
        printf("burdock: %" PRIu64 " spans refused and lost\n", delivery->dropped);
    if (left)
        printf("burdock: %" PRIu64 " bytes wait in %s: for other endpoints or headers, or a living "
               "process is at them\n",
            left, spool->directory);
    if (!is_done)
        complain(to_collector ? settings->urls[SIGNAL_TRACES] : settings->store_directory,
            "takes nothing now; what waits stays where it is", "burdock doctor tells why");
    return is_done && !delivery->spooled && !delivery->dropped ? STATUS_OK : STATUS_FAILED;
}

static int recover(struct config *settings, bool to_store)
{
    static struct delivery delivery;
    static struct spool spool; /* of this environment, though spans may go to the store */
    static struct config meant;
    if (to_store)
        settings->signals[SIGNAL_TRACES].destination = DESTINATION_STORE;
    if (!delivery_open(&delivery, settings)) {
        complain("recover", "out of memory", NULL);
        return STATUS_FAILED;
    }
    meant = *settings;
    meant.signals[SIGNAL_TRACES].destination = DESTINATION_OTLP;
    spool_open(&spool, &meant);
    delivery.spool->takes_others = geteuid() == 0;
    delivery.keeps = true;
    uint64_t from_rings = recover_dead(&delivery, settings, NULL, NULL);
    bool is_done = to_store ? spool_store(&delivery, &spool) : spool_send(&delivery);
    int status = report(settings, &delivery, &spool, from_rings, is_done && !delivery.is_stuck);
    spool_close(&spool);
    delivery_close(&delivery);
    return status;
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
        unsetenv("OTEL_TRACES_EXPORTER");
    }
    settings_read(&settings);
    if (options.endpoint && settings.signals[SIGNAL_TRACES].destination != DESTINATION_OTLP) {
        complain(options.endpoint, "spans cannot be sent there", "http://HOST:4318");
        return STATUS_USAGE;
    }
    return recover(&settings, options.to_store);
}
