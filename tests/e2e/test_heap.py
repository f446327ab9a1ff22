#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The allocator is watched (burdock run --heap): programs see what they see without it, with whatever
allocator they have. That requests are followed by it is bench/attribution's to show (W27)."""
import glob
import shutil

from harness import *

CALLS = os.path.join(BUILD, "tests/e2e/heap_calls")
BOTH = "%s:%s" % (LIBRARY, HEAP)
ALLOCATORS = ("jemalloc", "mimalloc", "tcmalloc_minimal")
PROGRAMS = {
    "sort": ["sort", "-n", "--parallel=2"],
    "Python": [PYTHON, "-c", "import sys, hashlib\nprint(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())\n"
               "print(sum(len(str(n) * 9) for n in range(100000)))"],
    "Perl": ["perl", "-ne", "$n += $_; push @a, $_; END { print $n, ' ', scalar(@a) }"],
}


def test_calls():
    with Scene() as scene:
        bare = scene.run([CALLS], traced=False)
        check(bare.returncode == 0 and bare.stdout.endswith(b"done\n"), "heap: the calls, bare", bare)
        for preload, what in ((BOTH, "behind the library"), (HEAP, "alone"),
                              ("%s:%s" % (HEAP, LIBRARY), "before the library")):
            done = scene.run([CALLS], LD_PRELOAD=preload)
            equal((done.returncode, done.stdout), (0, bare.stdout), "heap: the calls, " + what)
            equal(done.stderr, b"", "heap: nothing is said, " + what)


def test_allocators():
    for name in ALLOCATORS:
        found = glob.glob("/usr/lib/*/lib%s.so.*" % name)
        if not found:
            skip("heap: " + name, "it is not installed")
            continue
        with Scene() as scene:
            bare = scene.run([CALLS], traced=False, LD_PRELOAD=found[0])
            done = scene.run([CALLS], LD_PRELOAD="%s:%s" % (BOTH, found[0]))
            equal((done.returncode, done.stdout), (bare.returncode, bare.stdout), "heap: on " + name)


def test_programs():
    numbers = b"".join(b"%d\n" % (n * 7919 % 100003) for n in range(50000))
    for name, command in PROGRAMS.items():
        with Scene() as scene:
            bare = scene.run(command, traced=False, stdin=numbers)
            done = scene.run(command, stdin=numbers, LD_PRELOAD=BOTH)
            equal((done.returncode, done.stdout, done.stderr), (0, bare.stdout, b""), "heap: " + name)


def test_command():
    """As users start it; a server with threads of its own, and what it starts."""
    with Scene() as scene:
        back = scene.service(traced=False)
        code = ("import os, subprocess, threading, urllib.request as r\n"
                "def call(): r.urlopen('http://127.0.0.1:%d/').read()\n"
                "all = [threading.Thread(target=call) for _ in range(8)]\n"
                "[each.start() for each in all]; [each.join() for each in all]\n"
                "print([os.path.basename(each) for each in os.environ['LD_PRELOAD'].split(':')])\n"
                "subprocess.run(['true'], check=True)" % back.port)
        done = scene.run([BURDOCK, "run", "--heap", "-q", "--", PYTHON, "-c", code], traced=False)
        equal((done.returncode, done.stdout), (0, b"['libburdock.so', 'libburdock-heap.so']\n"),
              "heap: burdock run --heap puts it behind the library")
        equal(len(scene.wait_spans(8)), 8, "heap: and calls are told")
        alone = scene.path("libburdock.so")
        shutil.copy(LIBRARY, alone)
        done = scene.run([BURDOCK, "run", "--heap", "-q", "--", "true"], traced=False,
                         BURDOCK_LIBRARY=alone)
        check(done.returncode == 125 and b"libburdock-heap.so" in done.stderr and
              done.stderr.count(b"\n") <= 2, "heap: without its library nothing is started", done)


main(globals())
