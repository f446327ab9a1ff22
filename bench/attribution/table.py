# SPDX-License-Identifier: Apache-2.0
"""How the scores are said: a markdown table per concurrency."""
import os
import statistics
from types import SimpleNamespace

import baselines
import score

MARKS = "<!-- bench/attribution: begin -->", "<!-- bench/attribution: end -->"
COLUMNS = ("workload", "cell", "calls", "strangers", "wrong, %", "precision, %",
           "recall, % (95 %)", "worst run, %", "trees, %", "arrived P / R, %", "links, % (mean)",
           "self-check, %", "by thread, % (strangers)", "by fd and thread, % (strangers)",
           "first come, % (strangers)", "its SDK, % (strangers)", "CPU, us bare / traced", "p99, ms bare / traced")


def percent(share, digits=2):
    """Never rounded up to 100."""
    if share is None:
        return "-"
    text = "%.*f" % (digits, 100 * share)
    return "99.%s" % ("9" * digits) if share < 1 and float(text) == 100 else \
        "100" if share == 1 else text


def head(concurrency, arguments):
    return ["### Concurrency %d" % concurrency, "",
            "%d calls a cell and run, %d runs; the backend answers after %s us." % (
                arguments.calls // (10 if concurrency == 1 else 1), arguments.runs,
                arguments.delay.replace(",", " to ")), "",
            "| %s |" % " | ".join(COLUMNS), "|" + "---|" * len(COLUMNS)]


def total(results):
    """The counts of all runs as one; the interval is that of all their calls."""
    names = [name for name, value in vars(results[0].counts).items() if isinstance(value, int)]
    return score.figures(SimpleNamespace(**{
        name: sum(getattr(result.counts, name) for result in results) for name in names}))


def failed(results):
    bad = sum(result.load["failures"] + result.load["requests"] - result.load["answered"]
              for result in results)
    return "; %d requests failed" % bad if bad else ""


def both(results, figure, form):
    """Of the runs without Burdock, and with."""
    bare = [figure(result.bare) for result in results if result.bare]
    return "%s / %s" % (form % statistics.median(bare) if bare else "-",
                        form % statistics.median(map(figure, results)))


def share(counts):
    """Recall and strangers of a rule that is not ours."""
    return "%s (%d)" % (
        percent(score.ratio(sum(one.right for one in counts), sum(one.calls for one in counts))),
        sum(one.strangers for one in counts)) if counts else "-"


def line(row, cell, results):
    first = ["%s %s" % (row.number, row.name), cell]
    if isinstance(results, str):
        return "| %s |" % " | ".join(first + [results] + [""] * (len(COLUMNS) - 3))
    every = total(results)
    checks = [result.selfcheck for result in results if result.selfcheck is not None]
    cells = first + [
        str(sum(result.counts.calls for result in results)) + failed(results),
        str(sum(result.counts.strangers for result in results)),
        percent(every.wrong), percent(every.precision),
        "%s (%s to %s)" % (percent(every.recall), *map(percent, every.interval)),
        percent(min((score.figures(result.counts).recall or 0) for result in results)),
        percent(every.trees),
        "%s / %s" % (percent(every.arrived_precision), percent(every.arrived_recall)),
        "-" if every.link_recall is None else "%s (%.1f)" % (
            percent(every.link_recall), every.mean_links or 0),
        percent(statistics.mean(checks)) if checks else "-",
        *(share([result.others[rule] for result in results if result.others])
          for rule in baselines.RULES),
        share([result.sdk for result in results if result.sdk]),
        both(results, lambda result: result.cpu_us, "%.0f"),
        both(results, lambda result: result.load["p99"] / 1000, "%.1f")]
    return "| %s |" % " | ".join(cells)


def write(path, text):
    """Between the marks of a file; one that is absent, or has none, gets them at its end."""
    old = "<!-- SPDX-License-Identifier: Apache-2.0 -->\n# Attribution\n"
    if os.path.exists(path):
        with open(path) as file:
            old = file.read()
    if MARKS[0] not in old:
        old = "%s\n%s\n%s\n" % (old, *MARKS)
    before, _, rest = old.partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    with open(path, "w") as file:
        file.write("%s%s\n\n%s\n\n%s%s" % (before, MARKS[0], text, MARKS[1], after))
