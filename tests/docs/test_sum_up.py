#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ./check says at its end, for logs as meson writes them. Prints TAP."""
import json
import os
import subprocess
import sys
import tempfile

SUM_UP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "sum_up.py")
GOOD = "ok 1 - one\nok 2 - two # SKIP no reason to\n1..2\n"

# (what, status of meson test, tests as (result, output), last line)
CASES = [
    ("results of TAP count one by one", 0, [("OK", GOOD), ("OK", "")], "2 passed, 0 failed, 1 skipped"),
    ("a failure counts once", 1, [("ERROR", GOOD + "not ok 3 - three\n")],
     "1 passed, 1 failed, 1 skipped"),
    ("who dies after good results has failed", 1, [("ERROR", GOOD)], "1 passed, 1 failed, 1 skipped"),
    ("and is not hidden by the failure of another", 1, [("ERROR", GOOD), ("FAIL", "not ok 1 - one\n")],
     "1 passed, 2 failed, 1 skipped"),
    ("who runs out of time has failed, with results or without", 1,
     [("TIMEOUT", GOOD), ("TIMEOUT", "")], "1 passed, 2 failed, 1 skipped"),
    ("beside what failed before", 1, [("TIMEOUT", "not ok 1 - one\n")], "0 passed, 2 failed, 0 skipped"),
    ("a whole test is skipped", 0, [("SKIP", "1..0 # SKIP no compiler\n"), ("SKIP", "")],
     "0 passed, 0 failed, 2 skipped"),
    ("all of its results are", 0, [("SKIP", "ok 1 - one # SKIP no disk\n1..1\n")],
     "0 passed, 0 failed, 1 skipped"),
    ("a run that failed without a test", 1, [("OK", GOOD)], "1 passed, 1 failed, 1 skipped"),
    ("no test at all", 0, [], "0 passed, 1 failed, 0 skipped"),
    ("no log", 0, None, "0 passed, 1 failed, 0 skipped"),
]


def last_line(status, tests, directory):
    log = os.path.join(directory, "log.json")
    if tests is not None:
        with open(log, "w") as file:
            for result, output in tests:
                file.write(json.dumps({"name": "a test", "result": result, "stdout": output}) + "\n")
    done = subprocess.run([sys.executable, SUM_UP, str(status), log], capture_output=True, text=True)
    line = done.stdout.splitlines()[-1] if done.stdout else done.stderr
    return line, done.returncode == (" 0 failed" not in line)


def main():
    failed = 0
    for number, (what, status, tests, wanted) in enumerate(CASES, 1):
        with tempfile.TemporaryDirectory() as directory:
            line, agrees = last_line(status, tests, directory)
        holds = line == wanted and agrees
        failed += not holds
        print("%s %d - %s%s" % ("ok" if holds else "not ok", number, what,
                                "" if holds else "\n# " + line))
    print("1..%d" % len(CASES))
    return failed != 0


sys.exit(main())
