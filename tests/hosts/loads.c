/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that load code: bound deeply, found by the caller's RUNPATH, unloaded, in a namespace of
 * its own. HOST_PLUGINS: where libcaller.so and nested/libnested.so are. */
#include <dlfcn.h>

#include "host.h"

static char *path_of(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof(path), "%s/%s", getenv("HOST_PLUGINS"), name);
    return path;
}

static void *expect_loaded(void *handle)
{
    if (handle == NULL)
        fprintf(stderr, "%s\n", dlerror());
    EXPECT(handle != NULL);
    return handle;
}

static void exchange(void *plugin)
{
    int (*run)(void) = (int (*)(void))dlsym(plugin, "plugin_exchange");
    EXPECT(run != NULL && run() == 1);
}

static void deeply_bound(void)
{
    void *plugin = expect_loaded(dlopen(path_of("libcaller.so"), RTLD_NOW | RTLD_DEEPBIND));
    exchange(plugin);
    exchange(plugin);
}

/* Found by the library that asks, as bare; and not by the program, as bare. */
static void found_by_runpath(void)
{
    EXPECT(dlopen("libnested.so", RTLD_NOW) == NULL);
    printf("%s\n", strstr(dlerror(), "libnested.so: cannot open") ? "not found" : "otherwise");
    void *caller = expect_loaded(dlopen(path_of("libcaller.so"), RTLD_NOW));
    void *(*load)(const char *, int) = (void *(*)(const char *, int))dlsym(caller, "plugin_load");
    void *nested = expect_loaded(load("libnested.so", RTLD_NOW | RTLD_LOCAL));
    EXPECT(nested != caller);
    exchange(nested);
    exchange(caller);
}

static void unloaded(void)
{
    for (int i = 0; i < 50; i++) {
        void *plugin = expect_loaded(dlopen(path_of("libcaller.so"), RTLD_NOW | RTLD_DEEPBIND));
        exchange(plugin);
        EXPECT(dlclose(plugin) == 0);
        EXPECT(dlopen(path_of("libcaller.so"), RTLD_NOW | RTLD_NOLOAD) == NULL);
    }
    EXPECT(dlopen(NULL, RTLD_NOW) != NULL && dlerror() == NULL);
}

/* Its libc is another one, which the library does not stand before. */
static void in_its_own_namespace(void)
{
    void *plugin = expect_loaded(dlmopen(LM_ID_NEWLM, path_of("libcaller.so"), RTLD_NOW));
    exchange(plugin);
    exchange(expect_loaded(dlopen(path_of("libcaller.so"), RTLD_NOW)));
    exchange(plugin);
    EXPECT(dlclose(plugin) == 0);
}

static const struct host_case cases[] = {
    {"deeply_bound", deeply_bound, "2 CLIENT/200=2"},
    {"found_by_runpath", found_by_runpath, "2 CLIENT/200=2"},
    {"unloaded", unloaded, "50 CLIENT/200=50"},
    {"in_its_own_namespace", in_its_own_namespace, "1 CLIENT/200=1"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return host_main(cases, argc, argv);
}
