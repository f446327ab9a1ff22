#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Is each outgoing call under the request that caused it? Servers of many kinds are loaded, what
they called is logged behind them, and the spans are held against the log.

    bench/attribution/run.py --install                    # what the workloads need, as root
    bench/attribution/run.py                              # every cell, five runs: hours
    bench/attribution/run.py --runs 1 W6                  # nginx
    bench/attribution/run.py --runs 1 -c 128 W6/kept      # one cell
    BURDOCK_CARRIERS=node bench/attribution/run.py W11    # with that runtime's carrier
    bench/attribution/run.py --write docs/ATTRIBUTION.md  # the tables, between two marks

See score.py for what is counted. A cell whose program is not installed, or whose protocol Burdock
makes no spans of, is in the table as such.
"""
import argparse
import os
import signal
import sys
import traceback

parser = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--build", default="build")
parser.add_argument("-c", "--concurrency", default="1,16,128")
parser.add_argument("--calls", type=int, default=5000, help="calls of a cell (a tenth if alone)")
parser.add_argument("--runs", type=int, default=5)
parser.add_argument("--delay", default="1000,12000", help="of the backend: least and most us")
parser.add_argument("--cold", action="store_true", help="no warm-up: how pools are filled is seen")
parser.add_argument("--no-bare", action="store_true", help="no CPU of the program without Burdock")
parser.add_argument("--no-others", action="store_true", help="no rules of others beside ours")
parser.add_argument("--strangers", type=int, default=3, help="how many to describe per cell")
parser.add_argument("--write", metavar="FILE", help="puts the tables there, between the marks")
parser.add_argument("--list", action="store_true")
parser.add_argument("--install", action="store_true", help="Debian's packages, and clients by npm")
parser.add_argument("cells", nargs="*", help="W6, W6/kept; all if none is named")


def main():
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # scenes end what they started
    os.environ["BURDOCK_BUILD"] = os.path.abspath(arguments.build)
    import table
    import workloads
    if arguments.install:
        return workloads.install()
    rows = [(row, cell) for row in workloads.fill() for cell in row.cells
            if not arguments.cells or row.number in arguments.cells or
            "%s/%s" % (row.number, cell) in arguments.cells]
    if arguments.list:
        for row, cell in rows:
            print("%-14s %s%s" % ("%s/%s" % (row.number, cell), row.name,
                                  "".join("; needs " + need for need in workloads.missing(row, cell))))
        return
    if not rows:
        sys.exit("no such cell: %s" % " ".join(arguments.cells))
    tables = []
    for concurrency in map(int, arguments.concurrency.split(",")):
        lines = table.head(concurrency, arguments)
        print("\n".join(lines), flush=True)
        for row, cell in rows:
            lines.append(table.line(row, cell, results_of(row, cell, concurrency, arguments)))
            print(lines[-1], flush=True)
        tables.append("\n".join(lines))
    if arguments.write:
        table.write(arguments.write, "\n\n".join(tables))


def results_of(row, cell, concurrency, arguments):
    """The runs of a cell, each with its bare companion; or a text: why there are none."""
    import cell as cells
    import workloads
    lacking, of = workloads.missing(row, cell), row.cells[cell]
    if lacking:
        return "not installed: " + ", ".join(lacking)
    if of.protocol not in workloads.RECORDED:
        return "no protocol yet: " + of.protocol
    calls = arguments.calls // 10 if concurrency == 1 else arguments.calls
    requests = max(1, -(-calls // of.calls))
    delay = tuple(map(int, arguments.delay.split(",")))
    results = []
    try:
        for _ in range(arguments.runs):
            result = cells.play(row, cell, concurrency, requests, True, delay, arguments.cold)
            result.bare = None if arguments.no_bare else \
                cells.play(row, cell, concurrency, requests, False, delay)
            result.others = {} if arguments.no_others else \
                cells.play_others(row, cell, concurrency, requests, delay)
            result.sdk = None if arguments.no_others else \
                cells.play_sdk(row, cell, concurrency, requests, delay)
            results.append(result)
            tell(row, cell, concurrency, result, arguments)
    except Exception:
        traceback.print_exc()
        return "did not run"
    return results


def tell(row, cell, concurrency, result, arguments):
    """What a reader of the table should know of a run, to stderr."""
    name = "%s/%s at %d" % (row.number, cell, concurrency)
    load, counts = result.load, result.counts
    if load["failures"] or load["answered"] < load["requests"]:
        print("%s: %d of %d answered, %d wrongly: %s" % (
            name, load["answered"], load["requests"], load["failures"], load["first_failure"]),
            file=sys.stderr)
    for span, root in counts.examples[:arguments.strangers]:
        print("%s: stranger: %s below %s by %s" % (
            name, span.attributes.get("url.full", span.name),
            root.attributes.get("url.path") if root else "nobody (%s)" % span.parent,
            span.attributes.get("burdock.attribution")), file=sys.stderr)
    odd = {counter: count for counter, count in result.counters.items() if count and
           counter.startswith(("spans.dropped", "spans.abandoned", "connections.", "observe."))}
    if odd:
        print("%s: counters: %s" % (name, odd), file=sys.stderr)


if __name__ == "__main__":
    main()
