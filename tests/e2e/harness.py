# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: TAP, processes of a scene, and waiting on conditions.

A Scene has its own directory for rings and store, so a test leaves nothing in shared places. All
that it started is killed, by pid, when it ends, however it ends. Nothing waits for a fixed time:
wait_until asks again until its condition holds.
"""
import collections
import functools
import glob
import http.client
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tap
from tap import check, skip

SOURCE = os.environ.get("BURDOCK_SOURCE") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.environ.get("BURDOCK_BUILD") or os.path.join(SOURCE, "build")
LIBRARY = os.path.join(BUILD, "preload/libburdock.so")
BURDOCK = os.path.join(BUILD, "cli/burdock")
HEAP = os.path.join(BUILD, "preload/libburdock-heap.so")
APPS = os.path.join(SOURCE, "tests/e2e/apps")
VICTIMS = os.path.join(BUILD, "tests/hosts")
PYTHON = "/usr/bin/python3"
SERVICE = [PYTHON, os.path.join(APPS, "service.py")]

for _site in glob.glob(os.path.join(BUILD, ".venv/lib/python3*/site-packages")):
    sys.path.insert(0, _site)
try:
    import otlp  # needs the decoder
except ImportError as missing:
    otlp = None
    _why_no_decoder = str(missing)

# --- TAP -------------------------------------------------------------------------------------


def equal(got, wanted, text):
    return check(got == wanted, text, "got    %r\nwanted %r" % (got, wanted))


def main(scope, needs=()):
    """Runs the functions test_* of a module, or those named on the command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if otlp is None:
        print("1..0 # SKIP no decoder of OTLP (pip install opentelemetry-proto): " + _why_no_decoder)
        return
    for program in needs:
        if shutil.which(program, path=PATH) is None:
            print("1..0 # SKIP %s is not installed" % program)
            return
    wanted = sys.argv[1:]
    for name, function in list(scope.items()):
        if not name.startswith("test_") or (wanted and name[5:] not in wanted):
            continue
        try:
            function()
        except Exception as error:
            check(False, "%s runs to its end: %.200s" % (name[5:], " ".join(repr(error).split())),
                  traceback.format_exc())
    sys.exit(tap.end())


# --- waiting ---------------------------------------------------------------------------------


def wait_until(condition, timeout=20, every=0.01):
    """The condition's value when it is true, or its last value when the time is up."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(every)


def _ports():
    """Each port once, from blocks that no other process of tests draws from meanwhile: a name of this
    network's, held as long as the process lives, claims one. All are below the ports that the
    kernel gives to clients: those of other tests could take one before the server does."""
    blocks, claims = list(range(10240, 32768, 64)), []
    random.shuffle(blocks)
    for first in blocks:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind("\0burdock-tests-ports-%d" % first)
        except OSError:
            claim.close()
            continue
        claims.append(claim)
        yield from range(first, first + 64)


_unused_ports = _ports()


def free_port():
    """One that nobody listens on, and that no other call has been given."""
    for port in _unused_ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port is left")


def is_listening(port):
    """Asks the kernel's table: a connection would be an event for the program under test."""
    wanted = ":%04X" % port
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            continue
        with open(table) as lines:
            for line in lines:
                fields = line.split()
                if fields[3] == "0A" and fields[1].endswith(wanted):
                    return True
    return False


# --- a scene -----------------------------------------------------------------------------------

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SCHEDULE_MS = "50"


class Scene:
    """Processes under the library, their rings and their store."""

    def __init__(self, **environment):
        self.directory = tempfile.mkdtemp(prefix="burdock-e2e-")
        os.chmod(self.directory, 0o755)  # nginx's workers are nobody
        self.store = self.path("store")
        self.rings = self.path("rings")
        for directory in (self.store, self.rings):
            os.mkdir(directory)
            os.chmod(directory, 0o1777)
        self.environment = {"PATH": PATH, "HOME": self.directory, "LC_ALL": "C.UTF-8",
                            "BURDOCK_STORE": self.store, "BURDOCK_DIR": self.rings,
                            "OTEL_BSP_SCHEDULE_DELAY": SCHEDULE_MS, "PYTHONUNBUFFERED": "1",
                            "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment.update(environment)
        self.processes = []
        self.servers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # each is the leader of its own group
            except ProcessLookupError:
                pass
            process.wait()
        for server in self.servers:
            server.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        return self.path(name)

    def env(self, service=None, traced=True, **more):
        environment = dict(self.environment)
        if traced:
            environment["LD_PRELOAD"] = LIBRARY
        if service:
            environment["OTEL_SERVICE_NAME"] = service
        environment.update(more)
        return environment

    def start(self, command, service=None, traced=True, port=None, stdin=None, **more):
        """Starts a program in a group of its own; with a port, waits until it listens."""
        number = len(self.processes)
        out, err = (open(self.path("%s.%d" % (what, number)), "w+b") for what in ("out", "err"))
        process = subprocess.Popen(command, env=self.env(service, traced, **more), stdout=out,
                                   stderr=err, stdin=stdin or subprocess.DEVNULL,
                                   cwd=self.directory, start_new_session=True)
        process.out_path, process.err_path = out.name, err.name
        out.close()
        err.close()
        self.processes.append(process)
        if port is not None:
            if not wait_until(lambda: is_listening(port) or process.poll() is not None) \
                    or process.poll() is not None:
                raise RuntimeError("%s does not listen: %s" % (command, self.stderr(process)))
        return process

    def service(self, name="app", arguments=(), traced=True, **more):
        """A Python service; its process has its port as attribute."""
        port = free_port()
        process = self.start(SERVICE + [str(port), *arguments], name, traced, port, **more)
        process.port = port
        return process

    def node(self, name="node", **more):
        port = free_port()
        process = self.start(["node", os.path.join(APPS, "service.mjs"), str(port)], name,
                             port=port, **more)
        process.port = port
        return process

    def nginx(self, servers, name="nginx", workers=2, http="", traced=True, main="", listen="",
              **more):
        """nginx with these server blocks, as root dropping to nobody where it may."""
        number = len(self.processes)
        run = self.path("nginx%d" % number)
        os.mkdir(run)
        temporary = "".join("%s_temp_path %s/%s;\n" % (what, run, what) for what in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user nobody nogroup;" if os.geteuid() == 0 else ""
        port = free_port()
        config = self.write("nginx%d.conf" % number, """%s %s
worker_processes %d; daemon off; pid %s/pid; error_log %s/error.log notice;
worker_shutdown_timeout 5s;
events { worker_connections 512; }
http { access_log off; default_type text/plain; %s %s
server { listen 127.0.0.1:%d%s; %s } }
""" % (main, user, workers, run, run, temporary, http, port, listen, servers))
        process = self.start(["nginx", "-p", run, "-e", run + "/error.log", "-c", config], name,
                             traced, port, **more)
        process.port = port
        return process

    def run(self, command, service=None, traced=True, timeout=60, stdin=b"", **more):
        return subprocess.run(command, env=self.env(service, traced, **more), input=stdin,
                              capture_output=True, timeout=timeout, cwd=self.directory)

    def as_bare(self, command, what, spans=None, bare=None, timeout=120, **more):
        """Runs a command bare and traced: the same status and output. `bare` overrides what `more`
        puts into the environment of the first run; spans: how many the second leaves."""
        results = []
        for environment in ({**more, "LD_PRELOAD": "", **(bare or {})}, {**more, "HOST_TRACED": "1"}):
            before = len(self.spans())
            done = self.run(command, timeout=timeout, **environment)
            results.append((done.returncode, done.stdout))
        check(results[0] == results[1], what + ": as bare",
              "bare   %r\ntraced %r\n%r" % (*results, done.stderr[-600:]))
        if spans is not None:
            equal(len(self.spans()) - before, spans, what + ": traced")
        return done

    def curl(self, *arguments, **more):
        return self.run(["curl", "-sS", "--max-time", "30", *arguments],
                        more.pop("service", "curl"), **more)

    def stop(self, process, how=signal.SIGTERM, timeout=20):
        """Ends a process by signal and answers its status."""
        if process.poll() is None:
            process.send_signal(how)
        return process.wait(timeout)

    def stderr(self, process):
        with open(process.err_path, "rb") as file:
            return file.read()

    def stdout(self, process):
        with open(process.out_path, "rb") as file:
            return file.read()

    # --- what was recorded ---

    def spans(self):
        return otlp.spans_of_store(self.store)

    def rings_left(self):
        return [Ring(path) for path in glob.glob(os.path.join(self.rings, "burdock-*.ring"))]

    def wait_spans(self, count, where=lambda span: True, timeout=20):
        """All spans, once as many as wanted are stored and every ring is empty."""
        def enough():
            return sum(map(where, self.spans())) >= count and \
                all(ring.is_empty for ring in self.rings_left())
        wait_until(enough, timeout, 0.05)
        return self.spans()


def _counter_names():
    with open(os.path.join(SOURCE, "runtime/counters.def")) as lines:
        return [line.split('"')[1] for line in lines if line.startswith(("COUNTER(", "LOSS("))]


class Ring:
    """A process's ring file, read from outside (runtime/ring.h)."""
    COUNTERS, HEADER, RING = 448, 80 * 1024, 1024 * 1024

    def __init__(self, path):
        self.is_empty, self.pid, self.service, self.rings = True, 0, "", 0
        self.counters = collections.Counter()  # 0, too, while the file is being made
        self.is_drained = False  # something that was in it has been delivered
        try:
            with open(path, "rb") as file:
                head = file.read(self.HEADER)
                if len(head) < self.HEADER:
                    return
                self.pid, = struct.unpack_from("<I", head, 12)
                self.service = head[48:304].split(b"\0")[0].decode()
                self.rings, = struct.unpack_from("<I", head, 308)
                names = _counter_names()
                self.counters.update(dict(zip(names, struct.unpack_from(
                    "<%dQ" % len(names), head, self.COUNTERS))))
                for number in range(self.rings):
                    file.seek(self.HEADER + number * self.RING)
                    words = file.read(72)
                    if len(words) == 72 and words[:8] != words[64:72]:
                        self.is_empty = False
                    self.is_drained |= any(words[64:72])
        except FileNotFoundError:  # the process has just removed it
            return


def open_requests(scene):
    """How many requests are noted as open in the rings of a scene (runtime/open.h)."""
    count = 0
    for path in glob.glob(os.path.join(scene.rings, "burdock-*.ring")):
        with open(path, "rb") as file:
            file.seek(32 * 1024)
            slots = file.read(256 * 192)
        count += sum(word != 0 for word, in struct.iter_unpack("<I188x", slots))
    return count


# --- talking to services -------------------------------------------------------------------------


def get(port, path="/", headers=None, method="GET", body=None, timeout=20):
    """One request on a connection of its own: (status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def raw(port, data, until=None, timeout=20, shut=False):
    """Sends bytes and reads to the end, or until the condition on what came holds."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        connection.sendall(data)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        while until is None or not until(got):
            chunk = connection.recv(65536)
            if not chunk:
                break
            got += chunk
    return got


def on_connections(port, total, concurrency, ask, tls=None):
    """ask(connection, number) for each number below total, over keep-alive connections; tls: their
    ssl.SSLContext."""
    numbers = iter(range(total))
    lock = threading.Lock()

    def work():
        kind = functools.partial(http.client.HTTPSConnection, context=tls) if tls else \
            http.client.HTTPConnection
        connection = kind("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            ask(connection, number)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def load(port, total, concurrency, path="/r/%d", headers=None, tls=None):
    """Requests with a number of their own each over keep-alive connections; answers the failures."""
    failures = []

    def ask(connection, number):
        try:
            connection.request("GET", path % number, headers=headers or {})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                failures.append((number, answer.status, body[:200]))
        except OSError as error:
            failures.append((number, repr(error), b""))
            connection.close()

    on_connections(port, total, concurrency, ask, tls)
    return failures


def in_order(scene):
    """Spans as they ended, by file: a thread's first may be in another ring than the next."""
    found = []
    for path in glob.glob(os.path.join(scene.store, "*.otlp")):
        with open(path, "rb") as file:
            found += sorted((span for payload in otlp.frames_of_file(file.read())
                             for span in reversed(otlp.spans_of_request(payload))),
                            key=lambda span: span.end)
    return found


def operations_by_request(spans, calls):
    """{number of a request, None: under none: how often each operation is under it}."""
    numbers = {span.id: int(span.attributes["url.path"].rsplit("/")[-1]) for span in spans
               if span.kind == "SERVER"}
    found = collections.defaultdict(collections.Counter)
    for span in calls:
        found[numbers.get(span.parent)][span.attributes["db.operation.name"]] += 1
    return found


def threads_of(process):
    """{thread id: name} of a process."""
    found = {}
    for task in os.listdir("/proc/%d/task" % process.pid):
        try:
            with open("/proc/%d/task/%s/comm" % (process.pid, task)) as file:
                found[int(task)] = file.read().strip()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            pass
    return found


def thread_names(process):
    return list(threads_of(process).values())


class RawServer:
    """A listener of the test itself, untraced: answers each connection with a function."""

    def __init__(self, scene, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.serve = serve
        scene.servers.append(self)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with connection:
            connection.settimeout(60)
            try:
                self.serve(connection)
            except OSError:
                pass

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


def read_head(connection):
    """The bytes of a request up to the end of its head, and what came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            break
        data += chunk
    return data
