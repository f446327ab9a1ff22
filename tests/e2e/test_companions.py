# SPDX-License-Identifier: Apache-2.0
"""Who else is in the process or looks at it: other mallocs, sanitizers, valgrind, gdb, musl.

The hosts are the victims of tests/hosts; each runs bare and under the library with the same
companion."""
import glob
import os
import re
import shutil
import subprocess

import harness
from harness import LIBRARY, SOURCE, VICTIMS, Scene, check, equal, main, skip

if harness.otlp:
    from otlp import Collector

GIVEN = {"frame_dummy", "deregister_tm_clones", "register_tm_clones"}  # every program has its own
HOSTS = os.path.join(SOURCE, "tests/hosts")


def victim(name, case):
    return [os.path.join(VICTIMS, name), case]


# What is asked of each companion: a victim, and the spans that it leaves.
ASKED = ((victim("hazards", "exchanges"), 10), (victim("processes", "forks_in_threads"), 1040),
         (victim("threads", "small_stacks"), 1500), (victim("threads", "cancels"), 50),
         (victim("every_hook", "refused"), 0))


def installed(pattern):
    return next(iter(sorted(glob.glob("/usr/lib/*/" + pattern))), None)


def build(scene, source, name, *flags, compiler="gcc"):
    """A host of ours, built otherwise; None with a reason if it cannot be."""
    path = scene.path(name)
    done = scene.run([compiler, "-O1", "-g", "-D_GNU_SOURCE", os.path.join(HOSTS, source), "-o", path,
                      "-pthread", *flags], traced=False)
    if done.returncode == 0:
        return path
    skip(name, "%s cannot build it: %s" % (compiler, done.stderr.decode()[-200:].strip()))
    return None


def test_other_malloc():
    """Preloaded before us, after us, and linked."""
    for name in ("jemalloc", "mimalloc", "tcmalloc_minimal"):
        malloc = installed("lib%s.so.*" % name)
        if malloc is None:
            skip(name, "it is not installed")
            continue
        with Scene() as scene:
            for command, spans in ASKED:
                for order in ((LIBRARY, malloc), (malloc, LIBRARY)):
                    what = "%s, %s, %s" % (name, command[1], "after us" if order[0] == LIBRARY
                                           else "before us")
                    scene.as_bare(command, what, spans, {"LD_PRELOAD": malloc},
                                  LD_PRELOAD=":".join(order))
            host = build(scene, "processes.c", name + "-linked", "-Wl,--no-as-needed", malloc)
            if host:
                scene.as_bare([host, "forks"], name + ", linked", 1020)


def test_address_sanitizer():
    """ASan in the program, and as a library, which wants to be the first one."""
    with Scene(ASAN_OPTIONS="abort_on_error=0") as scene:
        for source, case, spans in (("hazards.c", "exchanges", 10), ("processes.c", "vforks", 12),
                                    ("every_hook.c", "quietly", 45)):
            host = build(scene, source, "asan-" + case, "-fsanitize=address", "-static-libasan")
            if host:
                scene.as_bare([host, case], "ASan in the program, " + case, spans)
        host = build(scene, "threads.c", "asan-shared", "-fsanitize=address")
        asan = installed("libasan.so.*")
        if host and asan:
            command = [host, "full_duplex"]
            scene.as_bare(command, "ASan as a library, listed first", 2000,
                          LD_PRELOAD=asan + ":" + LIBRARY)
            scene.as_bare(command, "ASan as a library, its check switched off", 2000,
                          ASAN_OPTIONS="verify_asan_link_order=0")


def test_thread_sanitizer():
    """Its functions of memory and strings stand before the C library's; it knows nothing of how we keep
    our threads apart, and is not asked."""
    with Scene(TSAN_OPTIONS="exitcode=66") as scene:
        for compiler, where in (("clang", "the program"), ("gcc", "a library")):
            host = build(scene, "threads.c", "tsan-" + compiler, "-fsanitize=thread", compiler=compiler)
            if host:
                done = scene.as_bare([host, "full_duplex"], "ThreadSanitizer in " + where, 2000)
                equal(done.stderr, b"", "ThreadSanitizer in %s: nothing of ours is judged" % where)


def test_same_names():
    """A host that exports every name which the library uses within keeps its calls to itself, and
    we keep ours: the spans arrive, packed by our zlib."""
    names = subprocess.run(["nm", LIBRARY], capture_output=True, text=True, check=True).stdout
    names = sorted(set(re.findall(r"^\w+ t ([a-zA-Z]\w*)$", names, re.M)) - GIVEN)
    with Scene() as scene:
        check(len(names) > 200 and "deflate" in names, "names of ours are known", len(names))
        scene.write("names.c", "#include <stdlib.h>\n" +
                    "".join("void %s(void) { abort(); }\n" % name for name in names))
        host = build(scene, "hazards.c", "same-names", scene.path("names.c"), "-rdynamic",
                     "-fno-builtin", "-w")
        if host:
            collector = Collector(scene)
            scene.as_bare([host, "exchanges"], "the same names", OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
                          OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
            equal(len(collector.spans()), 10, "the same names: traced")


def test_valgrind():
    if shutil.which("valgrind") is None:
        return skip("valgrind", "it is not installed")
    with Scene() as scene:
        for command, spans in ((victim("hazards", "exchanges"), 10),
                               (victim("processes", "vforks"), 12),
                               (victim("threads", "cancels"), 50),
                               (victim("every_hook", "quietly"), 45)):
            done = scene.as_bare(["valgrind", "--error-exitcode=77", "--vgdb=no", *command],
                                 "valgrind, " + command[1], spans)
            check(re.search(rb"ERROR SUMMARY: 0 errors", done.stderr),
                  "valgrind, %s: no error" % command[1], done.stderr.decode()[-1500:])
    return None


GDB = ["gdb", "-nx", "-batch", "-ex", "set startup-with-shell off", "-ex", "set pagination off",
       "-ex", "set breakpoint pending on"]


def test_gdb():
    """Run, stopped in a hooked function, stepped, continued: as bare."""
    if shutil.which("gdb") is None:
        return skip("gdb", "it is not installed")
    with Scene() as scene:
        name, case = victim("hazards", "exchanges")
        for what, commands in (("to its end", ["run"]),
                               ("stopped in write", ["break write", "run", "backtrace 1", "finish",
                                                     "delete", "continue"]),
                               ("stepped", ["break exchange", "run", "next", "next", "delete",
                                            "continue"])):
            ends = []
            for library in ("", LIBRARY):
                script = [word for command in
                          ["set environment LD_PRELOAD=" + library, *commands]
                          for word in ("-ex", command)]
                before = len(scene.spans())
                done = scene.run([*GDB, *script, "--args", name, case], traced=False)
                ends.append(re.findall(rb"exited .*\]", done.stdout))
                if not ends[0] and b"ptrace" in done.stdout + done.stderr:
                    return skip("gdb", "ptrace is not permitted here")
            check(ends[0] == ends[1] and b"exited normally" in ends[0][0], "gdb, %s: as bare" % what,
                  "%r\n%s" % (ends, done.stdout.decode()[-1500:]))
            equal(len(scene.spans()) - before, 10, "gdb, %s: traced" % what)
    return None


MUSL = """
#include "exchange.h"
void closefrom(int first) __attribute__((weak)); /* musl has none; the library's is found */
int main(void) {
    exchanges(10);
    if (closefrom != NULL) closefrom(1000);
    puts("exchanged");
    return 3;
}
"""


def test_musl():
    """A program for musl is not traced; it takes the library in and must not die of it."""
    with Scene() as scene:
        source = scene.write("musl.c", MUSL)
        host = build(scene, source, "musl", "-I" + HOSTS, compiler="musl-gcc") \
            if shutil.which("musl-gcc") else skip("musl", "musl-gcc is not installed")
        if host:
            scene.as_bare([host], "musl", 0)


WITHOUT_LIBC = """
static long call(long n, long a, long b, long c)
{
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
void _start(void) { call(1, 1, (long)"free\\n", 5); call(231, 5, 0, 0); }
"""


def test_without_libc():
    """A dynamic program that needs no libc, and a static one that takes no library."""
    with Scene() as scene:
        host = build(scene, scene.write("free.c", WITHOUT_LIBC), "without libc", "-nostdlib",
                     "-fPIE", "-pie", "-fno-stack-protector")
        if host:
            scene.as_bare([host], "without libc", 0)
        host = build(scene, "threads.c", "static", "-static")
        if host:
            scene.as_bare([host, "cancels"], "static", 0)


if __name__ == "__main__":
    main(globals())
