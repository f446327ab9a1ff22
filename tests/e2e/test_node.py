# SPDX-License-Identifier: Apache-2.0
"""Node carries the context of a request through everything that makes its work wait: each call is
under its own request, none under another one's, and calls of nobody's are roots."""
import os
import re
import shutil
import subprocess

from harness import APPS, LIBRARY, Scene, check, equal, free_port, main, on_connections

TASKS = os.path.join(APPS, "tasks.mjs")
CONCURRENCY, REQUESTS = 32, 192
VERSION = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout \
    if shutil.which("node") else ""
# By default the carrier follows Node 20, others if asked.
FOLLOWED = {} if VERSION.startswith("v20.") else {"BURDOCK_CARRIERS": "node"}
TRIAL = 64  # before these, where others wait, a process does not believe it: attribution.c


def start(scene, arguments, service, **more):
    port = free_port()
    process = scene.start(["node", TASKS, str(port), *map(str, arguments)], service, port=port, **more)
    process.port = port
    return process


def load(port, way, total, body=None):
    """Answers how many calls were made for each request."""
    calls = {}

    def ask(connection, number):
        connection.request("POST" if body else "GET", "/%s/%d" % (way, number), body)
        answer = connection.getresponse()
        calls[number] = (answer.status, answer.read())

    on_connections(port, total, CONCURRENCY, ask)
    wrong = {number: what for number, what in calls.items() if what[0] != 200}
    check(len(calls) == total and not wrong, way + ": every request is answered", list(wrong.items())[:3])
    return sum(int(what[1]) for what in calls.values() if what[0] == 200)


def name_of(span):
    url = span.attributes.get("url.full") or span.attributes.get("url.path")
    return url.rpartition("/")[2]


def judge(spans, trial):
    """(right, without a parent on trial, and after it, under a stranger), of the calls that a request
    asked for; then the calls of nobody's that have a parent."""
    parents = {span.id: span for span in spans if span.kind == "SERVER"}
    right, early, late, strange, adopted = 0, 0, 0, [], []
    for span in spans:
        if span.kind != "CLIENT" or span.service != "front":
            continue
        name, parent = name_of(span), parents.get(span.parent)
        if name == "tick":
            adopted += [span] if span.parent else []
        elif parent is not None and name_of(parent) == name.split(".")[0]:
            right += 1
        elif not span.parent:
            is_on_trial = int(name.split(".")[0]) < trial
            early, late = early + is_on_trial, late + (not is_on_trial)
        else:
            strange.append((span, parent))
    return right, early, late, strange, adopted


def is_called(span):
    return span.kind == "CLIENT" and span.service == "front" and name_of(span) != "tick"


def is_judged(span):
    return is_called(span) or (span.kind == "SERVER" and span.service == "front")


def no_strangers(text, strange):
    check(not strange, text + ": no call is under a stranger's request",
          [(name_of(call), parent and name_of(parent)) for call, parent in strange[:5]])


def play(way, is_known=True, mode=(), body=None, text=None, processes=1):
    text, total = text or way, REQUESTS * processes
    with Scene(**FOLLOWED) as scene:
        back = start(scene, (), "back", traced=False)
        front = start(scene, (back.port, *mode), "front")
        wanted = load(front.port, way, total, body)
        spans = scene.wait_spans(wanted + total, is_judged, timeout=60)
        right, early, late, strange, adopted = judge(spans, TRIAL * processes)
        equal(right + early + late + len(strange), wanted, text + ": a span for every call")
        no_strangers(text, strange)
        check(late == 0 or not is_known, text + ": after the trial each call is under its own", late)
        equal(adopted[:3], [], text + ": calls of nobody's have no parent")
        equal(scene.stderr(front), b"", text + ": nothing is printed")


def test_http():
    play("http")


def test_fetch():
    play("fetch")


def test_fetch_post():
    play("post")


def test_fetch_stream():
    play("stream")


def test_promise_all():
    play("all")


def test_agent_exhausted():
    play("agent")


def test_timer():
    play("timer")


def test_immediate():
    play("immediate")


def test_fs():
    play("fs")


def test_dns():
    play("dns")


def test_body():
    play("body", body=b"x" * 300_000)


def test_after_the_answer():
    play("after")


def test_worker():
    play("agent", mode=["worker"], text="a server in a worker")


def test_cluster():
    play("agent", mode=["cluster"], text="a cluster", processes=2)


def test_queue():
    """Callbacks that the program's own queue calls are in the context of whoever called it, which
    the trial finds out: they are roots."""
    play("queue", is_known=False)


IDLE_MAX, STRAYED_MAX = 256, 64  # requests: burdock-node.cjs


def test_sleep():
    """A server whose requests make no calls pays nothing for them; the first call ends that."""
    with Scene(**FOLLOWED) as scene:
        back = start(scene, (), "back", traced=False)
        front = start(scene, (back.port, "quiet"), "front")
        hooks = load(front.port, "hooks", 1)
        check(hooks > 0 or VERSION.startswith("v24."), "the first request is carried", hooks)
        load(front.port, "none", IDLE_MAX + CONCURRENCY)
        hooks = load(front.port, "hooks", 1)
        equal(hooks, 0, "once many have made no call, Node has no hooks to call")
        wanted = load(front.port, "http", REQUESTS)
        spans = scene.wait_spans(wanted, is_called, timeout=60)
        right, early, late, strange, _ = judge(spans, TRIAL + STRAYED_MAX)
        equal(right + early + late + len(strange), wanted, "a span for every call")
        no_strangers("after the sleep", strange)
        equal(late, 0, "and soon each call is under its own again")


LOOK = os.path.join(APPS, "look.cjs")
# Options, and NODE_OPTIONS.
WAYS = [((), None), ((), ""), ((), "--no-warnings --max-http-header-size=20000"),
        (("--no-addons",), None), (("--experimental-permission", "--allow-fs-read=*"), None),
        (("--permission", "--allow-fs-read=*"), None), (("--pending-deprecation",), None), (("--preserve-symlinks",), None), ((), "--throw-deprecation"),
        (("--disable-proto=throw", "--frozen-intrinsics"), None), (("--env-file=options.env",), None),
        (("--experimental-default-type=module",), None), (("--test",), None), (("--check",), None),
        (("--interpreted-frames-native-stack",), "--stack-trace-limit=50"),
        (("--no-such-option",), None), ((), "--no-such-option"), (("--no_addons",), None)]


def test_what_a_program_sees():
    with Scene(**FOLLOWED) as scene:
        scene.write("options.env", "NODE_OPTIONS=--no-warnings\nFROM_FILE=1\n")
        for arguments, options in WAYS:
            more = {} if options is None else {"NODE_OPTIONS": options}
            see(scene, ["node", *arguments, LOOK], "%s, NODE_OPTIONS %r" % (" ".join(arguments), options),
                **more)
        see(scene, ["node", "-p", "process.env.NODE_OPTIONS"], "-p")
        scene.write("entry.js", "globalThis.built = 1; require('v8').startupSnapshot"
                    ".setDeserializeMainFunction(() => console.log(built, process.env.NODE_OPTIONS))")
        see(scene, ["node", "--snapshot-blob", "blob", "--build-snapshot", "entry.js"], "building a snapshot")
        see(scene, ["node", "--snapshot-blob", "blob", "entry.js"], "running a snapshot")


def see(scene, command, text, **more):
    bare, traced = (scene.run(command, traced=traced, **more) for traced in (False, True))
    ignored = re.compile(rb"\(node:\d+\)|duration_ms:? [\d.]+")
    equal(*((done.returncode, ignored.sub(b"", done.stdout), ignored.sub(b"", done.stderr))
            for done in (traced, bare)), text + ": as bare")


def test_without_its_script():
    """The library alone, as where an update has taken the script away."""
    with Scene(**FOLLOWED) as scene:
        library = scene.path("libburdock.so")
        shutil.copy(LIBRARY, library)
        done = [scene.run(["node", "-p", "1 + process.argv.length"], LD_PRELOAD=preload)
                for preload in (library, LIBRARY)]
        equal([(one.returncode, one.stdout, one.stderr) for one in done], [(0, b"2\n", b"")] * 2,
              "without its script nothing is required")


if __name__ == "__main__":
    main(globals(), ("node",))
