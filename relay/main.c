/* SPDX-License-Identifier: Apache-2.0 */
/*
 * burdock-relay: takes OTLP from traced processes of its user on this machine, over a socket, and
 * sends it on by what is not to enter them: https and grpc (libcurl with OpenSSL and nghttp2).
 * It keeps nothing: a request is answered when the collector has answered, so what a process was
 * not told is delivered it still has, in its ring or in the spool. It may die at any moment.
 *
 * Settings are those of the processes, from the environment. --idle: ends when nobody has needed it
 * for so many seconds (0: never); --ready: a descriptor on which it says that it listens.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "catch_up.h"
#include "clients.h"
#include "place.h"
#include "process.h"

enum {
    STATUS_OK = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    SPOOL_PATIENCE_S = 3600, /* for a collector that takes nothing, when nobody else is there */
    TICK_MS = 1000,
    FAREWELL_MS = 5000, /* for what is under way when we are to end */
    EVENTS_MAX = 64
};

static struct relay {
    struct config config;
    struct place place;
    struct backend backend;
    struct clients clients;
    int signals;
    uint64_t needed_ns, ticked_ns, leave_ns; /* leave_ns: 0, or until when we say farewell */
    uint64_t idle_s;
    int ready;
} relay = {.ready = -1};

static int complain(const char *why)
{
    fprintf(stderr, "burdock-relay: %s\n", why);
    return STATUS_FAILED;
}

static bool number(const char *text, uint64_t max, uint64_t *out)
{
    return number_parse((struct slice){text, strlen(text)}, max, out);
}

static bool parse(int argc, char **argv)
{
    static const struct option table[] = {
        {"idle", required_argument, NULL, 'i'}, {"ready", required_argument, NULL, 'r'}, {0}};
    int letter;
    uint64_t ready;
    while ((letter = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (letter == 'i' && number(optarg, INT32_MAX, &relay.idle_s))
            continue;
        if (letter != 'r' || !number(optarg, INT32_MAX, &ready))
            return false;
        relay.ready = (int)ready;
    }
    return optind == argc;
}

/* Files are named as whoever started us names them. */
static void make_absolute(char path[CONFIG_TEXT_MAX])
{
    char resolved[PATH_MAX];
    if (*path != '\0' && *path != '/' && realpath(path, resolved) != NULL &&
        strlen(resolved) < CONFIG_TEXT_MAX)
        memcpy(path, resolved, strlen(resolved) + 1);
}

static bool read_settings(void)
{
    char *const arguments[] = {"burdock", NULL};
    config_read(&relay.config, environ, arguments, "burdock");
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        make_absolute(relay.config.tls[i].certificate);
        make_absolute(relay.config.tls[i].client_certificate);
        make_absolute(relay.config.tls[i].client_key);
    }
    /* Nobody's directory is kept busy by us. */
    return relay.config.relay_url[0] != '\0' && chdir("/") == 0;
}

size_t relay_status(char *out, size_t room)
{
    struct catch_up_state spool = catch_up_state();
    size_t used = (size_t)snprintf(out, room, "{\"v\":1,\"pid\":%d,\"signals\":[", (int)getpid());
    const char *between = "";
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        if (relay.backend.targets[i].settings == NULL)
            continue;
        used += (size_t)snprintf(out + used, room - used, "%s", between);
        size_t length = tally_print(&relay.backend.targets[i].tally, out + used, room - used);
        if (length == 0)
            return 0;
        used += length;
        between = ",";
    }
    int length = snprintf(out + used, room - used,
        "],\"spool\":{\"sent\":%llu,\"lost\":%llu,\"waits\":%s}}\n", (unsigned long long)spool.sent,
        (unsigned long long)spool.lost, spool.waits ? "true" : "false");
    return (size_t)length < room - used ? used + (size_t)length : 0;
}

/* ---- how long ---- */

static bool is_needed(uint64_t now)
{
    if (relay.clients.count > 0)
        relay.needed_ns = now;
    if (relay.clients.seen_ns > relay.needed_ns)
        relay.needed_ns = relay.clients.seen_ns;
    uint64_t patience_s = relay.idle_s;
    if (catch_up_state().waits && patience_s < SPOOL_PATIENCE_S)
        patience_s = SPOOL_PATIENCE_S;
    if (relay.idle_s == 0 || now - relay.needed_ns < patience_s * 1000000000ull)
        return true;
    if (!peers_any_lives(&relay.clients.peers))
        return false;
    relay.needed_ns = now;
    return true;
}

static void leave(uint64_t now)
{
    if (relay.leave_ns != 0)
        return;
    relay.leave_ns = now + FAREWELL_MS * 1000000ull;
    place_hide(&relay.place);
    catch_up_leave();
    clients_stop(&relay.clients);
}

static void tick(void)
{
    uint64_t now = process_monotonic_ns();
    if (now - relay.ticked_ns < TICK_MS * 1000000ull)
        return;
    relay.ticked_ns = now;
    if (!is_needed(now))
        leave(now);
}

static bool is_over(void)
{
    return relay.leave_ns != 0 &&
           (relay.clients.count == 0 || process_monotonic_ns() >= relay.leave_ns);
}

/* ---- the loop ---- */

static void attend(void)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(relay.clients.epoll, events, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == NULL)
            clients_accept(&relay.clients);
        else if (events[i].data.ptr == &relay)
            leave(process_monotonic_ns());
        else
            client_attend(events[i].data.ptr, events[i].events);
    }
}

static void serve(void)
{
    while (!is_over()) {
        struct curl_waitfd ours = {.fd = relay.clients.epoll, .events = CURL_WAIT_POLLIN};
        curl_multi_poll(relay.backend.multi, &ours, 1, TICK_MS, NULL);
        attend();
        backend_work(&relay.backend);
        tick();
    }
}

static bool take_signals(void)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    relay.signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &relay};
    return epoll_ctl(relay.clients.epoll, EPOLL_CTL_ADD, relay.signals, &event) == 0;
}

/* A core would hold what the headers say. */
static void keep_secrets(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

static void say_ready(void)
{
    if (relay.ready < 0)
        return;
    if (write(relay.ready, "r", 1) != 1)
        complain("whoever started this has gone");
    close(relay.ready);
}

static int run(void)
{
    if (!backend_open(&relay.backend, &relay.config) ||
        !clients_open(&relay.clients, &relay.backend, relay.place.listener) || !take_signals())
        return complain("no memory, or no descriptors");
    relay.needed_ns = process_monotonic_ns();
    relay.backend.came_back = catch_up_now;
    catch_up_start(&relay.config);
    say_ready();
    serve();
    catch_up_leave();
    clients_close(&relay.clients);
    catch_up_join();
    backend_close(&relay.backend);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        fputs("Usage: burdock-relay [--idle SECONDS] [--ready DESCRIPTOR]\n", stderr);
        return STATUS_USAGE;
    }
    keep_secrets();
    if (!read_settings()) {
        complain("the settings name no endpoint of https:// or grpc: no relay is needed");
        return STATUS_USAGE;
    }
    switch (place_take(&relay.place, relay.config.relay_url + strlen("unix://"))) {
    case PLACE_OURS:
        break;
    case PLACE_TAKEN:
        say_ready();
        fputs("burdock-relay: there is one for these settings already\n", stderr);
        return STATUS_OK;
    case PLACE_REFUSED:
        return complain(relay.place.why);
    }
    int status = run();
    place_hide(&relay.place);
    place_leave(&relay.place);
    return status;
}
