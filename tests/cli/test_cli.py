#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command from outside. BURDOCK_BIN: the command; BURDOCK_LIB: libburdock.so, or none: then a
stand-in is built that does nothing. Prints TAP."""
import base64
import contextlib
import http.server
import json
import os
import platform
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

for _folder in ("..", "."):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), _folder))
import otlp_files as otlp
import tap
from tap import check, skip

BURDOCK = os.environ["BURDOCK_BIN"]
WORK = tempfile.mkdtemp(prefix="burdock-cli-")
NOW_MS = time.time() * 1000


def build(source, output, *options):
    path = os.path.join(WORK, os.path.basename(output) + ".c")
    with open(path, "w") as file:
        file.write(source)
    made = subprocess.run(["gcc", "-o", output, path, *options], capture_output=True)
    return made.returncode == 0


def library():
    given = os.environ.get("BURDOCK_LIB")
    if given:
        return given
    path = os.path.join(WORK, "libburdock.so")
    if not build("int burdock_stand_in;\n", path, "-shared", "-fPIC"):
        print("1..0 # SKIP neither BURDOCK_LIB nor gcc")
        sys.exit(0)
    return path


LIBRARY = library()


def environment(**changes):
    env = {key: value for key, value in os.environ.items()
           if not key.startswith(("OTEL_", "BURDOCK_", "LD_", "NO_COLOR", "COLUMNS", "TRACE"))}
    env.update(BURDOCK_LIBRARY=LIBRARY, BURDOCK_STORE=os.path.join(WORK, "store"), LC_ALL="C.UTF-8",
               TZ="UTC", PATH="/usr/local/bin:/usr/bin:/bin")
    env.update({key: value for key, value in changes.items() if value is not None})
    return env


def burdock(*arguments, env=None, timeout=30, **options):
    return subprocess.run([BURDOCK, *arguments], env=env or environment(), timeout=timeout,
                          capture_output=True, stdin=subprocess.DEVNULL, **options)


def text(done):
    return f"status {done.returncode}\n{done.stdout!r}\n{done.stderr!r}"


# ---- run: statuses, signals, environment -------------------------------------------------------

def test_statuses():
    for status in (0, 1, 2, 7, 100, 124, 125, 126, 127, 128, 129, 137, 143, 254, 255):
        done = burdock("run", "--", "sh", "-c", f"exit {status}")
        check(done.returncode == status and done.stdout == b"" and done.stderr == b"",
              f"exit status {status} is handed on, silently", text(done))


def test_deaths():
    numbers = [s for s in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGILL,
                           signal.SIGABRT, signal.SIGFPE, signal.SIGKILL, signal.SIGSEGV,
                           signal.SIGBUS, signal.SIGPIPE, signal.SIGALRM, signal.SIGTERM,
                           signal.SIGUSR1, signal.SIGUSR2, signal.SIGSYS, signal.SIGXCPU,
                           signal.SIGRTMIN, signal.SIGRTMAX)]
    script = ("import os,signal,sys; n=int(sys.argv[1]);"
              "n in (9,) or signal.signal(n, signal.SIG_DFL); os.kill(os.getpid(), n)")
    for number in numbers:
        done = burdock("run", "--", sys.executable, "-c", script, str(int(number)))
        check(done.returncode == -number, f"death by {signal.Signals(number).name} is repeated",
              text(done))


def test_launch_errors():
    plain = os.path.join(WORK, "plain.txt")
    with open(plain, "w") as file:
        file.write("x")
    cases = [(("run", "nosuchcommand-x"), 127, b"nosuchcommand-x: command not found"),
             (("run", "--", "./nosuch/file"), 127, b"command not found"),
             (("run", plain), 126, b"Permission denied"),
             (("run", WORK), 126, b"Permission denied"),
             (("run",), 125, b"no command given"),
             (("run", "--nosuch", "true"), 125, b"--nosuch"),
             (("run", "--summary=often", "true"), 125, b"summary"),
             (("run", "-s"), 125, b"-s")]
    for arguments, status, words in cases:
        done = burdock(*arguments)
        good = done.returncode == status and words in done.stderr and done.stderr.count(b"\n") == 1
        check(good and done.stderr.startswith(b"burdock: "), f"{arguments[1:]} ends with {status}",
              text(done))
    for arguments in (("run", "--exec", "nosuchcommand-x"), ("--", "nosuchcommand-x")):
        check(burdock(*arguments).returncode == 127, f"{arguments} ends with 127")
    done = burdock("run", "true", env=environment(BURDOCK_LIBRARY="/nosuch/libburdock.so"))
    check(done.returncode == 125 and b"/nosuch/libburdock.so" in done.stderr,
          "a missing library ends with 125", text(done))
    for letter in (" ", ":"):
        place = os.path.join(WORK, f"a{letter}b")
        os.makedirs(place, exist_ok=True)
        shutil.copy(LIBRARY, place)
        path = os.path.join(place, os.path.basename(LIBRARY))
        done = burdock("run", "true", env=environment(BURDOCK_LIBRARY=path))
        check(done.returncode == 125 and b"space or a colon" in done.stderr,
              f"a library path with {letter!r} is refused", text(done))


def preload_of(existing, *options):
    done = burdock("run", *options, "--", "sh", "-c", 'printf %s "$LD_PRELOAD"',
                   env=environment(LD_PRELOAD=existing))
    return done.stdout.decode().replace(os.path.realpath(LIBRARY), "OURS")


def test_preload():
    own = os.path.realpath(LIBRARY)
    libm = "libm.so.6"
    cases = [(None, "OURS", "alone"), ("", "OURS", "with an empty one"),
             (libm, f"OURS:{libm}", "in front of another"),
             (own, "OURS", "once only"), (f"{libm}:{own}", f"OURS:{libm}", "moved to the front"),
             (f"{own} {libm}  {own}:", f"OURS:{libm}", "spaces and empty entries are understood"),
             (f"{own}.old", "OURS:OURS.old", "an entry that begins alike is another"),
             (f"/x{own}", "OURS:/xOURS", "an entry that ends alike is another")]
    for existing, wanted, what in cases:
        got = preload_of(existing)
        check(got == wanted, f"LD_PRELOAD: {what}", f"{got} instead of {wanted}")
    check(preload_of(libm, "--exec") == f"OURS:{libm}", "LD_PRELOAD: the same with --exec")


def test_library_places():
    for place in ("lib/burdock", "lib", f"lib/{platform.machine()}-linux-gnu/burdock", "preload"):
        root = tempfile.mkdtemp(dir=WORK)
        os.makedirs(os.path.join(root, "bin"))
        os.makedirs(os.path.join(root, place))
        shutil.copy(BURDOCK, os.path.join(root, "bin/burdock"))
        shutil.copy(LIBRARY, os.path.join(root, place, "libburdock.so"))
        env = environment()
        del env["BURDOCK_LIBRARY"]
        done = subprocess.run([os.path.join(root, "bin/burdock"), "run", "printenv", "LD_PRELOAD"],
                              env=env, capture_output=True)
        wanted = os.path.join(root, place, "libburdock.so").encode() + b"\n"
        check(done.stdout == wanted, f"the library is found in ../{place}", text(done))


def test_environment():
    script = 'printf "%s|%s|%s|%s" "$OTEL_SERVICE_NAME" "$OTEL_EXPORTER_OTLP_ENDPOINT" ' \
             '"$BURDOCK_STORE" "$BURDOCK_RUN"'
    done = burdock("run", "-s", "shop", "--endpoint", "http://127.0.0.1:9", "-o", "here",
                   "sh", "-c", script, cwd=WORK)
    service, endpoint, store, run = done.stdout.decode().split("|")
    check(service == "shop", "-s sets the service name", text(done))
    check(endpoint == "http://127.0.0.1:9", "--endpoint sets the endpoint", text(done))
    check(store == os.path.join(WORK, "here"), "-o is made absolute", text(done))
    check(re.fullmatch("[0-9a-f]{16}", run), "the run id has 16 hexadecimal digits", text(done))
    again = burdock("run", "printenv", "BURDOCK_RUN").stdout.decode().strip()
    check(again != run, "every run has its own id")
    done = burdock("run", "echo", "-s", "--json", "--", "x")
    check(done.stdout == b"-s --json -- x\n", "options end at the command", text(done))
    done = burdock("--", "echo", "run", "--help")
    check(done.stdout == b"run --help\n", "the verb may be left out", text(done))
    done = burdock("-s", "a", "--", "printenv", "OTEL_SERVICE_NAME")
    check(done.stdout == b"a\n", "the verb may be left out with options", text(done))


CONFIGURATION = """
file_format: "1.0"
log_level: info
resource:
  attributes_list: team=old,x=1
  attributes:
    - name: service.name
      value: ${NAME:-shop, "new"}
    - {name: team, value: a b, type: string}
    - {name: "a,b", value: 2}
propagator: {composite: [tracecontext: , b3multi: {}]}
tracer_provider:
  processors:
    - simple: {exporter: {console: }}
    - batch:
        schedule_delay: ${DELAY}
        exporter:
          otlp_http:
            endpoint: http://127.0.0.1:${PORT}/v1/traces
            encoding: json
            tls: {ca_file: /ca.pem}
            headers: [{name: api-key, value: "${KEY}$$1"}]
  sampler: {parent_based: {root: {trace_id_ratio_based: {ratio: 0.5}}}}
meter_provider:
  readers:
    - periodic:
        interval: 100
        exporter: {otlp_file/development: {output_stream: file:///m.jsonl, temporality_preference: delta}}
    - periodic: {exporter: {console: }}
logger_provider:
  processors: [{batch: {export_timeout: 7, exporter: {console: }}}]
distribution:
  burdock: {spool: "off"}
  other: {keys: [1, 2]}
"""

WRONG = {
    "file_format: '2.0'": ":1: file_format: this version is not known",
    "disabled: true": ":1: it does not say its file_format",
    "file_format: '1.0'\ntracer_provider: {sampler: always_on}":
        ":2: tracer_provider.sampler: keys are wanted here, not a value",
    "file_format: '1.0'\npropagator: {composite: [tracecontext]}":
        ":2: propagator.composite[]: a key is wanted here",
    "file_format: '1.0'\ndisabled: yes": ":2: disabled: neither true nor false",
    "file_format: '1.0'\ndisabled: ${not-a-name}": ":2: disabled: a reference that is not",
    "file_format: '1.0'\ndisabled: ${OPEN": ":2: disabled: a reference that is not",
    "file_format: '1.0'\nresource: {attributes: [{name: a}]}":
        ":2: resource.attributes[]: a name and a value are wanted",
    "file_format: '1.0'\ntracer_provider: {processors: [{batch: {exporter: {zipkin: }}}]}":
        ":2: tracer_provider.processors[].batch.exporter.zipkin: not known",
    "file_format: '1.0'\ntracer_provider: {processors: [{batch: {exporter: {otlp_http: }}}, "
    "{batch: {exporter: {otlp_grpc: }}}]}": ": given already",
    "file_format: '1.0'\ndistribution: {burdock: {spol: off}}": ": no setting of Burdock",
    "file_format: '1.0'\nresource: &a {attributes: *a}": ": ",
    "file_format: '1.0'\ntracer_provider:\n  sampler: {trace_id_ratio_based: {ratio: 1.5}}":
        ":3: OTEL_TRACES_SAMPLER_ARG: ignored: not a ratio",
    "file_format: '1.0'\ntracer_provider: {processors: [{batch: {exporter: {otlp_http:\n"
    " {compression: zstd}}}}]}": ":3: OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: ignored",
    "file_format: '1.0'\ndistribution: {burdock: {trust: some}}":
        ":2: BURDOCK_TRUST: neither all, private nor none",
    "a: [": ":2: ", "": ":1: no configuration is in it", "- a": ":1: no configuration is in it",
}


def test_config_file():
    """OTEL_CONFIG_FILE: the variables that a command gets, and what is said of a file that is wrong."""
    path = os.path.join(WORK, "otel.yaml")
    with open(path, "w") as file:
        file.write(CONFIGURATION)
    given = environment(OTEL_CONFIG_FILE=path, PORT="4444", KEY="s e", DELAY="500",
                        OTEL_TRACES_EXPORTER="console", OTEL_SERVICE_NAME="never",
                        OTEL_RESOURCE_ATTRIBUTES_POD_NAME="pod", BURDOCK_SPOOL_MAX="1M")
    done = burdock("run", "--", "env", env=given)
    if b"built without libyaml" in done.stderr:
        return skip("a configuration file", "built without libyaml")
    got = dict(line.split("=", 1) for line in done.stdout.decode().splitlines() if "=" in line)
    got = {name: value for name, value in got.items() if name.startswith(("OTEL_", "BURDOCK_"))}
    wanted = {
        "OTEL_CONFIG_FILE": path, "OTEL_RESOURCE_ATTRIBUTES_POD_NAME": "pod",
        "OTEL_RESOURCE_ATTRIBUTES":
            "team=old,x=1,service.name=shop%2C%20%22new%22,team=a%20b,a%2Cb=2",
        "OTEL_PROPAGATORS": "tracecontext,b3multi", "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_TRACES_EXPORTER": "console,otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4444/v1/traces",
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": "/ca.pem",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "api-key=s%20e%241",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5",
        "OTEL_METRICS_EXPORTER": "otlp_file,console", "BURDOCK_OTLP_METRICS_FILE": "/m.jsonl",
        "OTEL_METRIC_EXPORT_INTERVAL": "100",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta", "OTEL_LOGS_EXPORTER": "console",
        "OTEL_BLRP_EXPORT_TIMEOUT": "7", "BURDOCK_SPOOL": "off", "BURDOCK_SPOOL_MAX": "1M",
        "BURDOCK_CONFIG": "1"}
    differs = {name: (got.get(name), wanted.get(name)) for name in {*got, *wanted}
               if got.get(name) != wanted.get(name) and name not in given | {"BURDOCK_RUN": 0}}
    check(not differs and done.returncode == 0, "the variables of a configuration file", differs)
    check(b"otel.yaml:3: log_level" in done.stderr, "what has no effect is said", done.stderr)
    done = burdock("run", "-q", "-s", "mine", "--", "sh", "-c", "echo $OTEL_SERVICE_NAME", env=given)
    check(done.stdout == b"mine\n" and not done.stderr, "options win, and --quiet", done)
    for wrong, why in WRONG.items():
        with open(path, "w") as file:
            file.write(wrong)
        done = burdock("run", "--", "echo", "started", env=given)
        check(done.returncode == 125 and not done.stdout and why in done.stderr.decode() and
              done.stderr.count(b"\n") == 1, "refused: " + repr(wrong), done)
    os.unlink(path)
    done = burdock("run", "--", "true", env=given)
    check(done.returncode == 125 and b"No such file" in done.stderr, "refused: no file", done)


def test_streams():
    done = subprocess.run([BURDOCK, "run", "--summary=always", "cat"], env=environment(),
                          input=b"\x00\xffbytes\n", capture_output=True)
    check(done.stdout == b"\x00\xffbytes\n", "stdin and stdout belong to the command", text(done))
    done = burdock("run", "--summary=always", "true")
    check(done.stdout == b"" and done.stderr != b"", "the summary goes to stderr", text(done))
    began = time.time()
    process = subprocess.Popen([BURDOCK, "run", "sh", "-c", "exec >&-; sleep 2"],
                               env=environment(), stdout=subprocess.PIPE)
    process.stdout.read()
    check(time.time() - began < 1.5, "we do not keep open what the command closes")
    process.wait()
    done = burdock("run", "--summary=always", "-q", "true")
    check(done.stderr == b"", "-q: no summary", text(done))
    script = '"$0" run --summary=always sh -c "exit 9" >&- 2>&-'
    done = subprocess.run(["sh", "-c", script, BURDOCK], env=environment())
    check(done.returncode == 9, "closed streams do not change the status")


def signal_state(*prefix, **options):
    """Mask and ignored signals as a command sees them at its start, straight from the kernel."""
    done = subprocess.run([*prefix, "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"],
                          env=environment(), capture_output=True, **options)
    return done.stdout


def test_inheritance():
    def unusual():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGCHLD, signal.SIGTERM})
        for number in (signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGWINCH):
            signal.signal(number, signal.SIG_IGN)

    for what, setup in (("usual", None), ("unusual", unusual)):
        for mode in ((), ("--exec",)):
            bare = signal_state(preexec_fn=setup, restore_signals=False)
            got = signal_state(BURDOCK, "run", *mode, "--", preexec_fn=setup, restore_signals=False)
            check(bare and bare == got, f"{what} mask and dispositions are inherited {mode}",
                  f"{bare} {got}")
    done = burdock("run", "sh", "-c", "exit 5",
                   preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    check(done.returncode == 5, "an ignored SIGCHLD does not lose the status", text(done))
    done = burdock("run", "sh", "-c", "cut -d' ' -f5 /proc/$$/stat /proc/$PPID/stat")
    groups = done.stdout.split()
    check(len(groups) == 2 and groups[0] == groups[1], "the command stays in the process group",
          text(done))
    process = subprocess.Popen([BURDOCK, "run", "--exec", "sh", "-c", "echo $$"],
                               env=environment(), stdout=subprocess.PIPE)
    out = process.communicate()[0]
    check(int(out) == process.pid, "--exec keeps the process id")


COUNTING = r"""
import os, signal, sys, time
counts = {}
def note(number, frame):
    counts[number] = counts.get(number, 0) + 1
numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1,
           signal.SIGUSR2, signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP]
for number in numbers:
    signal.signal(number, note)
sys.stdout.write("ready\n"); sys.stdout.flush()
end = time.time() + float(sys.argv[1])
while time.time() < end:
    time.sleep(0.02)
print(",".join(f"{n}:{counts.get(n, 0)}" for n in numbers))
"""


def counted(line):
    return {int(number): int(count)
            for number, count in (pair.split(":") for pair in line.strip().split(","))}


def test_forwarding():
    process = subprocess.Popen([BURDOCK, "run", sys.executable, "-c", COUNTING, "1.0"],
                               env=environment(), stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH", "CONT", "TSTP"):
        process.send_signal(getattr(signal, "SIG" + name))
        time.sleep(0.03)
    counts = counted(process.stdout.readline())
    for number, count in counts.items():
        check(count == 1, f"{signal.Signals(number).name} is passed on once", counts)
    check(process.wait() == 0, "the command outlives what it handles")
    process = subprocess.Popen([BURDOCK, "run", "sleep", "30"], env=environment())
    time.sleep(0.3)
    process.terminate()
    check(process.wait(10) == -signal.SIGTERM, "a command that dies of SIGTERM: so do we")


def read_until(descriptor, words, seconds=10):
    data, end = b"", time.time() + seconds
    while time.time() < end and words not in data:
        if select.select([descriptor], [], [], 0.1)[0]:
            try:
                piece = os.read(descriptor, 4096)
            except OSError:
                break
            if not piece:
                break
            data += piece
    return data


def on_terminal(arguments, env, resume):
    pid, master = pty.fork()
    if pid == 0:
        # A shell's part: the job is a group of its own in the foreground, led by us as parent.
        job = os.fork()
        if job == 0:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            os.execve(arguments[0], arguments, env)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            _, status = os.waitpid(job, os.WUNTRACED)
            if os.WIFSTOPPED(status):
                os.write(1, b"SHELL-STOPPED %d\n" % os.WSTOPSIG(status))
                time.sleep(0.3)
                resume(job, signal.SIGCONT)
                continue
            ending = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            os.write(1, b"SHELL-%s %d\n" % (
                b"KILLED" if os.WIFSIGNALED(status) else b"EXITED", ending))
            os._exit(0)
    return pid, master


@contextlib.contextmanager
def terminal_job(*arguments, resume=os.killpg):
    pid, master = on_terminal([BURDOCK, *arguments], environment(), resume)
    try:
        yield master
    finally:
        os.close(master)
        os.waitpid(pid, 0)


def test_terminal():
    with terminal_job("run", sys.executable, "-c", COUNTING, "1.0") as master:
        seen = read_until(master, b"ready")
        os.write(master, b"\x03")
        seen += read_until(master, b"SHELL-")
        line = re.search(rb"^\D*(2:\d.*?)\r", seen, re.M)
        counts = counted(re.search(r"2:\d[\d:,]*", seen.decode()).group()) if line else {}
        check(counts.get(2) == 1, "Ctrl-C reaches the command once", seen)
    with terminal_job("run", "sleep", "30") as master:
        time.sleep(0.4)
        os.write(master, b"\x03")
        seen = read_until(master, b"SHELL-KILLED 2")
        check(b"SHELL-KILLED 2" in seen, "Ctrl-C ends both", seen)
    with terminal_job("run", "sh", "-c", "sleep 1; exit 4") as master:
        time.sleep(0.4)
        os.write(master, b"\x1a")
        seen = read_until(master, b"SHELL-STOPPED 20")
        check(b"SHELL-STOPPED 20" in seen, "Ctrl-Z stops the job", seen)
        seen = read_until(master, b"SHELL-EXITED 4")
        check(b"SHELL-EXITED 4" in seen, "and it goes on when continued", seen)
    with terminal_job("run", "sh", "-c", "kill -STOP $$; exit 6") as master:
        seen = read_until(master, b"SHELL-EXITED 6")
        check(b"SHELL-STOPPED 19" in seen and b"SHELL-EXITED 6" in seen,
              "a command that stops itself stops us", seen)
    with terminal_job("run", sys.executable, "-c", COUNTING, "1.2") as master:
        seen = read_until(master, b"ready")
        os.write(master, b"\x1a")
        seen += read_until(master, b"SHELL-EXITED")
        found = re.search(r"2:\d[\d:,]*", seen.decode())
        counts = counted(found.group()) if found else {}
        check(counts.get(20) == 1 and b"STOPPED" not in seen,
              "Ctrl-Z to a command that handles it arrives once", seen)
    script = ("import signal,time; seen=[];"
              "signal.signal(signal.SIGCONT, lambda *a: seen.append(1));"
              "print('ready', flush=True);"
              "end=time.time()+1.2\nwhile time.time()<end: time.sleep(0.02)\n"
              "print('continued', len(seen))")
    with terminal_job("run", sys.executable, "-c", script) as master:
        seen = read_until(master, b"ready")
        os.write(master, b"\x1a")
        seen += read_until(master, b"SHELL-EXITED")
        check(b"SHELL-STOPPED 20" in seen and b"continued 1\r" in seen,
              "a continued job gets SIGCONT once", seen)
    with terminal_job("run", "sleep", "1", resume=os.kill) as master:
        time.sleep(0.4)
        os.write(master, b"\x1a")
        seen = read_until(master, b"SHELL-EXITED")
        check(b"SHELL-STOPPED 20" in seen and b"SHELL-EXITED 0" in seen,
              "SIGCONT to us alone continues the command", seen)
    with terminal_job("run", "true") as master:
        seen = read_until(master, b"SHELL-EXITED")
        check(b"no spans" in seen, "on a terminal the summary is automatic", seen)
    with terminal_job("run", "-q", "true") as master:
        seen = read_until(master, b"SHELL-EXITED")
        check(b"burdock" not in seen, "and -q prevents it", seen)


# ---- stores -----------------------------------------------------------------------------------

def ident(number, length=8):
    return number.to_bytes(length, "big")


SHOP, OTHER, ORPHAN = (bytes([lead]) + bytes(14) + bytes([1]) for lead in (0x7F, 0x7A, 0x11))


def shop_store():
    """Two services, three traces; the newest is the shop's."""
    directory = tempfile.mkdtemp(dir=WORK)
    at = int(NOW_MS)
    front = [
        otlp.span(SHOP, ident(1), "GET /checkout", at, 84.2,
                  attributes={"http.response.status_code": 200, "url.path": "/checkout"}),
        otlp.span(SHOP, ident(2), "POST inventory/reserve", at + 10, 41.7, ident(1), kind=3,
                  attributes={"http.response.status_code": 200}),
        otlp.span(SHOP, ident(3), "POST pay.example/charge", at + 53, 30.9, ident(1), kind=3,
                  status=2, attributes={"http.response.status_code": 502, "error.type": "502"}),
    ]
    back = [otlp.span(SHOP, ident(4), "POST /reserve", at + 12, 38.2, ident(2),
                      attributes={"http.response.status_code": 200})]
    older = [otlp.span(OTHER, ident(5), "GET /", at - 60000, 5)]
    orphan = [otlp.span(ORPHAN, ident(6), "GET /part", at - 7200000, 2, ident(99))]
    run = "00000000000000aa"
    otlp.store_file(directory, otlp.frame(otlp.request("demo-shop", older)) +
                    otlp.frame(otlp.request("demo-shop", orphan)), start=1, pid=10)
    otlp.store_file(directory, otlp.frame(otlp.request("demo-shop", front)), 2, 11, run)
    otlp.store_file(directory, otlp.frame(otlp.request("inventory", back)), 3, 12, run)
    return directory


def lines_of(done):
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def test_ls():
    env = environment(BURDOCK_STORE=shop_store())
    found = lines_of(burdock("ls", "--json", env=env))
    check([one["trace_id"] for one in found] == [SHOP.hex(), OTHER.hex(), ORPHAN.hex()],
          "ls: newest first", found)
    first = found[0]
    wanted = {"v": 1, "root": "GET /checkout", "service": "demo-shop", "duration_ms": 84.2,
              "spans": 4, "services": 2, "errors": 1, "status": "error"}
    check({key: first.get(key) for key in wanted} == wanted, "ls --json: schema v1", first)
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", first["start"]),
          "ls --json: start in UTC", first)
    check(len(lines_of(burdock("ls", "--json", "-n", "1", env=env))) == 1, "ls -n")
    check(len(lines_of(burdock("ls", "--json", "--errors", env=env))) == 1, "ls --errors")
    check(len(lines_of(burdock("ls", "--json", "--service", "inventory", env=env))) == 1,
          "ls --service")
    done = burdock("ls", env=env)
    check(done.stdout.count(b"\n") == 4 and b"7f000000" in done.stdout, "ls for people", text(done))
    check(b"\033" not in done.stdout, "no colour outside a terminal", text(done))
    check(b"\033[31m" in burdock("ls", "--color=always", env=env).stdout, "--color=always")
    done = burdock("ls", env=environment(BURDOCK_STORE=os.path.join(WORK, "nothing")))
    check(done.returncode == 0 and done.stdout == b"", "ls: an absent store is empty", text(done))
    check(burdock("ls", "-n", "x", env=env).returncode == 2, "ls: a wrong number is wrong usage")


def test_show():
    env = environment(BURDOCK_STORE=shop_store())
    done = burdock("show", env=env)
    lines = done.stdout.decode().splitlines()
    head = f"trace {SHOP.hex()}  GET /checkout  84.2 ms  4 spans  2 services  1 error "
    check(lines and lines[0].startswith(head), "show: the head line", text(done))
    starts = ["GET /checkout ", "├─ POST inventory/reserve ", "│  └─ POST /reserve ",
              "└─ POST pay.example/charge "]
    check(len(lines) == 5 and all(l.startswith(s) for l, s in zip(lines[1:], starts)),
          "show: the tree across services", done.stdout.decode())
    check("✗ 502" in lines[-1] and lines[1].rstrip().endswith("84.2ms   200"),
          "show: durations, outcomes, errors", done.stdout.decode())
    check(re.search("│█+│", lines[1]) and re.search("│ +▐?█*[▏▎▍▌▋▊▉█]?│", lines[4]),
          "show: bars", done.stdout.decode())
    check(len({line.index("│", 24) for line in lines[1:] if "│" in line[24:]}) == 1,
          "show: bars begin in one column", done.stdout.decode())
    ascii_done = burdock("show", env=environment(BURDOCK_STORE=env["BURDOCK_STORE"], LC_ALL="C"))
    check(ascii_done.stdout.isascii() and b"|- POST inventory" in ascii_done.stdout,
          "show: ASCII where the locale is", text(ascii_done))
    wide = burdock("show", env=environment(BURDOCK_STORE=env["BURDOCK_STORE"], COLUMNS="160"))
    widths = {len(line) for line in wide.stdout.decode().splitlines()[1:]}
    check(max(widths) <= 160 and max(widths) > 120, "show: COLUMNS is the width", widths)
    done = burdock("show", "7F", env=env)
    check(done.stdout.startswith(b"trace 7f"), "show: a prefix in either case", text(done))
    done = burdock("show", "7", env=env)
    check(done.returncode == 1 and SHOP.hex().encode() in done.stderr and
          OTHER.hex().encode() in done.stderr, "show: an ambiguous prefix lists them", text(done))
    check(burdock("show", "ee", env=env).returncode == 1, "show: an unknown prefix fails")
    check(burdock("show", "xyz", env=env).returncode == 2, "show: no digits is wrong usage")
    done = burdock("show", "11", env=env)
    check("GET /part (parent not seen)".encode() in done.stdout, "show: an absent parent",
          text(done))
    done = burdock("show", "-a", env=env)
    check(b"url.path = /checkout\n" in done.stdout and
          b"http.response.status_code = 502\n" in done.stdout, "show -a: attributes", text(done))
    spans = lines_of(burdock("show", "--json", env=env))
    check([one["depth"] for one in spans] == [0, 1, 2, 1] and spans[3]["status"] == "error" and
          spans[0]["attributes"]["http.response.status_code"] == 200 and
          spans[2]["service"] == "inventory" and spans[1]["parent_id"] == ident(1).hex(),
          "show --json: a line for each span", spans)


def test_show_events():
    """An event stands below its span's attributes, with its own; it may lie before the span."""
    directory = tempfile.mkdtemp(dir=WORK)
    pair = otlp.field(1, "tls.resumed") + otlp.field(2, b"\x10\x01")
    event = otlp.field(11, otlp.fixed64(1, 1699999999997500000) + otlp.field(2, "tls.handshake") +
                       otlp.field(3, pair))
    span = otlp.span(SHOP, ident(1), "GET /", 1_700_000_000_000, 2, extra=event)
    otlp.store_file(directory, otlp.frame(otlp.request("a", [span])))
    env = environment(BURDOCK_STORE=directory)
    done = burdock("show", "-a", env=env)
    check(done.stdout.decode().endswith("    event = tls.handshake at -2.5 ms\n"
                                        "        tls.resumed = true\n"), "show -a: events", text(done))
    one, = lines_of(burdock("show", "--json", env=env))
    check(one["events"] == [{"name": "tls.handshake", "time": "2023-11-14T22:13:19.997500000Z",
                             "attributes": {"tls.resumed": True}}], "show --json: events", one)


def trace_of_shape(parents):
    """parents[i]: parent of span i + 1, 0 for none."""
    directory = tempfile.mkdtemp(dir=WORK)
    spans = [otlp.span(SHOP, ident(i + 1), f"span {i + 1}", NOW_MS + i, 5,
                       ident(parent) if parent else b"") for i, parent in enumerate(parents)]
    otlp.store_file(directory, otlp.frame(otlp.request("s", spans)))
    return environment(BURDOCK_STORE=directory)


def test_shapes():
    shapes = [("its own parent", [1]), ("a ring of two", [2, 1]), ("a ring of three", [0, 4, 2, 3]),
              ("two roots", [0, 0, 1, 2]), ("a chain of 3000", list(range(3000))),
              ("3000 children", [0] + [1] * 2999)]
    for what, parents in shapes:
        env = trace_of_shape(parents)
        spans = lines_of(burdock("show", "--json", env=env))
        names = {one["name"] for one in spans}
        check(len(spans) == len(parents) == len(names), f"show: {what}: every span once", spans)
        done = burdock("show", env=env)
        check(done.returncode == 0 and done.stdout.count(b"\n") == len(parents) + 1,
              f"show: {what}: drawn", text(done)[:2000])
    directory = tempfile.mkdtemp(dir=WORK)
    doubled = [otlp.span(SHOP, ident(1), "a", NOW_MS, 5), otlp.span(SHOP, ident(1), "b", NOW_MS, 4),
               otlp.span(SHOP, ident(2), "c", NOW_MS, 1, ident(1)),
               otlp.span(SHOP, b"\1", "bad id", NOW_MS, 1),
               otlp.span(SHOP, ident(3), "backwards", NOW_MS, -3)]
    otlp.store_file(directory, otlp.frame(otlp.request("s", doubled)))
    spans = lines_of(burdock("show", "--json", env=environment(BURDOCK_STORE=directory)))
    check(sorted(one["name"] for one in spans) == ["a", "b", "backwards", "c"],
          "show: doubled ids, wrong ids, ends before starts", spans)


def statement(number, name, at, took, parent, sql=None, status=0, system="postgresql"):
    values = {"db.system.name": system, **({"db.query.text": sql} if sql else {})}
    return otlp.span(SHOP, ident(number), name, NOW_MS + at, took, ident(parent), kind=3,
                     status=status, attributes=values)


def statements_store():
    """A page that asks for its orders, then for the items of each; another trace asks once."""
    directory = tempfile.mkdtemp(dir=WORK)
    item = "SELECT *\n  FROM items WHERE o = ?"
    spans = [otlp.span(SHOP, ident(1), "GET /orders", NOW_MS, 100),
             statement(2, "SELECT orders", 1, 30, 1, "SELECT * FROM orders")]
    for i in range(5):
        spans += [statement(10 + i, "SELECT items", 40 + i * 10, 1 + i, 1, item),
                  statement(20 + i, "PING", 42 + i * 10, 0.5, 1, system="redis")]
    spans += [statement(30, "SELECT items", 95, 3, 1, item, status=2),
              statement(31, "SELECT items", 96, 4, 1, "SELECT a FROM items"),
              otlp.span(SHOP, ident(40), "work", NOW_MS + 97, 2, ident(1), kind=1),
              statement(41, "SELECT items", 97, 1, 40, item),
              statement(42, "SELECT items", 98, 1, 40, item)]
    otlp.store_file(directory, otlp.frame(otlp.request("shop", spans)))
    alone = otlp.span(OTHER, ident(50), "SELECT items", NOW_MS - 9000, 7, kind=3,
                      attributes={"db.system.name": "postgresql", "db.query.text": item})
    otlp.store_file(directory, otlp.frame(otlp.request("batch", [alone])), start=2)
    return environment(BURDOCK_STORE=directory, COLUMNS="140")


def test_map():
    """Two of three messages are worked on, one of them in vain; one comes from who knows where."""
    directory = tempfile.mkdtemp(dir=WORK)

    def message(number, type, at, took, parent=None, status=0):
        return otlp.span(SHOP, ident(number), type, NOW_MS + at, took,
                         ident(parent) if parent else None, kind=4 if type == "send" else 5,
                         status=status, attributes={
                             "messaging.system": "rabbitmq", "messaging.operation.type": type,
                             "messaging.destination.name": "orders" + ":q" * (type != "send")})

    otlp.store_file(directory, otlp.frame(otlp.request("shop", [
        message(1, "send", 0, 1), message(2, "send", 10, 1), message(3, "send", 20, 1)])))
    otlp.store_file(directory, otlp.frame(otlp.request("billing", [
        message(11, "process", 5, 2, 1), message(12, "process", 31, 4, 2, status=2),
        message(13, "process", 40, 6, 99), message(14, "settle", 40, 6, 11)])), start=2)
    env = environment(BURDOCK_STORE=directory, COLUMNS="140")
    found = [{key: round(value, 3) if isinstance(value, float) else value
              for key, value in way.items()} for way in lines_of(burdock("map", "--json", env=env))]
    check(found == [
        {"v": 1, "system": "rabbitmq", "destination": "orders", "producer": "shop", "count": 1,
         "errors": 0},
        {"v": 1, "system": "rabbitmq", "destination": "orders", "producer": "shop",
         "consumer": "billing", "count": 2, "errors": 1, "waited_p50_ms": 4.0,
         "waited_max_ms": 20.0, "worked_mean_ms": 3.0},
        {"v": 1, "system": "rabbitmq", "destination": "orders:q", "consumer": "billing", "count": 1,
         "errors": 0, "worked_mean_ms": 6.0}], "map --json: schema v1", found)
    done = burdock("map", env=env)
    check(re.search(r"\nshop +orders +billing +2 +4\.0 +20\.0 +3\.0 +1\n", done.stdout.decode()),
          "map: a line for people", text(done))
    check(len(lines_of(burdock("map", "--json", "--errors", env=env))) == 1, "map --errors")
    check(len(lines_of(burdock("map", "--json", "--service", "shop", env=env))) == 2,
          "map --service")
    done = burdock("map", "orders", env=env)
    check(done.returncode == 2 and done.stdout == b"", "map orders: wrong usage", text(done))


def test_fold():
    env = statements_store()
    done = burdock("show", "7f", env=env)
    lines = done.stdout.decode().splitlines()
    starts = ["GET /orders ", "├─ SELECT orders ", "├─ x5 SELECT items ", "├─ x5 PING ",
              "├─ SELECT items ", "├─ SELECT items ", "└─ work ", "   └─ x2 SELECT items "]
    check(len(lines) == 9 and all(l.startswith(s) for l, s in zip(lines[1:], starts)),
          "show: repeated statements of one parent are one line", done.stdout.decode())
    check("17 spans" in lines[0] and "15.0ms" in lines[3] and "2.5ms" in lines[4],
          "show: their times are summed, the spans counted", done.stdout.decode())
    for option in ("-A", "--all", "-a"):
        shown = burdock("show", option, "7f", env=env).stdout.decode()
        check(shown.count("─ SELECT items") == 9 and "x5" not in shown,
              f"show {option}: none is folded", shown)
    check(len(lines_of(burdock("show", "--json", "7f", env=env))) == 17, "show --json: nor there")


def test_sql():
    env = statements_store()
    found = lines_of(burdock("sql", "--json", env=env))
    check([(one["statement"], one["count"]) for one in found] ==
          [("SELECT * FROM orders", 1), ("SELECT *\n  FROM items WHERE o = ?", 9),
           ("SELECT a FROM items", 1), ("PING", 5)], "sql: by total time", found)
    wanted = {"v": 1, "system": "postgresql", "count": 9, "errors": 1, "total_ms": 27.0,
              "p50_ms": 3.0, "max_ms": 7.0, "traces": 2, "per_trace": 4.5, "per_trace_max": 8}
    check({key: found[1].get(key) for key in wanted} == wanted, "sql --json: schema v1", found[1])
    done = burdock("sql", env=env)
    check(re.search(r"\n +27\.0 +9 +3\.00 +7\.00 +4\.5 +1  postgresql    "
                    r"SELECT \* FROM items WHERE o = \?\n", done.stdout.decode()),
          "sql: a line for people", text(done))
    check([one["count"] for one in lines_of(burdock("sql", "--json", "7a", env=env))] == [1],
          "sql TRACE: of this trace")
    check([one["count"] for one in lines_of(burdock("sql", "--json", "--service", "batch",
                                                    env=env))] == [1], "sql --service")
    check(len(lines_of(burdock("sql", "--json", "-n", "2", env=env))) == 2, "sql -n")
    check([one["errors"] for one in lines_of(burdock("sql", "--json", "--errors", env=env))] == [1],
          "sql --errors")
    for arguments in (("-n", "0"), ("xyz",), ("7a", "7f"), ("--no-such",)):
        done = burdock("sql", *arguments, env=env)
        check(done.returncode == 2 and done.stdout == b"", f"sql {arguments}: wrong usage",
              text(done))
    done = burdock("sql", env=environment(BURDOCK_STORE=shop_store()))
    check(done.returncode == 0 and done.stdout == b"" and b"no such statements" in done.stderr,
          "sql: a store without statements", text(done))


HOSTILE = [b"\x1b]0;owned\x07", b"\x1b[2Jclear", b"a\rb\nc\x08", b"\xc2\x9b31m",
           b"\xff\xfe\xc0\x80", "\u202egnp.exe".encode(), "a\u200bb\ufeff".encode(), b"\x7f",
           b"\xed\xa0\x80",
           b"e" + "\u0301".encode() * 200]


def is_clean(data):
    """Nothing but printable characters and newlines."""
    try:
        decoded = data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return False
    return all(c == "\n" or c.isprintable() or c == " " for c in decoded)


def test_hostile():
    for number, name in enumerate(HOSTILE):
        directory = tempfile.mkdtemp(dir=WORK)
        spans = [otlp.span(SHOP, ident(1), name, NOW_MS, 5, status=2,
                           attributes={b"key" + name: name, "error.type": name,
                                       "db.system.name": name, "db.query.text": name})]
        otlp.store_file(directory, otlp.frame(otlp.request(name, spans)))
        env = environment(BURDOCK_STORE=directory)
        outputs = [burdock("ls", env=env), burdock("show", env=env), burdock("show", "-a", env=env),
                   burdock("sql", env=env), burdock("sql", "--json", env=env),
                   burdock("ls", "--json", env=env), burdock("show", "--json", env=env),
                   burdock("export", "--json", "-", env=env)]
        check(all(is_clean(one.stdout.replace("\u0301".encode(), b"")) for one in outputs[:4]),
              f"hostile text {number} is escaped for people", "\n".join(map(text, outputs[:4])))
        check(all(lines_of(one) and b"\x1b" not in one.stdout for one in outputs[4:]),
              f"hostile text {number} is valid JSON", "\n".join(map(text, outputs[4:])))
    check(outputs[1].stdout.count("\u0301".encode()) < 20, "combining marks do not pile up")
    done = burdock("\x1b[31mred")
    check(b"\x1b" not in done.stderr and done.returncode == 2, "arguments are escaped too",
          text(done))


def test_torn():
    directory = tempfile.mkdtemp(dir=WORK)
    good = [otlp.frame(otlp.request("s", [otlp.span(ident(i + 1, 16), ident(i + 1), f"t{i}",
                                                    NOW_MS, 1)])) for i in range(3)]
    broken = bytearray(good[1])
    broken[20] ^= 0xFF
    otlp.store_file(directory, good[0] + bytes(broken) + b"BRDK\xff\xff\xff\x7f" + good[2] +
                    good[1][:-5])
    otlp.store_file(directory, b"", 2)
    deep = otlp.any_value("x")
    for _ in range(20000):
        deep = otlp.field(5, otlp.field(1, deep))
    deep = otlp.field(1, otlp.field(1, otlp.field(1, otlp.field(1, "k") + otlp.field(2, deep))))
    otlp.store_file(directory, otlp.frame(deep), 4)
    otlp.store_file(directory, otlp.frame(b"\xff\xff\xff not protobuf"), 3)
    for name in ("notes.txt", "0000000000000001-x-0.otlp", "1-2-3.otlp"):
        with open(os.path.join(directory, name), "wb") as file:
            file.write(good[1])
    os.mkfifo(os.path.join(directory, "0000000000000009-1-0.otlp"))
    os.symlink("/etc/passwd", os.path.join(directory, "000000000000000a-1-0.otlp"))
    done = burdock("ls", "--json", env=environment(BURDOCK_STORE=directory))
    roots = sorted(one["root"] for one in lines_of(done))
    check(roots == ["t0", "t2"], "torn frames and foreign files are passed over", text(done))
    check(b"damaged" in done.stderr, "and that is said", text(done))


def test_summary():
    directory = tempfile.mkdtemp(dir=WORK)
    prepared = os.path.join(WORK, "prepared.bin")
    spans = [otlp.span(SHOP, ident(1), "GET /slow", NOW_MS, 900),
             otlp.span(SHOP, ident(2), "GET db", NOW_MS, 9, ident(1), status=2),
             otlp.span(OTHER, ident(3), "GET /fast", NOW_MS, 1)]
    with open(prepared, "wb") as file:
        file.write(otlp.frame(otlp.request("shop", spans)))
    otlp.store_file(directory, otlp.frame(otlp.request("old", [
        otlp.span(ORPHAN, ident(4), "old", NOW_MS, 5000)])))
    script = f'cat {prepared} > "$BURDOCK_STORE/00000000000000ff-$$-$BURDOCK_RUN.otlp"; exit 3'
    done = burdock("run", "--summary=always", "-o", directory, "sh", "-c", script)
    words = done.stderr.decode()
    check("burdock: 3 spans in 2 traces, 1 service, 1 error\n" in words and done.returncode == 3,
          "summary: this run only", text(done))
    check("GET /slow  900.0 ms" in words and "Next: burdock show 7f000000\n" in words,
          "summary: the slowest and what to do next", text(done))
    done = burdock("run", "--summary=always", "--endpoint", "http://127.0.0.1:9", "true")
    check(done.stderr.count(b"\n") == 1 and b"http://127.0.0.1:9/v1/traces" in done.stderr,
          "summary: one line with an endpoint", text(done))


# ---- export -----------------------------------------------------------------------------------

class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        server.seen.append((self.path, self.headers["Content-Type"], body))
        status, answer, headers = server.script.pop(0) if server.script else (200, b"", {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def collector(*script):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.seen, server.script = [], list(script)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_export():
    env = environment(BURDOCK_STORE=shop_store())
    files_before = sorted(os.listdir(env["BURDOCK_STORE"]))
    with collector() as (server, url):
        done = burdock("export", "--endpoint", url, env=env)
        wanted = b"burdock: 6 spans in 4 requests sent, 0 rejected\n"
        check(done.returncode == 0 and done.stdout == wanted,
              "export: everything, once", text(done))
        kinds = {(path, kind) for path, kind, _ in server.seen}
        check(len(server.seen) == 4 and kinds == {("/v1/traces", "application/x-protobuf")},
              "export: path and content type", server.seen)
        names = b"".join(body for _, _, body in server.seen)
        check(names.count(b"GET /checkout") == 1 and names.count(b"GET /part") == 1,
              "export: no span twice")
    check(sorted(os.listdir(env["BURDOCK_STORE"])) == files_before, "export: nothing is deleted")
    cases = [(("--trace", "7f"), 4, "a trace"), (("--last",), 4, "the last run"),
             (("--since", "3600s"), 5, "the last seconds"), (("--since", "1d"), 6, "the last day"),
             (("--trace", "7A00"), 1, "a prefix in capitals")]
    for options, spans, what in cases:
        with collector() as (server, url):
            done = burdock("export", "--endpoint", url, *options, env=env)
            check(done.stdout.startswith(b"burdock: %d spans in " % spans), f"export: {what}",
                  text(done))
    busy = (503, b"", {"Retry-After": "1"})
    with collector(busy, (429, b"", {})) as (server, url):
        done = burdock("export", "--endpoint", url, "--trace", "7a", env=env)
        check(done.returncode == 0 and len(server.seen) == 3 and
              len({body for _, _, body in server.seen}) == 1, "export: retried until accepted",
              text(done))
    with collector((401, b"", {})) as (server, url):
        done = burdock("export", "--endpoint", url, env=env)
        check(done.returncode == 1 and len(server.seen) == 1 and b"401" in done.stderr,
              "export: stops at a refusal that concerns all", text(done))
    with collector((400, b"", {})) as (server, url):
        done = burdock("export", "--endpoint", url, env=env)
        check(done.returncode == 1 and len(server.seen) == 4 and b"400" in done.stderr,
              "export: goes on after a refusal that concerns one", text(done))
    partial = otlp.field(1, otlp.field(1, 1) + otlp.field(2, "too old"))
    with collector((200, partial, {"Content-Type": "application/x-protobuf"})) as (server, url):
        done = burdock("export", "--endpoint", url, "--trace", "7a", env=env)
        check(done.returncode == 1 and b"0 spans in 1 requests sent, 1 rejected" in done.stdout,
              "export: a partial success is counted", text(done))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done = burdock("export", "--endpoint", url, "--trace", "7a", env=env, timeout=120)
        check(done.returncode == 1 and b"refused" in done.stderr, "export: nobody listens",
              text(done))
    check(burdock("export", env=env).returncode == 2, "export: no endpoint is wrong usage")
    check(burdock("export", "--since", "5x", env=env).returncode == 2, "export: a wrong duration")


def test_export_json():
    directory = tempfile.mkdtemp(dir=WORK)
    event = otlp.field(11, otlp.fixed64(1, 1700000000000000001) + otlp.field(2, "exception"))
    link = otlp.field(13, otlp.field(1, OTHER) + otlp.field(2, ident(7)))
    values = {"text": "a\"b\\c\u00e9", "int": -(1 << 53) - 1, "bool": True, "real": 1.5,
              "list": ["x", 2], "map": {"k": "v"}, "bytes": bytearray(b"\x00\xff\x10\x80")}
    one = otlp.span(SHOP, ident(1), "GET /", 1_700_000_000_000, 2, ident(9), kind=2, status=2,
                    attributes=values, extra=event + link)
    two = otlp.request("b", [otlp.span(OTHER, ident(2), "x", 1, 1)])
    otlp.store_file(directory, otlp.frame(otlp.request("a", [one])) + otlp.frame(two))
    env = environment(BURDOCK_STORE=directory)
    done = burdock("export", "--json", "-", env=env)
    lines = lines_of(done)
    check(len(lines) == 2 and all(list(line) == ["resourceSpans"] for line in lines),
          "export --json: one TracesData for each request", text(done))
    scope = lines[0]["resourceSpans"][0]["scopeSpans"][0]
    got = scope["spans"][0]
    check(got["traceId"] == SHOP.hex() and got["spanId"] == ident(1).hex() and
          got["parentSpanId"] == ident(9).hex(), "export --json: ids are hexadecimal", got)
    check(got["kind"] == 2 and got["status"] == {"code": 2} and got["flags"] == 0x101,
          "export --json: enums and 32 bits are numbers", got)
    check(got["startTimeUnixNano"] == "1700000000000000000", "export --json: 64 bits are strings",
          got)
    wanted = {"text": {"stringValue": values["text"]}, "int": {"intValue": "-9007199254740993"},
              "bool": {"boolValue": True}, "real": {"doubleValue": 1.5},
              "list": {"arrayValue": {"values": [{"stringValue": "x"}, {"intValue": "2"}]}},
              "map": {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "v"}}]}},
              "bytes": {"bytesValue": base64.b64encode(values["bytes"]).decode()}}
    check({pair["key"]: pair["value"] for pair in got["attributes"]} == wanted,
          "export --json: every kind of value", got["attributes"])
    check(got["events"] == [{"timeUnixNano": "1700000000000000001", "name": "exception"}] and
          got["links"] == [{"traceId": OTHER.hex(), "spanId": ident(7).hex()}],
          "export --json: events and links", got)
    check(scope["scope"] == {"name": "burdock", "version": "0.1.0"} and
          "parentSpanId" not in lines[1]["resourceSpans"][0]["scopeSpans"][0]["spans"][0],
          "export --json: scope; no parent, no field", lines)
    path = os.path.join(WORK, "out.jsonl")
    done = burdock("export", "--json", path, env=env)
    with open(path) as file:
        check(file.read().count("\n") == 2 and b"2 spans written" in done.stdout,
              "export --json FILE", text(done))
    check(burdock("export", "--json", "/nosuch/x", env=env).returncode == 1,
          "export --json: a file that cannot be made")
    done = burdock("export", "--json", "/dev/full", env=env)
    check(done.returncode == 1 and b"No space" in done.stderr, "export --json: a full disk",
          text(done))


# ---- doctor, help -----------------------------------------------------------------------------

def findings(done):
    return [tuple(line.split(None, 1)) for line in done.stdout.decode().splitlines()[:-1]]


def test_doctor():
    done = burdock("doctor")
    check(done.returncode == 0 and all(kind == "ok" for kind, _ in findings(done)),
          "doctor: all well", text(done))
    done = burdock("doctor", "--", "true")
    check(done.returncode == 0 and "dynamically linked" in done.stdout.decode(),
          "doctor: a dynamic command", text(done))
    cases = [("nosuchcommand-x", {}, "command not found"),
             ("true", {"BURDOCK_LIBRARY": "/nosuch.so"}, "not found"),
             ("true", {"BURDOCK_LIBRARY": "/etc/passwd"}, "does not load"),
             ("true", {"BURDOCK_DISABLED": "true"}, "BURDOCK_DISABLED"),
             ("true", {"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED"),
             ("true", {"OTEL_TRACES_EXPORTER": "none"}, "OTEL_TRACES_EXPORTER"),
             ("true", {"BURDOCK_STORE": "/etc/passwd/store"}, "cannot be written"),
             ("true", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "not reachable")]
    for command, changes, words in cases:
        done = burdock("doctor", "--", command, env=environment(**changes))
        failed = [what for kind, what in findings(done) if kind == "fail"]
        check(done.returncode == 1 and any(words in what and "fix: " in what for what in failed),
              f"doctor: {command} {changes} fails with a remedy", text(done))
    with collector() as (server, url):
        scheme = {"OTEL_EXPORTER_OTLP_ENDPOINT": url.replace("http", "HTTP") + "?a=b"}
        done = burdock("doctor", env=environment(**scheme))
        check(done.returncode == 0 and "is reachable" in done.stdout.decode(),
              "doctor: a listening endpoint", text(done))
    done = burdock("doctor", env=environment(LD_PRELOAD="/nosuch/other.so"))
    check(done.returncode == 0 and any(kind == "warn" and "/nosuch/other.so" in what
                                       for kind, what in findings(done)),
          "doctor: another library in LD_PRELOAD is missing", text(done))
    done = burdock("doctor", env=environment(OTEL_EXPORTER_OTLP_ENDPOINT="ftp://x"))
    check(any(kind == "warn" and "OTEL_EXPORTER_OTLP_ENDPOINT" in what
              for kind, what in findings(done)), "doctor: an ignored setting", text(done))
    unknown = {"BURDOCK_SPOL_MAX": "1G", "OTEL_BLRP_SCHEDULE_DELAY": "100", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": "9",
               "OTEL_EXPORTER_OTLP_TRACE_ENDPOINT": "http://a"}
    done = burdock("doctor", env=environment(OTEL_PYTHON_ID_GENERATOR="xray", OTEL_BSP_NOTHING="", **unknown))
    told = {what.split()[0] for kind, what in findings(done) if kind == "warn" and "has no effect" in what}
    check(done.returncode == 0 and told == set(unknown),
          "doctor: settings that are none, but not those of SDKs alone, nor empty ones", text(done))
    for arguments in (("--",), ("--nosuch",), ("1", "2")):
        check(burdock("doctor", *arguments).returncode == 2, f"doctor {arguments}: wrong usage")


def executable(name, content):
    path = os.path.join(WORK, name)
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, 0o755)
    return path


def test_doctor_files():
    def words(path, status, *wanted):
        done = burdock("doctor", "--", path)
        out = done.stdout.decode()
        check(done.returncode == status and all(word in out for word in wanted),
              f"doctor: {os.path.basename(path)}: {', '.join(wanted)}", text(done))

    words(executable("script", b"#! /bin/sh -e\n"), 0, "script for /bin/sh", "/bin/sh is dynam")
    words(executable("env-script", b"#!/usr/bin/env python3\n"), 0, "python3 is dynamically")
    words(executable("lost-script", b"#!/nosuch/interpreter\n"), 1, "/nosuch/interpreter is not")
    words(executable("ring-script", b"#!" + os.path.join(WORK, "ring-script").encode() + b"\n"), 1,
          "no usable interpreter")
    words(executable("no-line", b"echo hello\n"), 0, "neither an ELF file")
    words(executable("empty", b""), 0, "neither an ELF file")
    with open("/bin/true", "rb") as file:
        true = file.read()
    words(executable("cut", true[:70]), 1)
    for length in range(16, 2000, 97):
        done = burdock("doctor", "--", executable("cut", true[:length]))
        if done.returncode not in (0, 1):
            check(False, f"doctor: an ELF file cut at {length}", text(done))
    words(executable("foreign", true[:18] + b"\x28\x00" + true[20:]), 1, "another architecture")
    words(executable("small", true[:4] + b"\x01" + true[5:]), 1, "another architecture")
    interpreter = re.search(rb"/lib\S*/ld-linux[^\0]*", true).group()
    musl = b"/lib/ld-musl-x86_64.so.1".ljust(len(interpreter), b"\0")[:len(interpreter)]
    words(executable("musl", true.replace(interpreter, musl)), 1, "uses musl")
    copy = executable("setuid-copy", true)
    os.chmod(copy, 0o4755)
    words(copy, 1, "is setuid")
    copy = executable("setgid-copy", true)
    os.chmod(copy, 0o2755)
    words(copy, 1, "is setgid")
    capable = executable("capable", true)
    try:
        os.setxattr(capable, "security.capability",
                    b"\x01\x00\x00\x02\x00\x20\x00\x00" + bytes(12))
        words(capable, 1, "file capabilities")
    except OSError as error:
        skip("doctor: file capabilities", f"cannot be set here: {error.strerror}")
    static = os.path.join(WORK, "static")
    if build("int main(void) { return 0; }\n", static, "-static"):
        words(static, 1, "statically linked")
    else:
        skip("doctor: a static binary", "gcc -static does not work here")
    go = os.path.join(WORK, "go")
    source = '__attribute__((section(".go.buildinfo"), used)) const char mark[] = "x";\n' \
             'int main(void) { return 0; }\n'
    if build(source, go):
        words(go, 1, "Go program")
    else:
        skip("doctor: a Go binary", "no gcc")
    inner = os.path.join(WORK, "inner")
    if build('#include <stdio.h>\nint main(void) { puts("OpenSSL 3.0.1"); return 0; }\n', inner):
        words(inner, 0, "contain OpenSSL")
    else:
        skip("doctor: TLS inside a binary", "no gcc")


def test_doctor_process():
    def diagnose(process):
        time.sleep(0.3)
        done = burdock("doctor", str(process.pid))
        process.kill()
        process.wait()
        return done, done.stdout.decode()

    if os.path.basename(LIBRARY) == "libburdock.so":
        done, out = diagnose(subprocess.Popen([BURDOCK, "run", "--exec", "sleep", "9"],
                                              env=environment()))
        check("ok    libburdock.so is loaded" in out and "ok    LD_PRELOAD=" in out and
              done.returncode == 0, "doctor PID: traced", text(done))
    done, out = diagnose(subprocess.Popen(["sleep", "9"], env=environment()))
    check("fail  libburdock.so is not loaded" in out and done.returncode == 1,
          "doctor PID: not traced", text(done))
    done, out = diagnose(subprocess.Popen(["sleep", "9"], env=environment(OTEL_BLRP_SCHEDULE_DELAY="1")))
    check("warn  OTEL_BLRP_SCHEDULE_DELAY has no effect" in out, "doctor PID: a setting that is none",
          text(done))
    done, out = diagnose(subprocess.Popen([BURDOCK, "run", "--exec", "sleep", "9"],
                                          env=environment(BURDOCK_DISABLED="true")))
    check("fail  BURDOCK_DISABLED" in out and done.returncode == 1,
          "doctor PID: the kill switch", text(done))
    ended = subprocess.Popen(["true"])
    ended.wait()
    done = burdock("doctor", str(ended.pid))
    check(done.returncode == 1 and b"there is no process" in done.stdout, "doctor PID: gone",
          text(done))


def test_help():
    for arguments in (("--help",), ("help",), ("-h",), ("run", "--help"), ("help", "run"),
                      ("show", "--help"), ("help", "ls"), ("export", "-h"), ("help", "doctor")):
        done = burdock(*arguments)
        check(done.returncode == 0 and 3 <= done.stdout.count(b"\n") <= 24 and
              max(map(len, done.stdout.decode().splitlines())) <= 100, f"help: {arguments}",
              text(done))
    check(re.fullmatch(rb"burdock \d+\.\d+\.\d+\n", burdock("--version").stdout), "--version")
    done = burdock("shwo")
    check(done.returncode == 2 and b"did you mean burdock show?" in done.stderr,
          "a slip of the finger", text(done))
    done = burdock("something-else-entirely-long")
    check(done.returncode == 2 and b"burdock run something" in done.stderr, "a command as verb",
          text(done))
    done = burdock()
    check(done.returncode == 2 and done.stdout == b"" and b"Usage" in done.stderr, "no arguments",
          text(done))


def main():
    wanted = sys.argv[1:]
    # A shell starts what it puts in the background with these ignored; commands would inherit it.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    for name, function in list(globals().items()):
        if name.startswith("test_") and (not wanted or name in wanted):
            print(f"# {name}")
            function()
    shutil.rmtree(WORK, ignore_errors=True)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
