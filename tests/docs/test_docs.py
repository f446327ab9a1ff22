#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The pages that list what tables of the source hold, against those tables. Prints TAP."""
import glob
import os
import re
import sys

SOURCE = os.environ.get("BURDOCK_SOURCE") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "../.."))
PAGES = ["README.md"] + sorted(
    os.path.relpath(path, SOURCE) for path in glob.glob(os.path.join(SOURCE, "docs/*.md")))
# Path-like words that are files of this repository, in backquotes, prose and links alike.
PLACES = r"(?:bench|carriers|cli|docs|hooks|preload|protocols|runtime|tests)/[\w./-]*\w\.\w+"
EXAMPLES = r"posix_vectored|redis"  # what the HOWTOs tell the reader to write

failures = count = 0


def check(problems, what):
    global failures, count
    count += 1
    print("%s %d - %s" % ("not ok" if problems else "ok", count, what))
    for problem in problems:
        print("#   " + problem)
    failures += bool(problems)


def read(name):
    with open(os.path.join(SOURCE, name), encoding="utf-8") as file:
        return file.read()


def rows(page):
    """The first cell of every row of the page's tables, where it is one word in backquotes."""
    return re.findall(r"^\| `([^` ]+)` \|", read(page), re.M)


def missing_and_more(wanted, found, may_be_more=()):
    return (["no row for " + name for name in wanted if name not in found] +
            ["a row for %s, which does not exist" % name for name in found
             if name not in wanted and name not in may_be_more] +
            ["two rows for " + name for name in sorted(set(found)) if found.count(name) > 1])


def compare_variables():
    library = re.findall(r'^VARIABLE\("(\w+)"', read("runtime/variables.def"), re.M)
    command = set()
    for path in glob.glob(os.path.join(SOURCE, "cli/*.c")):
        command.update(re.findall(r'(?:getenv|is_set)\("(\w+)"\)', read(path)))
    wanted = library + sorted(command - set(library))
    check([] if len(library) > 20 else ["%d rows in variables.def" % len(library)],
          "the table of variables can be read")
    check(missing_and_more(wanted, rows("docs/CONFIGURATION.md")),
          "docs/CONFIGURATION.md has a row for every variable")


def compare_counters():
    wanted = re.findall(r'^(?:COUNTER|LOSS)\(\w+, "([\w.]+)"', read("runtime/counters.def"), re.M)
    found = [name for name in rows("docs/TROUBLESHOOTING.md") if re.fullmatch(r"[a-z_]+\.[\w.]+", name)]
    check([] if len(wanted) > 10 else ["%d rows in counters.def" % len(wanted)],
          "the table of counters can be read")
    check(missing_and_more(wanted, found), "docs/TROUBLESHOOTING.md has a row for every counter")


def check_references():
    for page in PAGES:
        named = set(re.findall(r"(?<![\w/.])" + PLACES, read(page)))
        linked = {link for link in re.findall(r"\]\(([^)#:]+)\)", read(page))}
        gone = [path for path in sorted(named) if not re.search(EXAMPLES, path) and
                not os.path.exists(os.path.join(SOURCE, path))]
        gone += [path for path in sorted(linked) if not os.path.exists(
            os.path.join(SOURCE, os.path.dirname(page), path))]
        check(["names %s, which is not there" % path for path in gone],
              page + " names only files that exist")


def tests_in(path):
    """The names of the tests in a file, as docs/FAILURE_MODES.md gives them."""
    text = read(path)
    if path.endswith(".txt"):
        return set(re.findall(r"^== (.*)$", text, re.M))
    if path.endswith(".py"):
        return set(re.findall(r"^def (?:test_)?(\w+)", text, re.M))
    return set(re.findall(r'"(\w+)[" ]', text))


def check_failure_modes():
    page = "docs/FAILURE_MODES.md"
    rows = re.findall(r"^\| (?!fault|---)(.*?) \| (.*) \|$", read(page), re.M)
    problems = []
    for fault, answer in rows:
        named = re.findall(r"`((?:tests|protocols)/[\w/.]+)`: ([^`;.|]+)", answer)
        if not named and not answer.startswith(("Cannot apply: ", "Known limit: ")):
            problems.append("neither test nor reason: " + fault)
        for path, names in named:
            problems += ["%s has no %s" % (path, name) for name in names.strip().split(", ")
                         if name not in tests_in(path)]
    check(problems if len(rows) > 60 else ["%d rows" % len(rows)],
          page + " names tests that exist, or a reason")


compare_variables()
compare_counters()
check_references()
check_failure_modes()
print("1..%d" % count)
sys.exit(1 if failures else 0)
