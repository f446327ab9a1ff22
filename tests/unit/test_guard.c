/* SPDX-License-Identifier: Apache-2.0 */
/* The crash guard: what it counts, when it denies, and whose word it takes. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard.h"
#include "tap.h"

static char directory[] = "/tmp/burdock-guard-XXXXXX";
static char path[GUARD_PATH_BYTES];

static struct config service(const char *name)
{
    static struct config config;
    memset(&config, 0, sizeof(config));
    snprintf(config.run_directory, sizeof(config.run_directory), "%s", directory);
    snprintf(config.service_name, sizeof(config.service_name), "%s", name);
    return config;
}

static void count_at(const struct config *config, const uint64_t *times_s, int count)
{
    for (int i = 0; i < count; i++)
        guard_count(config, times_s[i]);
}

static void test_counts(void)
{
    struct config shop = service("shop"), slow = service("slow"), many = service("many");
    const uint64_t times_s[] = {1000, 1001, 1070, 1200, 1300}, apart_s[] = {0, 100, 200, 300, 401};
    struct guard guard;
    CHECK(!guard_denies(&shop), "nothing is known, nothing is denied");
    count_at(&shop, times_s, 4);
    CHECK(!guard_denies(&shop), "four times are not enough");
    count_at(&shop, times_s + 4, 1);
    CHECK(guard_denies(&shop), "five within 300 seconds are");
    CHECK(guard_read(&shop, geteuid(), &guard) && guard.denied_s == 1300, "and since when is told");
    guard_count(&shop, 9000);
    CHECK(guard_denies(&shop), "what comes later takes nothing back");
    for (int i = 0; i < 5; i++)
        guard_count(&slow, 1000 + apart_s[i]);
    CHECK(!guard_denies(&slow), "five within 401 seconds are not enough");
    for (int i = 0; i < 20; i++)
        guard_count(&many, 1000);
    CHECK(!guard_denies(&many), "many in one second are one");
    CHECK(!guard_denies(&(struct config){.service_name = "shop"}),
        "without a directory none is denied");
}

static void test_trust(void)
{
    struct config shop = service("shop"), longer = service("shop ");
    CHECK(!guard_denies(&longer), "another service is another");
    snprintf(path, sizeof(path), "for f in %s/*.guard; do mv $f $f.old; ln -s $f.old $f; done",
        directory);
    CHECK(system(path) == 0 && !guard_denies(&shop), "a link is not followed");
    guard_count(&shop, 5);
    CHECK(!guard_denies(&shop), "nor written through");
    snprintf(path, sizeof(path), "cd %s; for f in *.old; do mv $f ${f%%.old}; done", directory);
    CHECK(system(path) == 0 && guard_denies(&shop), "a file of the user's own is believed");
    if (geteuid() == 0) {
        snprintf(path, sizeof(path), "chown 65534 %s/*.guard", directory);
        CHECK(system(path) == 0 && !guard_denies(&shop), "one of somebody else's is not");
        snprintf(path, sizeof(path), "chown 0 %s/*.guard", directory);
        CHECK(system(path) == 0, "it is one's own again");
    }
    snprintf(path, sizeof(path), "for f in %s/*.guard; do head -c 100 $f >x; cat x >$f; done",
        directory);
    CHECK(system(path) == 0 && !guard_denies(&shop), "a file that was cut off says nothing");
}

int main(void)
{
    if (mkdtemp(directory) == NULL || chdir(directory) != 0)
        return 1;
    test_counts();
    test_trust();
    snprintf(path, sizeof(path), "rm -rf %s", directory);
    CHECK(chdir("/") == 0 && system(path) == 0, "all is removed");
    return tap_done();
}
