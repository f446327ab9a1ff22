#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The library on arm64, by an emulator: its unit tests, victims bare and traced, and Debian's own
programs. run_arm64.py PLACE, where the system and the build for it lie, and are found again.

The emulator (qemu-user 7.2) differs from Linux where LEFT_OUT says so. It runs no program that
another one executes, unless the machine is told to (binfmt_misc), so nothing here executes another.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCE = os.path.dirname(TESTS)
sys.path[:0] = [TESTS, os.path.join(TESTS, "e2e")]
import tap
from harness import free_port

PLACE = os.path.abspath(sys.argv[1])
ROOT, BUILD = os.path.join(PLACE, "root"), os.path.join(PLACE, "build")
LIBRARY = os.path.join(BUILD, "preload/libburdock.so")
EMULATED = ["qemu-aarch64-static", "-L", ROOT]
PACKAGES = ["nginx-light", "curl", "python3", "libpython3-stdlib", "nodejs", "zlib1g-dev", "libc6-dev",
            "libprotobuf-c-dev", "libssl-dev"]
VICTIMS = ["endings", "hazards", "threads", "forward", "coroutines"]
LEFT_OUT = {
    "test_transfers": "madvise(MADV_POPULATE_READ) says that what cannot be read can",
    "test_metrics": "/proc/self/stat and statm are the emulator's",
    r"main_thread_leaves\w*": "it reads the stack of a thread that is gone",
    r"\w*exits_inside_the_library|handler_during_\w+|handler_closes_during_write":
        "the victim waits for /proc/self/task/*/syscall to name a call of arm64's",
    "small_stacks|zero_copy|many_messages": "it fails bare",
}
CROSS = """[binaries]
c = ['aarch64-linux-gnu-gcc', '--sysroot={root}']
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'
exe_wrapper = ['qemu-aarch64-static', '-L', '{root}']
[properties]
sys_root = '{root}'
pkg_config_libdir = '{root}/usr/lib/aarch64-linux-gnu/pkgconfig:{root}/usr/share/pkgconfig'
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
"""


def left_out(name, what):
    """Says why, if it is."""
    reasons = [reason for pattern, reason in LEFT_OUT.items() if re.fullmatch(pattern, name)]
    if reasons:
        tap.skip(what, "in the emulator " + reasons[0])
    return bool(reasons)


def step(*command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **more)
    if done.returncode != 0:
        sys.exit(f"Bail out! {' '.join(command[:4])} ...: {done.stdout[-2000:].decode(errors='replace')}")
    return done.stdout.decode()


def prepare():
    """A Debian of arm64, unpacked and not configured, and what was built for it."""
    if not os.path.exists(os.path.join(ROOT, "usr/bin/node")):
        shutil.rmtree(ROOT, ignore_errors=True)
        step("debootstrap", "--arch=arm64", "--foreign", "--variant=minbase",
             "--include=" + ",".join(PACKAGES), "bookworm", ROOT)
        archives = os.path.join(ROOT, "var/cache/apt/archives")
        for name in sorted(os.listdir(archives)):
            if name.endswith(".deb"):
                step("dpkg-deb", "-x", os.path.join(archives, name), ROOT)
    cross = os.path.join(PLACE, "cross.ini")
    with open(cross, "w") as file:
        file.write(CROSS.format(root=ROOT))
    anew = ["--reconfigure"] if os.path.exists(os.path.join(BUILD, "build.ninja")) else []
    step("meson", "setup", *anew, BUILD, SOURCE, "--cross-file", cross, "-Drelay=disabled")
    targets = re.findall(r"^(tests/unit/test_\w+): ", step("ninja", "-C", BUILD, "-t", "targets", "all"), re.M)
    units = [name for name in targets if not name.endswith("_sanitized")]
    step("ninja", "-C", BUILD, "preload/libburdock.so", "cli/burdock", *units,
         *("tests/hosts/" + name for name in VICTIMS))
    return units


def environment(place, preload, **more):
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith(("OTEL_", "BURDOCK_", "LD_", "NODE_"))}
    for name in ("store", "rings"):
        os.makedirs(os.path.join(place, name), exist_ok=True)
    kept.update(BURDOCK_STORE=place + "/store", BURDOCK_DIR=place + "/rings", BURDOCK_EXIT_TIMEOUT="20000",
                **more)
    return {**kept, "LD_PRELOAD": LIBRARY, "HOST_TRACED": "1"} if preload else kept


def units(names):
    for name in names:
        short = os.path.basename(name)
        if left_out(short, short):
            continue
        done = subprocess.run([*EMULATED, os.path.join(BUILD, name)], capture_output=True, text=True,
                              timeout=600)
        wrong = [line for line in done.stdout.splitlines() if line.startswith("not ok")]
        tap.check(done.returncode == 0 and not wrong, short, "\n".join(wrong) + done.stderr)


def victims():
    for victim in VICTIMS:
        with open(os.path.join(TESTS, "hosts", victim + ".c")) as file:
            cases = re.findall(r'^    \{"(\w+)"', file.read().split("host_case cases", 1)[1], re.M)
        for case in cases:
            if left_out(case, f"{victim} {case}"):
                continue
            ends = []
            for preload in (False, True):
                with tempfile.TemporaryDirectory(prefix="burdock-arm64-") as place:
                    done = subprocess.run([*EMULATED, f"{BUILD}/tests/hosts/{victim}", case], timeout=300,
                                          env=environment(place, preload), capture_output=True,
                                          stdin=subprocess.DEVNULL)
                    ends.append((done.returncode, done.stdout))
            tap.check(ends[0] == ends[1], f"{victim} {case}: as bare", f"{ends[0]}\n{ends[1]}")


SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (self.headers.get("traceparent") or "none").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
NGINX = """
daemon off; user root; pid {place}/pid; error_log {place}/error.log; worker_processes 1;
events {{}}
http {{ access_log off; client_body_temp_path {place}/t; proxy_temp_path {place}/t; fastcgi_temp_path {place}/t;
    uwsgi_temp_path {place}/t; scgi_temp_path {place}/t;
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{back}; }} }} }}
"""
NODE = """
const http = require("http"), [port, back] = process.argv.slice(1).map(Number);
http.createServer((request, response) => http.get({ host: "127.0.0.1", port: back }, (answer) => {
  let text = "";
  answer.on("data", (piece) => text += piece);
  answer.on("end", () => response.end(text));
})).listen(port, "127.0.0.1");
"""


def get(port, **headers):
    until = time.monotonic() + 120
    while True:
        try:
            return urllib.request.urlopen(
                urllib.request.Request(f"http://127.0.0.1:{port}/", headers=headers), timeout=60).read().decode()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def end(process):
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def recorded(place):
    text = step(*EMULATED, os.path.join(BUILD, "cli/burdock"), "export", "--json", "-",
                env=environment(place, False))
    return [span for line in text.splitlines() if line.startswith("{") for resource in json.loads(line)["resourceSpans"]
            for scope in resource["scopeSpans"] for span in scope["spans"]]


def chain(place):
    """curl asks nginx, which asks a server in Python."""
    port, back = free_port(), free_port()
    config, env = os.path.join(place, "nginx.conf"), environment(place, True)
    with open(config, "w") as file:
        file.write(NGINX.format(place=place, port=port, back=back))
    server = subprocess.Popen([*EMULATED, ROOT + "/usr/bin/python3", "-c", SERVER, str(back)], env=env)
    nginx = subprocess.Popen([*EMULATED, ROOT + "/usr/sbin/nginx", "-p", place, "-c", config], env=env)
    try:
        get(back), get(port)
        seen = step(*EMULATED, ROOT + "/usr/bin/curl", "-s", f"http://127.0.0.1:{port}/", env=env)
        spans, until = {}, time.monotonic() + 60
        while len(spans) < 4 and time.monotonic() < until:
            time.sleep(1)
            spans = {span["spanId"]: span for span in recorded(place) if span["traceId"] == seen[3:35]}
    finally:
        end(nginx), end(server)
    parents = [span.get("parentSpanId", "") for span in spans.values()]
    tap.check(len(spans) == 4 and sorted(parent in spans for parent in parents) == [False, True, True, True],
              "curl, nginx and Python are one trace", f"{seen}\n{spans}")


def node(place):
    """Node's carrier, eight requests at a time."""
    port, back = free_port(), free_port()
    server = subprocess.Popen([*EMULATED, ROOT + "/usr/bin/python3", "-c", SERVER, str(back)],
                              env=environment(place, False))
    program = subprocess.Popen([*EMULATED, ROOT + "/usr/bin/node", "-e", NODE, str(port), str(back)],
                               env=environment(place, True, BURDOCK_CARRIERS="node"))
    ids = [f"4bf92f3577b34da6a3ce929d0e0e{number:04}" for number in range(1, 65)]
    try:
        get(back), get(port)
        with ThreadPoolExecutor(8) as pool:
            seen = list(pool.map(lambda each: get(port, traceparent=f"00-{each}-00f067aa0ba902b7-01")[3:35], ids))
    finally:
        end(program), end(server)
    wrong = [(mine, other) for mine, other in zip(ids, seen) if mine != other]
    tap.check(not [pair for pair in wrong if pair[1] in ids], "no call of Node's is a stranger's", wrong)
    tap.check(len(wrong) < len(ids) / 2, "most calls of Node's are of their request", wrong)


def main():
    missing = [name for name in ("aarch64-linux-gnu-gcc", "qemu-aarch64-static", "debootstrap", "pkg-config")
               if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        print("1..0 # SKIP " + (f"not installed: {' '.join(missing)}" if missing else "only root makes a system"))
        return 0
    units(prepare())
    victims()
    for test in (chain, node):
        with tempfile.TemporaryDirectory(prefix="burdock-arm64-") as place:
            test(place)
    return tap.end()


sys.exit(main())
