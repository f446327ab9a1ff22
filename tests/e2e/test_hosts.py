# SPDX-License-Identifier: Apache-2.0
"""What a host must not notice: descriptors, threads, signals, wake-ups, output."""
import os
import signal
import time

from harness import (LIBRARY, PYTHON, Scene, check, equal, get, main, thread_names, threads_of,
                     wait_until)


def descriptors(process):
    """{number: what it is}, without the inode numbers of sockets and pipes."""
    found = {}
    for name in os.listdir("/proc/%d/fd" % process.pid):
        try:
            target = os.readlink("/proc/%d/fd/%s" % (process.pid, name))
        except FileNotFoundError:
            continue
        found[int(name)] = target.split(":")[0] if ":[" in target else os.path.basename(target)
    return found


def settled_descriptors(process, timeout=5):
    """Once two looks agree: connections just answered may still be closing."""
    looks = [None]

    def same():
        looks.append(descriptors(process))
        return looks[-1] == looks[-2]
    wait_until(same, timeout, 0.2)
    return looks[-1]


def test_descriptors():
    """/proc/PID/fd of a host that has exported lists what it lists bare."""
    for kind in ("python", "node", "nginx"):
        lists = []
        for traced in (False, True):
            with Scene() as scene:
                environment = {} if traced else {"BURDOCK_DISABLED": "1"}
                if kind == "nginx":
                    app = scene.nginx("location / { return 200 ok; }", traced=traced)
                elif kind == "node":
                    app = scene.node(**({} if traced else {"LD_PRELOAD": ""}))
                else:
                    app = scene.service("app", traced=traced, **environment)
                for _ in range(5):
                    get(app.port)
                if traced:
                    equal(len(scene.wait_spans(5)), 5, kind + ": traced")
                found = settled_descriptors(app)
                lists.append({number: name.replace("nginx0", "nginx") for number, name in
                              found.items()})
        equal(lists[1], lists[0], kind + ": /proc/PID/fd is the same as bare")


LOWEST = """
import os, sys, urllib.request as u
before = os.open('/dev/null', os.O_RDONLY)
u.urlopen(sys.argv[1]).read()
print(before, os.open('/dev/null', os.O_RDONLY), sorted(map(int, os.listdir('/proc/self/fd'))))
"""


def test_lowest_descriptor():
    with Scene() as scene:
        back = scene.service("back", traced=False)
        url = "http://127.0.0.1:%d/" % back.port
        outputs = [scene.run([PYTHON, "-c", LOWEST, url], traced=traced).stdout
                   for traced in (False, True)]
        equal(outputs[1], outputs[0], "the lowest free descriptor is the same as bare")
        equal(len(scene.spans()), 1, "and it was traced")


CLOSER = """
import os, sys, socket, urllib.request as u
u.urlopen(sys.argv[1] + '/1').read()
os.closerange(3, 1 << 16)
for number in range(3, 40): os.dup2(os.open('/dev/null', os.O_RDWR) if number == 3 else 3, number)
mine = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)
os.dup2(mine, 45)
os.closerange(3, 45)
u.urlopen(sys.argv[1] + '/2').read()
os.write(45, b'mine')
"""


def test_closes_everything():
    """A host that closes and overwrites all numbers it does not know, as daemons do."""
    with Scene() as scene:
        back = scene.service("back", traced=False)
        answer = scene.run([PYTHON, "-c", CLOSER, "http://127.0.0.1:%d" % back.port,
                            scene.path("mine")])
        equal((answer.returncode, answer.stderr), (0, b""), "closes everything: works")
        with open(scene.path("mine"), "rb") as file:
            equal(file.read(), b"mine", "closes everything: its file has its bytes only")
        equal(len(scene.spans()), 2, "closes everything: both calls are stored")


NO_HTTP = """
import os, socket, sys, threading, tempfile
with tempfile.TemporaryFile() as file: file.write(b'GET / HTTP/1.1\\r\\n\\r\\n' * 100)
a, b = socket.socketpair(); a.send(b'plain'); b.recv(5)
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
print('ready', flush=True)
sys.stdin.read()
"""


def test_no_http():
    """A process without HTTP: no thread, no ring file, nothing stored."""
    with Scene() as scene:
        reader, writer = os.pipe()
        process = scene.start([PYTHON, "-c", NO_HTTP], "quiet", stdin=reader)
        os.close(reader)
        wait_until(lambda: scene.stdout(process) == b"ready\n")
        with open("/proc/%d/maps" % process.pid) as maps:
            check(LIBRARY in maps.read(), "no HTTP: the library is there")
        equal(list(threads_of(process)), [process.pid], "no HTTP: no thread")
        equal(os.listdir(scene.rings), [], "no HTTP: no ring file")
        os.close(writer)
        equal((process.wait(20), scene.stderr(process)), (0, b""), "no HTTP: ends well, silently")
        equal(os.listdir(scene.store) + os.listdir(scene.rings), [], "no HTTP: nothing is stored")


def wakeups(process, name):
    for task, comm in threads_of(process).items():
        if comm == name:
            with open("/proc/%d/task/%d/status" % (process.pid, task)) as status:
                return sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)
    return None


def test_idle():
    """The exporter thread sleeps while there is nothing to do: three seconds are looked at."""
    with Scene() as scene:
        app = scene.service("app")
        get(app.port)
        scene.wait_spans(1)
        before = wait_until(lambda: wakeups(app, "burdock"))
        last = [0]

        def quiet():  # it may still be publishing what it counted
            last.append(wakeups(app, "burdock"))
            return last[-1] == last[-2]
        wait_until(quiet, 10, 0.3)
        before = wakeups(app, "burdock")
        time.sleep(3)
        equal(wakeups(app, "burdock"), before, "idle: not one wake-up in three seconds")
        check("burdock" in thread_names(app), "idle: the thread is there")


SIGNALS = """
import os, signal, sys, urllib.request as u
got = []
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM): signal.signal(number, lambda *a: got.append(a[0]))
u.urlopen(sys.argv[1]).read()
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
for number in range(200): u.urlopen(sys.argv[1]).read()
signal.setitimer(signal.ITIMER_REAL, 0)
os.kill(os.getpid(), signal.SIGUSR2)
print(signal.SIGALRM in got, signal.SIGUSR2 in got, signal.SIGUSR1 in got)
"""


def test_signals():
    with Scene() as scene:
        back = scene.service("back", traced=False)
        answer = scene.run([PYTHON, "-c", SIGNALS, "http://127.0.0.1:%d/" % back.port])
        equal((answer.returncode, answer.stdout, answer.stderr), (0, b"True True False\n", b""),
              "signals: the host's handlers run, and only they")
        equal(len(scene.spans()), 201, "signals: every call is stored")
        status = scene.run([PYTHON, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGUSR2)"])
        equal(status.returncode, -signal.SIGUSR2, "SIGUSR2 by default ends the process as ever")
        app = scene.service("app")
        get(app.port)
        task = wait_until(lambda: [task for task, name in threads_of(app).items()
                                   if name == "burdock"])[0]
        with open("/proc/%d/task/%d/status" % (app.pid, task)) as file:
            blocked = next(int(line.split()[1], 16) for line in file if line.startswith("SigBlk"))
        check(blocked & 1 << signal.SIGTERM - 1 and blocked & 1 << signal.SIGUSR2 - 1,
              "the exporter thread takes no signal of the host", hex(blocked))


def test_small_limits():
    """RLIMIT_NOFILE just enough, no new processes, no files to write."""
    with Scene() as scene:
        back = scene.service("back", traced=False)
        url = "http://127.0.0.1:%d/" % back.port
        for limit in ("ulimit -n 10", "ulimit -u 0", "ulimit -f 0", "ulimit -v 200000"):
            results = [scene.run(["/bin/sh", "-c", limit + "; exec curl -sS " + url], traced=traced)
                       for traced in (False, True)]
            equal([(each.returncode, each.stdout, each.stderr) for each in results][1],
                  (results[0].returncode, results[0].stdout, results[0].stderr),
                  limit + ": the same as bare")


def test_output_as_bare():
    """Programs that have nothing to do with HTTP print and end the same."""
    with Scene() as scene:
        scene.write("text", "one\ntwo\n" * 1000)
        for command in ("true", "false", "exit 7", "cat text | sort | uniq -c", "ls /proc/self/fd",
                        "(exec 3>file; echo x >&3; cat file)", "kill -TERM $$", "seq 100000 | tail -1",
                        "dd if=/dev/zero bs=1M count=20 2>/dev/null | sha256sum", "id", "env | grep -c HOME",
                        "find /etc -maxdepth 1 | wc -l", "python3 -c 'import ssl, asyncio, json; print(1)'",
                        "sh -c 'sh -c \"exit 5\"'", "timeout 1 sleep 5", "nohup true", "yes | head -1"):
            results = [scene.run(["/bin/sh", "-c", command], traced=traced) for traced in (False, True)]
            equal((results[1].returncode, results[1].stdout, results[1].stderr),
                  (results[0].returncode, results[0].stdout, results[0].stderr),
                  "as bare: " + command)
        equal(os.listdir(scene.store) + os.listdir(scene.rings), [], "as bare: nothing is stored")


if __name__ == "__main__":
    main(globals(), ("nginx", "curl", "node"))
