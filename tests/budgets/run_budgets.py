#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions that the library adds to each hot path: counted by callgrind, so the same on every
run, and held to a budget. run_budgets.py LIBRARY PATHS

A budget is a promise, not a target: lower it when the code has become better. The program's thread
is counted by path; the exporter's as a whole, per span.
"""
import glob, os, re, shutil, subprocess, sys, tempfile

COUNT = 1000 # as in paths.c
SPANS = 8 * (COUNT + 64) # served, made, two of one forwarded, two of Redis, memcached, MongoDB
STATEMENTS = 3 * (COUNT + 64)
BUDGETS = {
    "write to a file": 10,
    "read of a socket of another protocol": 10,
    # In a process of more than one thread, and there are two now, libc's calls that can be
    # cancelled take some 45 instructions more.
    "write to a file, not alone": 55,
    "fputs and fprintf": 7, # while no logs are asked for
    "request served": 5350,
    "request made": 6292,
    "request forwarded": 11645,
    "16 KB of a body sent": 1070,
    "Redis asked": 3760,
    "Redis asked for 100 values": 11150,
    "Redis itself": 116, # two calls of a process of more than one thread
    "memcached asked": 4010,
    "memcached itself": 116,
    "MongoDB asked": 7760,
    "query of PostgreSQL": 3720,
    "query of 100 rows": 5435,
    "execution by PostgreSQL": 5195,
    "execution by SQLite": 1780, # three calls
    # 55 are ours; with a second thread there libsqlite3 and libc take the others.
    "row of SQLite": 90,
    "span told, encoded and stored": 640, # of all of them, each like those before it
    "another request served": 5350,
    "new span told, encoded and stored": 3420,
    "another query of PostgreSQL": 3720,
    "statement told, encoded and stored": 710, # like those before it
    "new statement told, encoded and stored": 9680,
}
LIBRARY, PATHS = map(os.path.abspath, sys.argv[1:3])


def instructions(preload, *arguments):
    """By path, and of the threads that the program does not know of."""
    with tempfile.TemporaryDirectory(prefix="burdock-budgets-") as place:
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith(("OTEL_", "BURDOCK_", "LD_"))}
        environment.update(BURDOCK_DIR=place, BURDOCK_STORE=place + "/store",
                           OTEL_BSP_SCHEDULE_DELAY="600000", LD_PRELOAD=preload,
                           BURDOCK_STACKTRACE_MIN_DURATION="600000") # on a busy machine, too
        subprocess.run(["valgrind", "--tool=callgrind", "--separate-threads=yes",
                        f"--callgrind-out-file={place}/out", PATHS, *arguments],
                       env=environment, check=True, timeout=300, stderr=subprocess.DEVNULL)
        counts, others = {}, 0
        for name in glob.glob(place + "/out*-*"):
            with open(name) as file:
                text = file.read()
            total = int(re.search(r"^(?:totals|summary): (\d+)", text, re.M).group(1))
            trigger = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.M)
            if not name.endswith("-01"):
                others += total
            elif trigger:
                counts[trigger.group(1)] = total
        return counts, others


def main():
    if shutil.which("valgrind") is None:
        print("1..0 # SKIP valgrind is not installed")
        return 0
    added = {}
    for arguments, spans, what in ((), SPANS, "span"), (("other",), COUNT + 64, "new span"), \
            (("sql",), STATEMENTS, "statement"), (("new",), COUNT + 64, "new statement"), \
            (("sqlite",), COUNT + 64, "statement of SQLite"):
        bare, _ = instructions("", *arguments)
        traced, exporter = instructions(LIBRARY, *arguments)
        added.update({name: (traced[name] - bare[name]) / COUNT for name in bare})
        added[what + " told, encoded and stored"] = exporter / spans
    failed = 0
    print(f"1..{len(BUDGETS)}")
    for number, (name, budget) in enumerate(BUDGETS.items(), 1):
        if name not in added:
            print(f"ok {number} - {name} # SKIP there is no libsqlite3")
            continue
        holds = 0 < added[name] <= budget
        failed += not holds
        print(f"{'ok' if holds else 'not ok'} {number} - {name}: {added[name]:.0f} instructions "
              f"more, at most {budget}")
    return failed != 0


sys.exit(main())
