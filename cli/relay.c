/* SPDX-License-Identifier: Apache-2.0 */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "json_find.h"
#include "library.h"

static const char idle_s[] = "300"; /* of one that was started by the way */

enum { READY_MS = 3000, ANSWER_MS = 2000, READY_DESCRIPTOR = 3 };

/* ---- talking to it ---- */

/* -1: nobody of our user, or root, listens there. */
static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t length = sizeof peer;
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0 &&
        getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
        (peer.uid == geteuid() || peer.uid == 0 || geteuid() == 0))
        return descriptor;
    close(descriptor);
    return -1;
}

/* Having been there is enough: the relay stays for as long as who has asked lives. */
static bool greet(const struct config *settings)
{
    int descriptor = connect_to(settings->relay_url + strlen("unix://"));
    if (descriptor >= 0)
        close(descriptor);
    return descriptor >= 0;
}

static size_t read_answer(int descriptor, char *answer, size_t room)
{
    static const char question[] = "GET /status HTTP/1.0\r\n\r\n";
    const struct timeval patience = {ANSWER_MS / 1000, 0};
    size_t length = 0;
    ssize_t got = 0;
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (send(descriptor, question, sizeof question - 1, MSG_NOSIGNAL) < 0)
        return 0;
    while (length < room - 1 && (got = recv(descriptor, answer + length, room - 1 - length, 0)) > 0)
        length += (size_t)got;
    answer[length] = '\0';
    return got == 0 ? length : 0;
}

static uint64_t number_in(struct slice json, const char *key)
{
    uint64_t number;
    return number_parse(json_find(json, key), UINT64_MAX, &number) ? number : 0;
}

static void read_signal(struct slice json, struct relay_told *told)
{
    char name[16];
    struct slice word = {name, json_characters(json_find(json, "signal"), name, sizeof name)};
    unsigned i = 0;
    while (i < SIGNAL_COUNT && !slice_is(word, signal_name((enum signal)i)))
        i++;
    if (i == SIGNAL_COUNT)
        return;
    struct relay_signal *signal = &told->signals[i];
    *signal = (struct relay_signal){.is_told = true,
        .is_troubled = slice_is(json_find(json, "troubled"), "true"),
        .accepted = number_in(json, "accepted"),
        .again = number_in(json, "again"),
        .refused = number_in(json, "refused")};
    size_t length =
        json_characters(json_find(json, "trouble"), signal->trouble, sizeof signal->trouble - 1);
    signal->trouble[length] = '\0';
}

/* The objects of its list have no objects in them. */
static void read_told(const char *text, struct relay_told *told)
{
    struct slice json = {text, strlen(text)};
    struct slice list = json_find(json, "signals"), spool = json_find(json, "spool");
    memset(told, 0, sizeof *told);
    told->pid = (int)number_in(json, "pid");
    told->spool_sent = number_in(spool, "sent");
    told->spool_lost = number_in(spool, "lost");
    const char *end = list.data + list.length, *open, *close;
    for (const char *at = list.data; list.length > 0 && at < end; at = close + 1) {
        open = memchr(at, '{', (size_t)(end - at));
        close = open ? memchr(open, '}', (size_t)(end - open)) : NULL;
        if (!close)
            return;
        read_signal((struct slice){open, (size_t)(close - open) + 1}, told);
    }
}

bool relay_ask(const struct config *settings, unsigned user, struct relay_told *told)
{
    char path[RELAY_PATH_BYTES], answer[16 * 1024];
    int descriptor = config_relay_path(settings, user, path) ? connect_to(path) : -1;
    if (descriptor < 0)
        return false;
    size_t length = read_answer(descriptor, answer, sizeof answer);
    const char *body = length > 0 ? strstr(answer, "\r\n\r\n") : NULL;
    close(descriptor);
    if (!body)
        return false;
    read_told(body + 4, told);
    return told->pid > 0;
}

/* ---- starting it ---- */

static char *find_program(void)
{
    static const char *const places[] = {"burdock-relay", "../libexec/burdock/burdock-relay",
        "../relay/burdock-relay" /* the build tree */};
    return beside_find(places, sizeof places / sizeof places[0], X_OK);
}

bool relay_is_installed(void)
{
    char *program = find_program();
    free(program);
    return program != NULL;
}

/* It is not to be traced, nor to belong to a run; its settings are ours. */
static void environment_clean(void)
{
    unsetenv("LD_PRELOAD");
    unsetenv("BURDOCK_RUN");
    unsetenv("TRACEPARENT");
    unsetenv("TRACESTATE");
    setenv("BURDOCK_DISABLED", "1", 1);
}

static void signals_clean(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In a child of a child: whoever takes up orphans takes it up, not the command that we become. */
__attribute__((noreturn)) static void become_relay(const char *program, int ready)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    setsid();
    if (null < 0 || fork() != 0)
        _exit(0);
    signals_clean();
    for (int descriptor = 0; descriptor < 3; descriptor++)
        dup2(null, descriptor);
    if (ready == READY_DESCRIPTOR)
        fcntl(ready, F_SETFD, 0);
    else
        dup2(ready, READY_DESCRIPTOR);
#ifdef SYS_close_range
    syscall(SYS_close_range, READY_DESCRIPTOR + 1, ~0u, 0);
#endif
    environment_clean();
    execl(program, "burdock-relay", "--idle", idle_s, "--ready", "3", (char *)NULL);
    _exit(STATUS_NOT_FOUND);
}

static bool start(const char *program)
{
    int ready[2];
    char word = 0;
    if (pipe2(ready, O_CLOEXEC) != 0)
        return false;
    pid_t child = fork();
    if (child == 0)
        become_relay(program, ready[1]);
    close(ready[1]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    struct pollfd end = {.fd = ready[0], .events = POLLIN};
    bool is_there = child > 0 && poll(&end, 1, READY_MS) == 1 && read(ready[0], &word, 1) == 1;
    close(ready[0]);
    return is_there;
}

enum relay_state relay_ensure(const struct config *settings)
{
    if (greet(settings))
        return RELAY_RUNS;
    char *program = find_program();
    if (!program)
        return RELAY_ABSENT;
    bool is_started = start(program);
    free(program);
    return is_started && greet(settings) ? RELAY_RUNS : RELAY_SILENT;
}

static int complain_absent(void)
{
#ifdef BURDOCK_HAS_RELAY
    complain("relay", "burdock-relay is not where it was installed", "install burdock anew");
#else
    complain("relay", "burdock was built without it", "build it with libcurl's headers there");
#endif
    return STATUS_FAILED;
}

bool relay_ready(const struct config *settings)
{
    enum relay_state state = relay_is_needed(settings) ? relay_ensure(settings) : RELAY_RUNS;
    if (state == RELAY_ABSENT)
        complain_absent();
    if (state == RELAY_SILENT)
        complain("relay", "it could not be started", "burdock relay tells why");
    return state == RELAY_RUNS;
}

/* ---- by hand, or as a service ---- */

int verb_relay(int argc, char **argv)
{
    static const struct option table[] = {{"idle", required_argument, NULL, 'i'}, {0}};
    const char *idle = "0";
    int letter;
    while ((letter = getopt_long(argc, argv, ":", table, NULL)) != -1) {
        if (letter != 'i' || !*optarg || strspn(optarg, "0123456789") != strlen(optarg))
            return complain_option("relay", argv);
        idle = optarg;
    }
    if (optind < argc) {
        complain("relay", "takes no arguments", NULL);
        return STATUS_USAGE;
    }
    char *program = find_program();
    if (!program)
        return complain_absent();
    environment_clean();
    execl(program, "burdock-relay", "--idle", idle, (char *)NULL);
    complain(program, strerror(errno), NULL);
    return STATUS_FAILED;
}
