/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over the native stack sees what glibc's backtrace() sees; inside a signal handler it
 * ends, and does not crash; tables that lie never make it read outside their object (run under
 * sanitizers, with the tables in a block of their exact size). Addresses get their names.
 */
#include <alloca.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "symbols.h"
#include "tap.h"
#include "unwind.h"
#include "unwind_rule.h"

enum { HOSTILE = 20000, FRAMES_MIN = 5 };

static uint64_t seed = 0x9E3779B97F4A7C15u;
static uintptr_t seen[UNWIND_FRAMES_MAX];
static void *expected[UNWIND_FRAMES_MAX + 1];
static size_t seen_count, expected_count;

static uint64_t roll(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % below;
}

__attribute__((noinline)) static int look(const void *left, const void *right)
{
    seen_count = unwind(seen, UNWIND_FRAMES_MAX);
    expected_count = (size_t)backtrace(expected, UNWIND_FRAMES_MAX);
    return *(const int *)left - *(const int *)right;
}

/* From the second on: the innermost are at two calls of one function, and a sanitizer may stand
 * before the second. */
static void check_same(const char *what)
{
    size_t from = 0;
    while (from < expected_count && (uintptr_t)expected[from] != seen[1])
        from++;
    bool is_same = seen_count >= FRAMES_MIN && expected_count - from == seen_count - 1;
    for (size_t i = 1; is_same && i < seen_count; i++)
        is_same = seen[i] == (uintptr_t)expected[from + i - 1];
    CHECK(is_same, "%s: %zu frames, as backtrace() has", what, seen_count);
}

/* Through libc, which has no frame pointers. */
__attribute__((noinline)) static void by_library(void)
{
    int numbers[] = {1, 2};
    qsort(numbers, 2, sizeof(numbers[0]), look);
    __asm__ volatile("");
}

/* A frame of a size known only as it runs, and one whose stack is aligned anew. */
__attribute__((noinline)) static void by_sizes(size_t bytes)
{
    _Alignas(64) volatile char aligned[64];
    volatile char *some = alloca(bytes);
    some[0] = aligned[0] = 1;
    by_library();
    __asm__ volatile("" ::"r"(some), "r"(aligned));
}

static void on_signal(int number)
{
    seen_count = unwind(seen, UNWIND_FRAMES_MAX);
}

static void test_walk(void)
{
    by_library();
    check_same("through a library");
    by_sizes(100 + roll(1000));
    check_same("frames of any size");
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    CHECK(seen_count >= 1 && seen_count < FRAMES_MIN, "it ends at a signal handler's frame");
    uintptr_t two[2];
    CHECK(unwind(two, 2) == 2, "no more than there is room for");
    int (*find)(void *, struct unwind_object *) = unwind_find_object;
    unwind_find_object = NULL;
    __atomic_add_fetch(&unwind_generation, 1, __ATOMIC_RELAXED);
    CHECK(unwind(seen, UNWIND_FRAMES_MAX) == 1, "one frame where objects cannot be asked for");
    unwind_find_object = find;
    __atomic_add_fetch(&unwind_generation, 1, __ATOMIC_RELAXED);
}

static void test_names(void)
{
    const struct symbol *symbols[UNWIND_FRAMES_MAX];
    bool has_library = false;
    by_library();
    symbols_find(seen, seen_count, symbols);
    CHECK(strcmp(symbols[0]->name, "look") == 0 && symbols[0]->offset > 0, "the innermost is look");
    CHECK(strncmp(symbols[0]->object, "test_unwind", 11) == 0, "and of this program");
    for (size_t i = 0; i < seen_count; i++)
        has_library |= strncmp(symbols[i]->object, "libc.so", 7) == 0;
    CHECK(has_library, "qsort is in libc");
    uintptr_t nowhere[] = {1, (uintptr_t)&seed};
    symbols_find(nowhere, 2, symbols);
    CHECK(symbols[0]->object[0] == '\0' && symbols[0]->name[0] == '\0', "nothing is at 1");
    CHECK(symbols[1]->name[0] == '\0', "data is no function");
}

/* --- tables that lie ----------------------------------------------------------------------- */

static struct unwind_object real, fake;

static int find_fake(void *address, struct unwind_object *found)
{
    *found = fake;
    return 0;
}

/* The program's own tables, from .eh_frame_hdr to the end of .eh_frame: they follow each other. */
static size_t tables_size(void)
{
    Dl_info info;
    struct link_map *map;
    dladdr1((void *)tables_size, &info, (void **)&map, RTLD_DL_LINKMAP);
    const ElfW(Ehdr) *header = info.dli_fbase;
    const ElfW(Phdr) *parts = (const void *)((const char *)header + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++)
        if (parts[i].p_type == PT_LOAD &&
            (uintptr_t)real.table - map->l_addr - parts[i].p_vaddr < parts[i].p_filesz)
            return parts[i].p_filesz - ((uintptr_t)real.table - map->l_addr - parts[i].p_vaddr);
    return 0;
}

static void test_hostile(void)
{
    size_t size, answered = 0;
    unwind_find_object((void *)test_hostile, &real);
    size = tables_size();
    for (unsigned i = 0; i < HOSTILE; i++) {
        uint8_t *copy = malloc(size);
        memcpy(copy, real.table, size);
        fake = (struct unwind_object){.start = copy, .end = copy + size, .table = copy};
        for (uint64_t changes = roll(40); changes > 0; changes--)
            copy[roll(changes % 2 ? size : 64)] = (uint8_t)roll(256);
        /* Code lies before its tables, or behind them, within a megabyte or so. */
        uintptr_t address = (uintptr_t)copy + roll(1 << 21) - (1 << 20);
        unwind_find_object = find_fake;
        answered += unwind_rule(address).base != BASE_UNKNOWN;
        free(copy);
    }
    CHECK(answered > 0, "%zu of %d answers from tables that were changed", answered, HOSTILE);
}

int main(void)
{
    unwind_find_object =
        (int (*)(void *, struct unwind_object *))dlsym(RTLD_DEFAULT, "_dl_find_object");
    if (unwind_find_object == NULL) {
        printf("1..0 # SKIP glibc before 2.35 cannot say which object an address is of\n");
        return 0;
    }
    test_walk();
    test_names();
    test_hostile();
    return tap_done();
}
