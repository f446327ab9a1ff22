# SPDX-License-Identifier: Apache-2.0
"""That the comparison finds what it is for: suites made up here, some of which feel a preload.

test_compare.py LIBRARY
"""
import re
import sys
import tempfile

import compare
import rows
import sources

LIBRARY = sys.argv[1]
count = failed = 0


def equal(got, wanted, what):
    global count, failed
    count += 1
    failed += got != wanted
    print(f"{'ok' if got == wanted else 'not ok'} {count} - {what}")
    if got != wanted:
        print(f"#   got    {got!r}\n#   wanted {wanted!r}")


def suite(script, **more):
    """Of tests a and b, from a script that may look at $RUN, 0 to 3."""
    run = iter(range(4))
    return rows.Suite(
        "made-up", (), {}, short={}, **more,
        command=lambda place, unit, only: ["sh", "-c", f"RUN={next(run)}\n{script}"],
        parse=lambda place, text: dict(re.findall(r"(?m)^([ab]) (.*)", text)))


def verdict(script, **more):
    with tempfile.TemporaryDirectory() as home:
        found, _, _ = compare.compare(suite(script, **more), home, LIBRARY, ())
        return {kind: sorted(getattr(found, kind)) for kind in ("lasting", "flaky", "once")
                if getattr(found, kind)}


compare.adopt_orphans()
TRACED = '[ -n "$LD_PRELOAD" ]'
equal(verdict("echo a ok; echo b failed"), {}, "the same results, failures among them")
equal(verdict(f"echo a ok; {TRACED} && echo b failed || echo b ok"), {"lasting": ["b"]},
      "a test that fails under the library only")
equal(verdict(f"echo a ok; {TRACED} || echo b ok"), {"lasting": ["b"]},
      "a test that is missing under the library")
equal(verdict("[ $RUN = 1 ] && echo a failed || echo a ok"), {"once": ["a"]},
      "a difference that does not come again")
equal(verdict("[ $RUN = 0 ] && echo a failed || echo a ok"), {"flaky": ["a"]},
      "a test that changes without the library")
equal(verdict(f"echo a ok; ! {TRACED} || exit 3"), {"lasting": [compare.STATUS]},
      "another exit status")
equal(verdict(f"echo a ok; ! {TRACED} || kill -SEGV $$"), {"lasting": [compare.STATUS]},
      "a death by a signal")
equal(verdict(f"echo a ok; ! {TRACED} || setsid sleep 100 &"), {"lasting": [compare.LEFT]},
      "a process that is left under the library")
equal(verdict(f"echo a ok; ! {TRACED} || sleep 100", limit=2), {"lasting": [compare.STATUS]},
      "a unit that does not end under the library")
equal(verdict("echo a $(id -u) $(echo >file && echo wrote)", as_nobody=True), {},
      "a unit that runs as nobody, in a directory of its own")

LIBRARY = "/dev/null"  # the loader complains and goes on
equal(verdict("echo a ok"), {"lasting": [compare.STATUS, "a"]}, "a library that was not loaded")

equal(sources.as_sources("deb [trusted=yes] http://a b c\n# deb x\ndeb-src http://a b c\n"),
      "deb-src [trusted=yes] http://a b c\n# deb x\ndeb-src http://a b c\n",
      "a list entry of one line")
equal(sources.as_sources("Types: deb deb-src\nURIs: http://a\n"),
      "Types: deb-src\nURIs: http://a\n", "a list entry of fields")
print(f"1..{count}")
sys.exit(1 if failed else 0)
