# SPDX-License-Identifier: Apache-2.0
"""Results of a test, as lines of TAP (Test Anything Protocol) that can be read while it runs."""
count = failures = 0


def check(holds, what, detail=None):
    """One result. The detail is printed when it fails."""
    global count, failures
    count += 1
    failures += not holds
    print("%s %d - %s" % ("ok" if holds else "not ok", count, what.replace("#", "no. ")))
    for line in str(detail).splitlines()[:40] if not holds and detail is not None else []:
        print("#   " + line[:600])
    print(end="", flush=True)
    return bool(holds)


def skip(what, reason):
    global count
    count += 1
    print("ok %d - %s # SKIP %s" % (count, what, reason), flush=True)


def end():
    """The plan; answers the status to exit with."""
    print("1..%d" % count, flush=True)
    return 1 if failures else 0
