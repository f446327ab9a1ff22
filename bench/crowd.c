/* SPDX-License-Identifier: Apache-2.0 */
/* crowd threads | crowd connections: many of them have each served one request and idle now. Prints
 * the resident memory as JSON. The peers use the kernel directly and live in another process, so
 * that their memory does not count. */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "../tests/hosts/host.h"

enum { THREADS = 1000, CONNECTIONS = 10000, THREAD_STACK_BYTES = 64 * 1024 };

static const char request[] = "GET /idle HTTP/1.1\r\nHost: crowd.example\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static pthread_barrier_t all_served;
static int listener;
static struct sockaddr_storage address;
static socklen_t length;

static int serve_one(void)
{
    char buffer[1024];
    int fd = accept(listener, NULL, NULL);
    EXPECT(fd >= 0 && read(fd, buffer, sizeof(buffer)) > 0);
    EXPECT(write(fd, answer, sizeof(answer) - 1) > 0);
    return fd;
}

/* The clients: each connects, asks, and stays. */
static void ask(int count)
{
    char buffer[1024];
    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        EXPECT(sys_call(SYS_connect, fd, (long)&address, (long)length, 0, 0, 0) == 0);
        raw_write(fd, request, sizeof(request) - 1);
        EXPECT(raw_read(fd, buffer, sizeof(buffer)) > 0);
    }
    pause();
}

static void *serve_and_stay(void *unused)
{
    serve_one();
    pthread_barrier_wait(&all_served);
    pause();
    return NULL;
}

static void crowd_of_threads(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    pthread_barrier_init(&all_served, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&thread, &attributes, serve_and_stay, NULL) == 0);
    pthread_barrier_wait(&all_served);
}

static long resident_kb(void)
{
    char line[256];
    long kb = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "Pss: %ld kB", &kb) == 1)
            break;
    fclose(file);
    return kb;
}

int main(int argc, char **argv)
{
    bool is_threads = argc == 2 && strcmp(argv[1], "threads") == 0;
    int count = is_threads ? THREADS : CONNECTIONS;
    struct rlimit limit = {CONNECTIONS + 100, CONNECTIONS + 100};
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    listener = host_listen(false, &address, &length);
    pid_t clients = fork();
    if (clients == 0)
        ask(count);
    if (is_threads)
        crowd_of_threads();
    else
        for (int i = 0; i < count; i++)
            serve_one();
    printf("{\"kb\": %ld}\n", resident_kb());
    fflush(stdout);
    kill(clients, SIGKILL);
    waitpid(clients, NULL, 0);
    _exit(0);
}
