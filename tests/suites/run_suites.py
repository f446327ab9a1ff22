#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The hosts' own test suites, each unit bare and under the library, compared test by test.

run_suites.py packages [--short]                    prints each suite and its Debian packages
run_suites.py prepare [--short]                     fetches and builds sources, into build/suites
run_suites.py run [--short] [SUITE | SUITE/UNIT]... prints TAP, a result for each unit
"""
import os
import subprocess
import sys

import compare
import rows
import sources

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.environ.get("BURDOCK_BUILD") or os.path.join(SOURCE, "build")
LIBRARY = os.path.join(BUILD, "preload/libburdock.so")
BASE = os.path.join(BUILD, "suites")
DETAILS_MAX = 30


def chosen(suite, short, wanted):
    """Units of a suite with their arguments."""
    units = suite.short if short else suite.units
    return {unit: arguments for unit, arguments in units.items()
            if not wanted or suite.name in wanted or f"{suite.name}/{unit}" in wanted}


def missing_package(suite):
    for package in suite.packages:
        if subprocess.run(["dpkg-query", "-W", "-f=${Status}", package], capture_output=True,
                          text=True).stdout != "install ok installed":
            return package
    return None


def why_not(suite):
    package = missing_package(suite)
    if package:
        return f"{package} is not installed"
    if not os.path.exists(os.path.join(sources.home(suite, BASE), "ready")):
        return "its source could not be had; run_suites.py prepare tells why"
    return None


def note(kind, differences):
    for name, text in list(differences.items())[:DETAILS_MAX]:
        print(f"# {kind}: {name}: {text}")
    if len(differences) > DETAILS_MAX:
        print(f"# {kind}: {len(differences) - DETAILS_MAX} more")


def keep(label, texts):
    """The outputs of a unit, for whoever looks into a difference."""
    directory = os.path.join(BASE, "output")
    os.makedirs(directory, exist_ok=True)
    for kind, text in zip(("bare", "traced"), texts):
        with open(os.path.join(directory, f"{label.replace('/', '-')}.{kind}"), "w") as file:
            file.write(text)


def run_unit(number, suite, unit, arguments):
    label = f"{suite.name}/{unit}"
    reason = why_not(suite)
    if reason:
        print(f"ok {number} - {label} # SKIP {reason}", flush=True)
        return True
    verdict, *texts = compare.compare(suite, sources.home(suite, BASE), LIBRARY, arguments)
    keep(label, texts)
    counts = verdict.counts()
    holds = not verdict.lasting and sum(counts.values()) > 0
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    print(f"{'ok' if holds else 'not ok'} {number} - {label}: {sum(counts.values())} tests "
          f"({said or 'none'}), {len(verdict.lasting)} differ")
    note("differs", verdict.lasting)
    note("not stable bare", verdict.flaky)
    note("differed once", verdict.once)
    sys.stdout.flush()
    return holds


def prepare(suites):
    """What one suite lacks does not keep the others from being prepared."""
    failed = 0
    for suite in suites:
        try:
            sources.prepare(suite, BASE)
        except (subprocess.CalledProcessError, RuntimeError, OSError, ValueError) as error:
            print(f"{suite.name}: {error}", file=sys.stderr)
            failed = 1
    return failed


def main():
    verb, *words = sys.argv[1:] or ["run"]
    short = "--short" in words
    wanted = [word for word in words if not word.startswith("--")]
    suites = [suite for suite in rows.SUITES if chosen(suite, short, wanted)]
    if verb == "packages":
        for suite in suites:
            print(suite.name, *suite.packages)
        return 0
    if verb == "prepare":
        return prepare(suites)
    compare.adopt_orphans()
    failed = number = 0
    for suite in suites:
        for unit, arguments in chosen(suite, short, wanted).items():
            number += 1
            failed += not run_unit(number, suite, unit, arguments)
    print(f"1..{number}")
    return 1 if failed else 0


sys.exit(main())
