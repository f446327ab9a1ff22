# SPDX-License-Identifier: Apache-2.0
"""Rules of others, on calls of the C library made by hand; and what the recorder saw of one cell."""
from types import SimpleNamespace

import baselines
import cell as cells
import workloads
from baselines import CALLS, CLOSED, READ, SERVES, SOCKET, WROTE
from cell import harness
from harness import check, equal


def event(what, fd, text="", tid=1, pid=1, side=None):
    """fd below 10: a client's connection. text: b"GET u1q.0" and the like."""
    name = text.rpartition(" ")[2]
    token = [(name[0], int(name[1:name.index("q")]), int(name[-1]) if "." in name else 0)] if "q" in name else []
    return SimpleNamespace(what=what, fd=fd, tid=tid, pid=pid, side=side or (SERVES if fd < 10 else CALLS),
                           start=text.encode()[:8], tokens=token)


def played(events, *tokens):
    calls = [SimpleNamespace(tokens=(token,)) for token in tokens]
    counts = [baselines.judge(rule, events, calls) for rule in baselines.RULES.values()]
    return [(one.right, one.strangers) for one in counts]


def test_rules():
    def story(*rows):
        return [event(*row) for row in rows]
    one = (READ, 5, "GET u1q"), (READ, 6, "GET u2q")
    equal(played(story(one[0], (WROTE, 10, "GET u1q.0")), "u1q"), [(1, 0)] * 3, "read, called")
    equal(played(story(*one, (WROTE, 10, "GET u1q.0"), (WROTE, 11, "GET u2q.0")), "u1q", "u2q"),
          [(1, 1), (0, 1), (2, 0)], "two read, two called")
    answered = (one[0], (WROTE, 10, "GET u1q.0"), one[1], (READ, 10, "HTTP/1.1"), (WROTE, 10, "GET u1q.1"))
    equal(played(story(*answered), "u1q", "u1q"), [(1, 1), (2, 0), (2, 0)], "called again once answered")
    equal(played(story(one[0], (WROTE, 5, "HTTP/1.1"), (WROTE, 10, "GET u1q.0")), "u1q"),
          [(1, 0), (0, 0), (1, 0)], "called after the answer")
    equal(played(story(one[0], (WROTE, 10, "GET b1q.0"))), [(0, 1), (0, 1), (0, 0)], "nobody's")
    equal(played(story(one[0], (WROTE, 10, "GET u1q.0", 2)), "u1q"), [(0, 0), (0, 0), (1, 0)],
          "called by another thread")
    late = one[0], (SOCKET, 10, "%s"), one[1], (WROTE, 10, "GET u1q.0")
    for program, wanted in (("nginx", (1, 0)), ("other", (0, 1))):
        rows = [(what, fd, text.replace("%s", program)) for what, fd, text in late]
        equal(played(story(*rows), "u1q")[1], wanted, "a socket made before, in " + program)
    equal(played(story((READ, 5, "GET w1q"), (CLOSED, 5), (WROTE, 10, "GET w1q.0"))), [(0, 0)] * 3,
          "the warm-up is not counted")


def test_recorder():
    row = next(row for row in workloads.fill() if row.number == "W1")
    for name, counts in cells.play_others(row, "kept", 8, 200).items():
        equal(counts.calls, 400, "recorder: the backend's log, " + name)
        if name != "first come":
            equal((counts.right, counts.strangers), (400, 0), "a thread for each connection, " + name)
        else:
            check(counts.right + counts.strangers == 400, "recorder: every call is seen", counts)


if __name__ == "__main__":
    harness.main(globals())
