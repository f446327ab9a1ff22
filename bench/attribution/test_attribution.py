# SPDX-License-Identifier: Apache-2.0
"""The benchmark's arithmetic on spans made by hand, and a selection of its cells with few requests:
no call may hang below a stranger's request, and where the rules are exact none may be missed."""
from types import SimpleNamespace

import cell as cells
import workloads
from cell import harness
from harness import check, equal, skip
from score import figures, score, wilson

CONCURRENCY, CALLS = 16, 400
EXACT = ("W1/kept", "W1/spawn", "W1/ahead", "W1/after", "W1/brief", "W1/cron", "W2/requests", "W3/builtin",
         "W5/kept", "W6/kept", "W6/late", "W6/auth", "W6/mirror", "W7/proxy", "W9/pool", "W9/sleep", "W9/timer",
         "W9/cron", "W8/plain", "W8/queue", "W20/own", "W20/shared", "W20/sleep", "W25/own",
         "W21/http", "W21/redis", "W21/once", "W25/kept", "W26/before",
         "W18/spawn", "W18/both", "W18/after", "W18/thread", "W29/thread", "W31/urllib", "W32/pool", "W33/kept", "W33/pg", "W34/fresh")
# Missed until the loop is isolated, and then not any more: calls, and the least part that is right.
ISOLATED = {"W25/put-off": (4000, 0.8), "W26/batch": (2000, 0.3)}
# Known by the memory that is handed over, or by what libcurl is at, nearly always; the least part that is
# right.
HANDED = {"W27/" + name: (CALLS, 0.9) for name in ("worker-fifo", "io-fifo", "io-lifo", "io-lockfree",
                                                   "io-function", "io-shared")}
HANDED |= {"W28/" + name: (CALLS, 0.95) for name in ("socket", "few", "perform", "mixed", "cron", "blocking",
                                                     "single")}
# Where work is put off or waits its turn it may be missed, but never be given to another.
SAFE = ("W10/http", "W10/all", "W13/timer", "W14/queue", "W19/worker-fifo", "W19/io-fifo",
        "W21/queue", "W21/mixed", "W25/queue", "W25/pipe", "W25/timer", "W26/when",
        "W26/split", "W26/streamed", "W26/mixed", "W27/io-reused", "W28/held", "W28/queue", "W15/event",
        "W15/condition", "W15/drain", "W29/event", "W29/condition", "W29/lock", "W18/jobs", "W18/event",
        "W18/condition", "W18/lock", "W32/queue", "W32/thread", "W33/queue", *ISOLATED, *HANDED)


def span(kind, identity, parent="", trace="t", place=1, links=(), **attributes):
    attributes = {name.replace("_", "."): value for name, value in attributes.items()}
    return SimpleNamespace(kind=kind, id=identity, parent=parent, trace=trace, links=list(links),
                           attributes=attributes, resource={"process.pid": place})


def call(*tokens, traceparent=None):
    return SimpleNamespace(protocol="http", k=0, tokens=tokens, traceparent=traceparent)


def counted(calls, spans, asked=2):
    counts = score(calls, spans, asked)
    return counts.right, counts.strangers, counts.trees


def test_arithmetic():
    one = span("SERVER", "1", url_path="/a/u1q")
    two = span("SERVER", "2", url_path="/a/u2q", trace="other")

    def client(token, **more):
        return span("CLIENT", "c" + token, url_full="http://x/%s.0" % token, **more)
    calls = [call("u1q"), call("u2q")]
    good = [one, two, client("u1q", parent="1"), client("u2q", parent="2", trace="other")]
    equal(counted(calls, good), (2, 0, 2), "score: each below its own")
    equal(counted(calls, good[:3]), (1, 0, 1), "score: a call without a span is missed")
    equal(counted(calls, good[:3] + [client("u2q", trace="new")]), (1, 0, 1),
          "score: a root is missed, not wrong")
    equal(counted(calls, good[:3] + [client("u2q", parent="1")]), (1, 1, 1),
          "score: another's parent is a stranger")
    equal(counted(calls, good[:3] + [client("u2q", parent="9")]), (1, 1, 1),
          "score: so is a parent that nobody exported")
    equal(counted(calls, good[:3] + [client("u2q", parent="2", trace="other", place=2)]), (1, 1, 1),
          "score: so is one of another process")
    equal(counted(calls, good + [client("u1q", parent="1")]), (2, 0, 2),
          "score: a right span that no log knows is not counted")
    equal(counted(calls + [call("u1q")], good), (2, 0, 1), "score: a second call needs its own span")
    equal(counted(calls, good + [client("b1q")]), (2, 0, 2), "score: a timer's call is a root")
    equal(counted(calls, good + [client("b1q", parent="1")]), (2, 1, 1),
          "score: below a request it is a stranger")


def test_arithmetic_of_links():
    one, two = span("SERVER", "1", url_path="/a/u1q"), span("SERVER", "2", url_path="/a/u2q")
    merged = dict(url_full="http://x/u1q,u2q")
    both = [("t", "1"), ("t", "2")]
    calls = [call("u1q", "u2q")]
    equal(counted(calls, [one, two, span("CLIENT", "c", links=both, **merged)]), (1, 0, 2),
          "score: a merged call with links to all of its requests")
    equal(counted(calls, [one, two, span("CLIENT", "c", "1", links=both[1:], **merged)]), (1, 0, 2),
          "score: or with one as parent")
    equal(counted(calls, [one, two, span("CLIENT", "c", "1", **merged)]), (0, 0, 0),
          "score: a merged call that lacks one is missed")
    other = span("SERVER", "3", url_path="/a/u3q")
    equal(counted(calls, [one, two, other, span("CLIENT", "c", "3", links=both, **merged)]),
          (0, 1, 0), "score: one that has another's is a stranger")
    lone = span("CLIENT", "c", trace="new", links=both, url_full="http://x/u1q.0")
    found = figures(score([call("u1q")], [one, two, lone], 1))
    equal((found.recall, found.link_recall, found.mean_links), (0.0, 1.0, 2.0),
          "score: a root with links to candidates")


def test_arithmetic_of_what_arrived():
    one = span("SERVER", "1", url_path="/a/u1q")
    two = span("SERVER", "2", url_path="/a/u2q", trace="other")
    client = span("CLIENT", "c", "1", url_full="http://x/u1q.0")

    def arrived(trace, parent, *spans):
        text = "00-%s-%s-01" % (trace, parent)
        counts = score([call("u1q", traceparent=text)], [one, two, *spans], 1)
        return counts.arrived_right, counts.arrived_strangers
    equal(arrived("t", "c", client), (1, 0), "score: the traceparent of the call")
    equal(arrived("t", "x", client), (0, 1), "score: of no exported call")
    wrong = span("CLIENT", "c", "2", "other", url_full="http://x/u1q.0")
    equal(arrived("other", "c", wrong), (0, 1), "score: of a stranger's trace")
    root = span("CLIENT", "c", "", "new", url_full="http://x/u1q.0")
    equal(arrived("new", "c", root), (0, 0), "score: of a new trace")
    low, high = wilson(0, 100)
    check(low == 0 and abs(high - 0.037) < 0.001, "score: Wilson's interval", (low, high))


def test_cells():
    for row in workloads.fill():
        for name in row.cells:
            title = "%s/%s" % (row.number, name)
            if title not in EXACT + SAFE:
                continue
            if workloads.missing(row, name):
                skip(title, "not installed: " + " ".join(workloads.missing(row, name)))
            else:
                play(title, row, name)


def play(title, row, name):
    calls, least = {**ISOLATED, **HANDED}.get(title, (CALLS, 0))
    result = cells.play(row, name, CONCURRENCY, calls // row.cells[name].calls)
    load, counts = result.load, result.counts
    equal((load["answered"], load["failures"]), (load["requests"], 0), title + ": all is answered")
    equal([(each.attributes["url.full"], root and root.attributes["url.path"])
           for each, root in counts.examples], [], title + ": no stranger")
    equal(counts.arrived_strangers, 0, title + ": no stranger's identifiers arrive")
    if title in EXACT:
        told = counts.calls if row.cells[name].protocol == "http" else 0
        equal(counts.right, counts.calls, title + ": each call has its parent, in its span")
        if row.cells[name].protocol == "http":
            equal(counts.arrived_right, counts.calls, title + ": and in what arrived")
    else:
        equal(counts.spans, counts.calls, title + ": each call has its span")
    if least:
        check(counts.right >= least * counts.calls, "%s: %d of %d calls have their parent"
              % (title, counts.right, counts.calls))


if __name__ == "__main__":
    harness.main(globals())
