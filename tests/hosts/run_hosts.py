#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Victims, each run bare and under the library: same output, same status, and in time. Prints TAP.

run_hosts.py LIBRARY FAULTS BURDOCK PLUGIN VICTIM...   HOSTS_SEED: first seed (printed when a case fails)
"""
import collections
import glob
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tap

LIBRARY, FAULTS, BURDOCK, PLUGIN, *VICTIMS = sys.argv[1:]
VICTIM = {os.path.basename(path): path for path in VICTIMS}
SEED = int(os.environ.get("HOSTS_SEED", "1"))
WORK = tempfile.mkdtemp(prefix="burdock-hosts-")
os.chmod(WORK, 0o755)  # some victims become nobody


def report(holds, what, details=""):
    tap.check(holds, what, "\n".join(str(details).splitlines()[-12:]))


def environment(preload, extra):
    env = {key: value for key, value in os.environ.items()
           if not key.startswith(("OTEL_", "BURDOCK_", "LD_", "HOST_"))}
    run = os.path.join(WORK, str(tap.count))
    for name in ("store", "rings"):
        os.makedirs(os.path.join(run, name), exist_ok=True)
        os.chmod(os.path.join(run, name), 0o1777)
    # Every span is counted, so an end waits for its last batch however slow the disk is; that none
    # waits without need is the time's question.
    env.update(BURDOCK_STORE=os.path.join(run, "store"), BURDOCK_DIR=os.path.join(run, "rings"),
               BURDOCK_EXIT_TIMEOUT="20000", **extra)
    if preload:
        env["LD_PRELOAD"] = ":".join(preload)
    if LIBRARY in preload:
        env["HOST_TRACED"] = "1"
    return env


def run(command, preload, extra, limit):
    start = time.monotonic()
    try:
        done = subprocess.run(command, env=environment(preload, extra), timeout=limit,
                              stdin=subprocess.DEVNULL, capture_output=True)
        answer = (done.returncode, done.stdout, done.stderr)
    except subprocess.TimeoutExpired as late:
        answer = ("timeout", late.stdout or b"", late.stderr or b"")
    return answer, time.monotonic() - start


KINDS = {2: "SERVER", 3: "CLIENT"}


def spans(run_number):
    """What the victim's store holds after its end."""
    env = environment([], {})
    env["BURDOCK_STORE"] = os.path.join(WORK, str(run_number), "store")
    done = subprocess.run([BURDOCK, "export", "--json", "-"], env=env, capture_output=True)
    return [span for line in done.stdout.splitlines() for resource in
            json.loads(line).get("resourceSpans", []) for scope in resource["scopeSpans"]
            for span in scope["spans"]]


def kinds_of(found):
    """How many there are of which kind and status."""
    counts = collections.Counter()
    for span in found:
        status = [attribute["value"]["intValue"] for attribute in span["attributes"]
                  if attribute["key"] == "http.response.status_code"]
        counts[f"{KINDS.get(span['kind'])}/{(status or ['none'])[0]}"] += 1
    return dict(counts)


def files(run_number):
    """Names and sizes of what a victim left, for a failure's report."""
    left = []
    for directory, _, names in os.walk(os.path.join(WORK, str(run_number))):
        left += [(name, os.path.getsize(os.path.join(directory, name))) for name in names]
    return left


COUNTERS_AT = 448  # in a ring file: runtime/ring.h


def counters(run_number):
    """The counters of a victim that was killed: those of its ring file."""
    with open(os.path.join(os.path.dirname(__file__), "../../runtime/counters.def")) as lines:
        names = [line.split('"')[1] for line in lines if line.startswith(("COUNTER(", "LOSS("))]
    for path in glob.glob(os.path.join(WORK, str(run_number), "rings", "burdock-*.ring")):
        with open(path, "rb") as file:
            file.seek(COUNTERS_AT)
            data = file.read(8 * len(names))
            if len(data) == 8 * len(names):
                return dict(zip(names, struct.unpack(f"<{len(names)}Q", data)))
    return {}


def compare(what, command, faults=False, extra=None, limit=60, library=None, expect_spans=None):
    below = [FAULTS] if faults else []
    extra = dict(extra or {})
    if faults:
        extra["FAULTS"] = "3"
    number = tap.count
    bare, bare_time = run(command, below, extra, limit)
    traced, traced_time = run(command, (library or [LIBRARY]) + below, extra, limit)
    holds = bare[:2] == traced[:2]
    details = f"{' '.join(command)}\nbare {bare}\ntraced {traced}"
    if holds and traced_time > bare_time * 4 + 5:
        holds, details = False, f"{traced_time:.2f} s for {bare_time:.2f} s bare"
    if holds and expect_spans is not None:
        count, kinds, counted = expect_spans
        values = counters(number)
        found = spans(number)
        holds = len(found) == count and (not kinds or kinds_of(found) == kinds) and \
            all(values.get(name) == value for name, value in counted.items())
        details = f"{len(found)} spans, {kinds_of(found)}, {values} for {expect_spans}"
        details += f"\n{traced_time:.2f} s\n{files(number)}\n{traced}"
    report(holds, what, details)


INJECTION = [
    "", "unix", "nonblocking", "edge", "edge tiny", "edge tiny unix", "alarm", "alarm unix tiny",
    "bytes", "bytes nonblocking unix", "sendfile", "sendfile alarm unix", "sendfile edge tiny",
    "sendfile nonblocking unix",
]


def test_injection():
    for number, options in enumerate(INJECTION):
        for seed in (SEED + 2 * number, SEED + 2 * number + 1):
            count = "300" if "bytes" in options else "800"
            command = [VICTIM["inject_client"], str(seed), count, *options.split()]
            compare(f"injection: {options or 'blocking'}, seed {seed}", command)


def test_injection_with_faults():
    for number, options in enumerate(INJECTION):
        if "edge" in options or "alarm" in options:
            continue  # a made-up EAGAIN is followed by no edge
        command = [VICTIM["inject_client"], str(SEED + number), "300", *options.split()]
        compare(f"injection with faults: {options or 'blocking'}, seed {SEED + number}", command,
                faults=True)


def expectation(words):
    """"12 SERVER/200=10 SERVER/404=2": a count and, perhaps, how it divides, and counters."""
    if not words:
        return None
    pairs = {name: int(count) for name, count in (word.split("=") for word in words[1:])}
    return (int(words[0]), {name: pairs[name] for name in pairs if "/" in name},
            {name: pairs[name] for name in pairs if "/" not in name})


def lay_out_plugins():
    """libcaller.so's RUNPATH leads to nested/, and nothing else does."""
    os.makedirs(os.path.join(WORK, "plugins/nested"))
    shutil.copy(PLUGIN, os.path.join(WORK, "plugins/libcaller.so"))
    shutil.copy(PLUGIN, os.path.join(WORK, "plugins/nested/libnested.so"))
    

def test_cases(victim):
    listed = subprocess.run([VICTIM[victim], "--list"], capture_output=True, text=True)
    lines = [line.split() for line in listed.stdout.splitlines()]
    report(len(lines) > 0, f"{victim}: has cases")
    for name, *expected in lines:
        compare(f"{victim}: {name}", [VICTIM[victim], name], expect_spans=expectation(expected),
                extra={"OTEL_BSP_SCHEDULE_DELAY": "50",
                       "HOST_PLUGINS": os.path.join(WORK, "plugins")}, limit=20)


def test_hazards():
    copy = shutil.copy(LIBRARY, os.path.join(WORK, "libburdock-copy.so"))
    for name, spans in (("exchanges", 10), ("vforks", 12), ("forks", 1020)):
        command = [VICTIM["processes" if "fork" in name else "hazards"], name]
        compare(f"{name}: library listed twice", command, library=[LIBRARY, LIBRARY],
                expect_spans=(spans, {}, {}))
        for order in ([LIBRARY, copy], [copy, LIBRARY], [LIBRARY, FAULTS, copy]):
            compare(f"{name}: two copies, {' '.join(map(os.path.basename, order))}", command,
                    library=order, expect_spans=(spans, {}, {}))
    compare("bound at once", [VICTIM["hazards"], "exchanges"], extra={"LD_BIND_NOW": "1"})
    compare("new loops of old numbers, isolated", [VICTIM["hazards"], "loops_anew"],
            extra={"BURDOCK_ISOLATION": "always"})


def test_every_hook():
    """No hook without a row in hooked_calls.h; those of TLS libraries are asked for by test_tls."""
    lines = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True)
    names = {line.split()[-1].split("@@")[0] for line in lines.stdout.splitlines() if " T " in line}
    exported = {name for name in names if "@" not in name} - {"burdock_is_first"}
    rows = subprocess.run([VICTIM["every_hook"], "--functions"], capture_output=True, text=True)
    called = set(rows.stdout.split())
    report(exported == called and called, f"each of {len(exported)} hooks is called under every "
           "circumstance", exported ^ called)


STACK_BYTES_MAX = 1024
# The first exchange starts the exporter's thread. What pthread_create calls is bound lazily inside
# libc, and the binder saves all vector registers on the stack.
STACK_BYTES_MAX_OF = {"write request, first": 5 * 1024}


def test_stack():
    """Bytes of the host's stack that each call takes beyond the bare one."""
    command = [VICTIM["stack_depth"]]
    bare = run(command, [], {}, 20)[0][1].decode().splitlines()
    traced = run(command, [LIBRARY], {}, 20)[0][1].decode().splitlines()
    report(len(bare) == len(traced) > 0, "the stack's depth was measured")
    for before, after in zip(bare, traced):
        name = before.partition(" ")[2]
        more = int(after.split()[0]) - int(before.split()[0])
        report(more <= STACK_BYTES_MAX_OF.get(name, STACK_BYTES_MAX),
               f"stack: {name}, {more} bytes more")


if "stack_depth" in VICTIM:
    test_stack()
if "inject_client" in VICTIM:
    test_injection()
    test_injection_with_faults()
lay_out_plugins()
for victim in ("every_hook", "hazards", "processes", "threads", "sandboxes", "servers", "own_malloc",
               "endings", "forward", "loads", "addresses", "coroutines", "versions",
               "throws"):
    if victim in VICTIM:
        test_cases(victim)
if "addresses" in VICTIM:
    compare("environments that cannot be read, followed", [VICTIM["addresses"], "environments"],
            extra={"BURDOCK_FOLLOW": "1"})
if "every_hook" in VICTIM:
    test_every_hook()
if "hazards" in VICTIM:
    test_hazards()
shutil.rmtree(WORK, ignore_errors=True)
sys.exit(tap.end())
