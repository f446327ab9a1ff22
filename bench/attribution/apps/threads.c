/* SPDX-License-Identifier: Apache-2.0 */
/* A thread per connection, two calls per request: fresh, each over a connection of its own; kept,
 * over one that the thread keeps; after, the second one when the answer is already written. */
#include <pthread.h>

#include "app.h"

static void serve(int client, const struct request *request, int *kept)
{
    if (strcmp(request->cell, "kept") == 0) {
        if (*kept < 0)
            *kept = app_connect();
        app_call(*kept, request, 0);
        app_call(*kept, request, 1);
        app_reply(client, request);
        return;
    }
    bool is_after = strcmp(request->cell, "after") == 0;
    app_call_fresh(request, 0);
    if (is_after)
        app_reply(client, request);
    app_call_fresh(request, 1);
    if (!is_after)
        app_reply(client, request);
}

static void *work(void *argument)
{
    int client = (int)(intptr_t)argument, kept = -1;
    struct request request;
    while (app_read(client, &request))
        serve(client, &request, &kept);
    close(client);
    if (kept >= 0)
        close(kept);
    return NULL;
}

int main(void)
{
    int listener = app_listen();
    for (;;) {
        pthread_t thread;
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        EXPECT(client >= 0);
        app_no_delay(client);
        EXPECT(pthread_create(&thread, NULL, work, (void *)(intptr_t)client) == 0);
        pthread_detach(thread);
    }
}
