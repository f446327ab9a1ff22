/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server with a thread per connection that hands its work over:
 *     hand_over PORT BACK
 *     /thread/N   to a thread of its own for this request, which it joins
 *     /worker/N   to a queue and one worker, started by the first such request; it waits for it
 * The work is a request for /r/N from BACK. Runs until it is killed.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

static struct sockaddr_in back = {.sin_family = AF_INET};

struct job {
    struct job *next;
    int number;
    bool is_done;
};

static struct job *first_job;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t there_is_work = PTHREAD_COND_INITIALIZER;
static pthread_cond_t work_is_done = PTHREAD_COND_INITIALIZER;

static void ask(int number)
{
    char text[256];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(connect(fd, (struct sockaddr *)&back, sizeof(back)) == 0);
    int length =
        sprintf(text, "GET /r/%d HTTP/1.1\r\nHost: back\r\nConnection: close\r\n\r\n", number);
    EXPECT(write(fd, text, (size_t)length) == length);
    while (read(fd, text, sizeof(text)) > 0)
        ;
    close(fd);
}

static void *work_once(void *number)
{
    ask(*(int *)number);
    return NULL;
}

static void *work_for_ever(void *unused)
{
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (first_job == NULL)
            pthread_cond_wait(&there_is_work, &mutex);
        struct job *job = first_job;
        first_job = job->next;
        pthread_mutex_unlock(&mutex);
        ask(job->number);
        pthread_mutex_lock(&mutex);
        job->is_done = true;
        pthread_cond_broadcast(&work_is_done);
        pthread_mutex_unlock(&mutex);
    }
    return unused;
}

static void by_thread(int number)
{
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, work_once, &number) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
}

/* The worker can have the job only once this thread waits for it. */
static void by_worker(int number)
{
    static pthread_t worker;
    struct job job = {.number = number};
    pthread_mutex_lock(&mutex);
    job.next = first_job;
    first_job = &job;
    if (worker == 0)
        EXPECT(pthread_create(&worker, NULL, work_for_ever, NULL) == 0);
    pthread_cond_signal(&there_is_work);
    while (!job.is_done)
        pthread_cond_wait(&work_is_done, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void *serve(void *argument)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    int fd = (int)(long)argument, number;
    char text[4096], how[16];
    for (ssize_t got; (got = read(fd, text, sizeof(text) - 1)) > 0;) {
        text[got] = '\0';
        EXPECT(sscanf(text, "GET /%15[a-z]/%d", how, &number) == 2);
        (strcmp(how, "thread") == 0 ? by_thread : by_worker)(number);
        EXPECT(write(fd, answer, sizeof(answer) - 1) == sizeof(answer) - 1);
    }
    close(fd);
    return NULL;
}

int main(int count, char **words)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    EXPECT(count == 3);
    here.sin_addr.s_addr = back.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    here.sin_port = htons((uint16_t)atoi(words[1]));
    back.sin_port = htons((uint16_t)atoi(words[2]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    EXPECT(bind(listener, (struct sockaddr *)&here, sizeof(here)) == 0);
    EXPECT(listen(listener, 64) == 0);
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        EXPECT(pthread_create(&thread, NULL, serve, (void *)(long)fd) == 0);
        pthread_detach(thread);
    }
}
