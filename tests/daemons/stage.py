# SPDX-License-Identifier: Apache-2.0
"""Daemons and commands of the distribution, played bare and under the library.

A part is a function that sets up a program in the directory of a Play, has it serve, reload, rotate
and stop, and tells what it saw. It is played twice; both must tell the same, line by line, and a line
that says what is wanted must say it bare as well. Nobody looks at the library here: the question is
whether its host can be told from one that does not have it.

Every descendant is ours: orphans come back to this process (PR_SET_CHILD_SUBREAPER), so what is left
after a stop is known exactly, and is ended by its id.
"""
import ctypes
import itertools
import os
import re
import shutil
import signal
import sys
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import harness  # noqa: E402
from harness import (LIBRARY, PATH, RawServer, Scene, check, free_port, is_listening,  # noqa: E402,F401
                     read_head, skip, wait_until)

PR_SET_CHILD_SUBREAPER = 36
OURS = ("store", "rings", "libburdock.so")  # what a Play itself puts into its directory
ANYTHING = object()
NOTHING = "(?!)"  # a pattern


def as_user(name):
    return ["setpriv", "--reuid", name, "--regid", name, "--clear-groups"]


def family():
    """{pid: (parent, state)} of all descendants of this process."""
    every = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        every[int(pid)] = (int(parent), state)
    found, level = {}, {os.getpid()}
    while level:
        level = {pid for pid, (parent, _) in every.items() if parent in level}
        found.update((pid, every[pid]) for pid in level)
    return found


def read_body(connection, head):
    """What a request carries beyond what came with its head."""
    length = re.search(rb"content-length: *(\d+)", head.lower())
    left = int(length.group(1)) - len(head.partition(b"\r\n\r\n")[2]) if length else 0
    while left > 0:
        left -= len(connection.recv(min(left, 65536))) or left


class Play(Scene):
    """One performance: its directory, its processes and what it tells."""

    def __init__(self, traced):
        super().__init__()
        self.traced = traced
        self.lines = []                # (what, value, wanted)
        self.asked = self.relayed = 0  # requests to a server under test, and those it passed on
        self.counts_spans = True
        self.library = shutil.copy(LIBRARY, self.path("libburdock.so"))  # where every user may read
        os.mkdir(self.path("tmp"))
        os.chmod(self.path("tmp"), 0o1777)
        self.environment.update(TMPDIR=self.path("tmp"), OTEL_SERVICE_NAME="daemon")

    def __exit__(self, *what):
        for pid in family():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not self.living())
        super().__exit__(*what)

    def env(self, service=None, traced=True, **more):
        environment = super().env(service, False, **more)
        if traced and self.traced:
            environment["LD_PRELOAD"] = self.library
        return environment

    # --- telling ---

    def tell(self, what, value, wanted=ANYTHING):
        self.lines.append((what, value, wanted))
        return value

    def plain(self, text):
        """A text without what differs from run to run: the directory, numbers, the hex ones too."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        text = text.replace(self.directory, "DIR")
        return re.sub(r"0x[0-9a-fA-F]+|\b[0-9A-F]{8,}\b|\d+(?:\.\d+)*", "N", text)

    def tell_lines(self, what, text, wanted=None, but=None):
        """Which lines there are, without regard to order, repetition and numbers. By patterns: one
        that is wanted, and those that come and go with chance."""
        lines = sorted({self.plain(line).strip() for line in text.splitlines()} - {""})
        lines = [line for line in lines if but is None or not re.search(but, line)]
        found = wanted is None or any(re.search(wanted, line) for line in lines)
        self.tell(what, lines, lines if found else "a line like " + wanted)

    def tell_log(self, name, wanted=None, but=None):
        self.tell_lines("log " + name, self.read(name), wanted, but)

    def read(self, name):
        try:
            with open(self.path(name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    # --- doing ---

    def make(self, *names, group=None):
        """Directories of the play, where a group may write; answers the path of the last one."""
        for name in names:
            os.makedirs(self.path(name), exist_ok=True)
            if group:
                shutil.chown(self.path(name), group=group)
                os.chmod(self.path(name), 0o2775)
        return self.path(names[-1])

    def command(self, *words, what=None, wanted=0, **more):
        """A program that ends: tells its status and what it printed, numbers apart."""
        done = self.run(list(words), **more)
        what = what or self.plain(" ".join(os.path.basename(word) for word in words[:3]))
        self.tell(what + ": status", done.returncode, wanted)
        self.tell_lines(what + ": output", done.stdout)
        self.tell_lines(what + ": errors", done.stderr)
        return done.stdout.decode("utf-8", "replace")

    def backend(self, body=b"from behind\n"):
        """An origin of the test itself; counts the requests that were passed on."""
        def serve(connection):
            while head := read_head(connection):
                self.relayed += 1
                read_body(connection, head)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                   b"Cache-Control: no-store\r\nContent-Length: %d\r\n\r\n%s" %
                                   (len(body), body))
                if b"connection: close" in head.lower():
                    break
        return RawServer(self, serve).port

    def get(self, port, path="/", **more):
        """A request that is counted: (status, body), or the error's name."""
        try:
            status, _, body = harness.get(port, path, **more)
        except OSError as error:
            return type(error).__name__
        self.asked += 1
        return status, self.plain(body)

    def expect(self, port, path, wanted, **more):
        return self.tell("GET " + self.plain(path), self.get(port, path, **more), wanted)

    def until(self, what, condition, timeout=30):
        return self.tell(what, bool(wait_until(condition, timeout, 0.05)), True)

    def until_serves(self, what, port, path, wanted, timeout=30):
        """Asks until the answer is the wanted one."""
        answers = []

        def serves():
            answers.append(self.get(port, path))
            return answers[-1] == wanted
        wait_until(serves, timeout, 0.05)
        self.tell(what, answers[-1], wanted)

    def signal_and_replace(self, process, how, count):
        """A signal after which as many children are others than before: a reload."""
        before = self.children(process)
        process.send_signal(how)

        def replaced():
            now = self.children(process)
            return len(now) == count and not now & before
        self.until("%s: %d new workers, the old ones gone" % (how.name, count), replaced)

    def alone(self, mounts, *command, **more):
        """Starts a command in a mount namespace where these paths are the play's own."""
        script = "".join("mount --bind %s %s && " % (self.path(source), target)
                         for source, target in mounts) + 'exec "$@"'
        return self.start(["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh",
                           *command], **more)

    def rotate(self, log, ask, produce):
        """The log is moved away, the daemon is told, and then writes a new one."""
        os.rename(self.path(log), self.path(log + ".1"))
        ask()
        self.until("rotation: there is a new " + log, lambda: os.path.exists(self.path(log)))
        self.until("rotation: nobody has the old one",
                   lambda: "/%s.N'" % self.plain(log) not in str(self.descriptors()))
        self.until("rotation: it is written to", lambda: (produce(), self.read(log))[1])

    def tell_descriptors(self, but=NOTHING):
        """Every process with what its numbers mean, once two looks agree; sockets are only counted,
        since a connection takes the number that is free when it comes. A pattern leaves out others."""
        looks = [None]

        def same():
            looks.append(self.descriptors(but))
            return looks[-1] == looks[-2]
        wait_until(same, 10, 0.3)
        self.tell("processes and their descriptors", looks[-1])

    def end(self, process, how=signal.SIGTERM, status=0, but=None):
        """The graceful stop, and that no process is left."""
        process.send_signal(how)
        self.ended(process, how.name, status, but)

    def ended(self, process, how, status=0, but=None):
        try:
            result = process.wait(20)
        except harness.subprocess.TimeoutExpired:
            result = "still running"
        self.tell(how + ": exit status", result, status)
        self.until("no process is left", lambda: not self.living())
        self.tell_lines("stdout", self.stdout(process))
        self.tell_lines("stderr", self.stderr(process), but=but)

    def recover(self, user):
        """For hosts that end by a signal or have no thread of ours: their rings stay, by design,
        and the next process of the same service and user sends what is in them."""
        port = self.backend()
        self.run([*as_user(user), "curl", "-sS", "http://127.0.0.1:%d/" % port])

    # --- looking ---

    def living(self):
        """Descendants that are not dead; orphans that are get their wait."""
        known = {process.pid for process in self.processes}
        living = set()
        for pid, (parent, state) in family().items():
            if state != "Z":
                living.add(pid)
            elif parent == os.getpid() and pid not in known:
                os.waitpid(pid, os.WNOHANG)
        return living

    def children(self, process):
        return {pid for pid, (parent, state) in family().items()
                if parent == process.pid and state != "Z"}

    def descriptors(self, but=NOTHING):
        found = []
        for pid in self.living():
            try:
                with open("/proc/%d/comm" % pid) as file:
                    name = file.read().strip()
                numbers = {int(number): os.readlink("/proc/%d/fd/%s" % (pid, number))
                           for number in os.listdir("/proc/%d/fd" % pid)}
            except (FileNotFoundError, ProcessLookupError):
                continue
            targets = sorted((number, self.plain(target)) for number, target in numbers.items())
            sockets = [number for number, target in targets if target == "socket:[N]"]
            found.append((self.plain(name), len(sockets), [
                (number, target) for number, target in targets
                if number not in sockets and not re.search(but, target)]))
        return sorted(found)

    def files(self):
        """What lies in the directory, but for the harness's own."""
        found = set()
        for directory, _, names in os.walk(self.directory):
            inside = os.path.relpath(directory, self.directory)
            if inside.split("/")[0] not in OURS:
                found.update(os.path.normpath(os.path.join(inside, name)) for name in names)
        return sorted({self.plain(name) for name in found - set(OURS)})

    def accounts(self):
        """Spans by kind and ring files: (what there is, what there should be)."""
        if not self.traced or not self.counts_spans:
            return True, True

        def found():
            kinds = [span.kind for span in self.spans()
                     if "db.system.name" not in span.attributes]  # those are not asked by HTTP
            return kinds.count("SERVER"), kinds.count("CLIENT"), len(kinds), os.listdir(self.rings)
        wanted = self.asked, self.relayed, self.asked + self.relayed, []
        wait_until(lambda: found() == wanted, 10)
        return found() == wanted or found(), True


def perform(part, traced):
    """What a part tells; and with a library, that the spans add up and no ring is left."""
    with Play(traced) as play:
        try:
            part(play)
        except Exception:
            play.tell("runs to its end", traceback.format_exc(), True)
        play.tell("files in its directory", play.files())
        play.tell("spans and rings left", *play.accounts())
        return play.lines


def compare(name, bare, traced):
    for one, other in itertools.zip_longest(bare, traced, fillvalue=("nothing", None, ANYTHING)):
        holds = one[:2] == other[:2] and one[2] in (ANYTHING, one[1]) and other[2] in (ANYTHING, other[1])
        check(holds, "%s: %s" % (name, one[0]), differences(one, other))


def differences(one, other):
    """For a failure: lists by what only one of both has."""
    if isinstance(one[1], list) and isinstance(other[1], list) and one[1] != other[1]:
        return "only bare    %s\nonly traced  %s" % ([each for each in one[1] if each not in other[1]],
                                                     [each for each in other[1] if each not in one[1]])
    return "\n".join("%s %s: %r%s" % (label, line[0], line[1], "" if line[2] is ANYTHING else
                                     " for %r" % (line[2],))
                     for label, line in (("bare  ", one), ("traced", other)))


parts = []  # (name, function, programs, quick)


def part(*programs, quick=False, needs=()):
    """Enters a function into the table. Without one of its programs or files it is skipped."""
    def enter(function):
        parts.append((function.__name__, function, programs + tuple(needs), quick))
        return function
    return enter


def missing(programs):
    return [program for program in programs if not
            (os.path.exists(program) if "/" in program else shutil.which(program, path=PATH))]


def main():
    """quick, long (all that are not quick), or names of parts. BARE=1 plays each bare twice: what
    differs then is the program's own restlessness."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if harness.otlp is None or os.geteuid() != 0:
        print("1..0 # SKIP " + ("needs to be root" if harness.otlp else
                                "no decoder of OTLP (pip install opentelemetry-proto)"))
        return
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wanted = sys.argv[1:] or ["quick", "long"]
    for name, function, programs, quick in parts:
        if name not in wanted and ("quick" if quick else "long") not in wanted:
            continue
        lacking = missing(programs)
        if lacking:
            skip(name, "%s is not installed" % " ".join(lacking))
            continue
        compare(name, perform(function, False), perform(function, "BARE" not in os.environ))
    sys.exit(harness.tap.end())
