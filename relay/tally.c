/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include <stdio.h>
#include <string.h>

#include "process.h"

void tally_open(struct tally *tally, enum signal signal, const char *url)
{
    *tally = (struct tally){.signal = signal_name(signal)};
    snprintf(tally->url, sizeof tally->url, "%.*s", (int)strcspn(url, "?#"), url);
}

/* Words come from libraries and servers: fit for a terminal and for JSON. */
static void copy_words(char *out, size_t room, const char *words)
{
    size_t length = 0;
    for (; words[length] != '\0' && length + 1 < room; length++) {
        char c = words[length];
        out[length] = c == '"' || c == '\\' ? '\'' : c < ' ' || c > '~' ? ' ' : c;
    }
    out[length] = '\0';
}

void tally_add(struct tally *tally, enum verdict_kind kind, const char *words)
{
    char said[sizeof tally->trouble];
    tally->requests[kind]++;
    if (kind == VERDICT_ACCEPTED) {
        if (tally->is_troubled || tally->accepted_ns == 0)
            fprintf(stderr, "burdock-relay: %s: %s takes them\n", tally->signal, tally->url);
        tally->accepted_ns = process_monotonic_ns();
        tally->is_troubled = false;
        return;
    }
    copy_words(said, sizeof said, words);
    if (!tally->is_troubled || strcmp(said, tally->trouble) != 0)
        fprintf(stderr, "burdock-relay: %s: %s: %s; %s\n", tally->signal, tally->url, said,
            kind == VERDICT_AGAIN ? "kept, and sent again" : "refused for good");
    memcpy(tally->trouble, said, sizeof said);
    tally->trouble_ns = process_monotonic_ns();
    tally->is_troubled = true;
}

static void print_ago(char *out, size_t room, uint64_t ns)
{
    if (ns == 0)
        snprintf(out, room, "null");
    else
        snprintf(out, room, "%.3f", (double)(process_monotonic_ns() - ns) / 1e9);
}

size_t tally_print(const struct tally *tally, char *out, size_t room)
{
    char accepted[32], trouble[32], url[sizeof tally->url];
    print_ago(accepted, sizeof accepted, tally->accepted_ns);
    print_ago(trouble, sizeof trouble, tally->trouble_ns);
    copy_words(url, sizeof url, tally->url);
    int length = snprintf(out, room,
        "{\"signal\":\"%s\",\"url\":\"%s\",\"accepted\":%llu,\"again\":%llu,\"refused\":%llu,"
        "\"accepted_s_ago\":%s,\"trouble_s_ago\":%s,\"troubled\":%s,\"trouble\":\"%s\"}",
        tally->signal, url, (unsigned long long)tally->requests[VERDICT_ACCEPTED],
        (unsigned long long)tally->requests[VERDICT_AGAIN],
        (unsigned long long)tally->requests[VERDICT_REFUSED], accepted, trouble,
        tally->is_troubled ? "true" : "false", tally->trouble);
    return length > 0 && (size_t)length < room ? (size_t)length : 0;
}
