# SPDX-License-Identifier: Apache-2.0
"""Runs a unit of a suite bare and under the library, and compares test by test.

Results are {name: outcome}; a test that has none is "absent". What differs is run again, both ways:
it counts if the library's result stays another than the bare one, and the bare one stays the same.
"""
import collections
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36
ABSENT = "absent"
STATUS = "(exit status)"
LEFT = "(processes left)"

# The library must really be in the program: a preload that the loader passes over is only a line on
# stderr.
LAUNCH = ["sh", "-c", '[ -z "$LD_PRELOAD" ] || grep -qF "$LD_PRELOAD" /proc/self/maps || exit 99; '
                      'exec "$@"', "launch"]
NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def adopt_orphans():
    """Daemons that a unit leaves become our children, so that they can be told and ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap(until):
    """True if no child is left, waiting for that until the given time."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.02)


def children():
    """Of this process, with their names."""
    with open(f"/proc/self/task/{os.getpid()}/children") as list_:
        pids = [int(pid) for pid in list_.read().split()]
    found = {}
    for pid in pids:
        with open(f"/proc/{pid}/comm") as name:
            found[pid] = name.read().strip()
    return found


def end_what_is_left():
    """The names of processes that outlive the unit by more than a moment."""
    names = []
    while not reap(time.monotonic() + (5 if not names else 0.2)):
        for pid, name in children().items():
            names.append(name)
            os.kill(pid, signal.SIGKILL)
    return " ".join(sorted(names)) or "none"


class Place:
    """A directory for one run of a unit."""

    def __init__(self, suite, home, library):
        self.suite, self.home, self.source = suite, home, os.path.join(home, "source")
        self.path = tempfile.mkdtemp(prefix="burdock-suite-")
        for name in ("tmp", "store", "rings"):
            os.mkdir(os.path.join(self.path, name))
        self.library = library and shutil.copy(library, self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def environment(self):
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self.path, "TMPDIR": os.path.join(self.path, "tmp"), "LC_ALL": "C.UTF-8",
            "SOURCE": self.source, **self.suite.environment}
        if self.library:
            environment.update(LD_PRELOAD=self.library,
                               BURDOCK_STORE=os.path.join(self.path, "store"),
                               BURDOCK_DIR=os.path.join(self.path, "rings"))
        return environment

    def give_away(self):
        """To nobody: what runs as nobody reads and writes here."""
        for directory, _, names in os.walk(self.path):
            for name in [".", *names]:
                os.chown(os.path.join(directory, name), NOBODY, NOBODY, follow_symlinks=False)

    def run(self, unit, only):
        suite = self.suite
        command = LAUNCH + suite.command(self, unit, only)
        environment = self.environment()
        if suite.as_nobody and os.geteuid() == 0:
            self.give_away()
            command = AS_NOBODY + command
        output = os.path.join(self.path, "output")
        with open(output, "w") as sink:
            process = subprocess.Popen(command, cwd=self.path, env=environment, stdout=sink,
                                       stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                                       start_new_session=True)
            try:
                status = process.wait(suite.limit)
            except subprocess.TimeoutExpired:
                status = f"not ended after {suite.limit} s"
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        left = end_what_is_left()
        with open(output, errors="replace") as lines:
            text = lines.read()
        results = suite.parse(self, text)
        return {**results, STATUS: str(status), LEFT: left}, text


def run(suite, home, library, unit, only=()):
    with Place(suite, home, library) as place:
        return place.run(unit, only)


class Verdict:
    """What two or four runs say: differences that last, and what is not to be relied on."""

    def __init__(self, bare, traced):
        self.bare, self.traced = bare, traced
        self.lasting, self.flaky, self.once = {}, {}, {}

    def differing(self):
        names = [*self.bare, *(name for name in self.traced if name not in self.bare)]
        return [name for name in names
                if self.bare.get(name, ABSENT) != self.traced.get(name, ABSENT)]

    def repeat(self, bare, traced):
        for name in self.differing():
            outcomes = [results.get(name, ABSENT)
                        for results in (self.bare, self.traced, bare, traced)]
            kind = self.lasting if outcomes[2] != outcomes[3] else self.once
            if outcomes[0] != outcomes[2]:
                kind = self.flaky
            kind[name] = "bare %s, traced %s; again: bare %s, traced %s" % tuple(outcomes)

    def counts(self):
        """Of the bare run's tests, by outcome without its details."""
        return collections.Counter(outcome.partition(" with ")[0]
                                   for name, outcome in self.bare.items()
                                   if name not in (STATUS, LEFT))


def compare(suite, home, library, unit):
    """A verdict, and the outputs of the last bare and the last traced run."""
    bare, bare_text = run(suite, home, None, unit)
    traced, traced_text = run(suite, home, library, unit)
    verdict = Verdict(bare, traced)
    names = verdict.differing()
    if names:
        only = [name for name in names if name not in (STATUS, LEFT)] if suite.can_choose else []
        again = [run(suite, home, preload, unit, only) for preload in (None, library)]
        verdict.repeat(again[0][0], again[1][0])
        bare_text, traced_text = again[0][1], again[1][1]
    return verdict, bare_text, traced_text
