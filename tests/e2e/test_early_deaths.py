# SPDX-License-Identifier: Apache-2.0
"""kill -9 in a process's, a child's or a thread's first milliseconds: what was answered is told."""
import collections
import os
import signal
import socket
import time

from harness import (APPS, BURDOCK, LIBRARY, PYTHON, VICTIMS, Scene, check, equal, free_port, main,
                     wait_until)



def start(scene, mode, count=1, **more):
    port = free_port()
    app = scene.start([PYTHON, os.path.join(APPS, "dies.py"), str(port), mode, str(count)], "app",
                      **more)
    app.port = port
    return app


def connected(port):
    def trial():
        try:
            return socket.create_connection(("127.0.0.1", port), 20)
        except ConnectionRefusedError:
            return None
    return wait_until(trial)


def send(connection, path):
    connection.sendall(b"GET %s HTTP/1.1\r\nHost: here\r\n\r\n" % path.encode())


def is_answered(connection):
    with connection:
        try:
            return connection.recv(4096).endswith(b"ok")
        except OSError:
            return False


def is_zombie(pid):
    with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
        return ") Z " in file.read()


def is_over(ring):
    """Has the process of this file ended?"""
    try:
        return is_zombie(int(ring.split("-")[1]))
    except FileNotFoundError:
        return True


def told(scene):
    scene.run([BURDOCK, "recover"], traced=False)
    spans = scene.spans()
    return collections.Counter(span.attributes["url.path"] for span in spans)


def compare(scene, answered, what, at_least, twice=0):
    """twice: how many may be, since who recovered them was killed before it could remove the file."""
    check(len(answered) >= at_least, what + ": requests are answered", len(answered))
    found = told(scene)
    equal([path for path in answered if path not in found], [],
          what + ": each that was answered is told")
    again = [path for path, times in found.items() if times > 1]
    check(len(again) <= twice, what + ": and once", again)
    equal(os.listdir(scene.rings), [], what + ": no ring is left")


def test_process():
    with Scene() as scene:
        answered = []
        for number in range(20):
            app = start(scene, "once")
            connection, path = connected(app.port), "/once/%d" % number
            send(connection, path)
            if is_answered(connection):
                answered.append(path)
            wait_until(lambda: is_zombie(app.pid))  # nobody asks how it ended
        compare(scene, answered, "a process's first answer", 20, 3)


def test_between():
    """The client has the answer, and the thread that sent it has not gone on yet."""
    late = LIBRARY + ":" + os.path.join(VICTIMS, "late.so")
    with Scene() as scene:
        answered = []
        for number in range(5):
            app = start(scene, "once", LD_PRELOAD=late)
            connection, path = connected(app.port), "/between/%d" % number
            send(connection, path)
            if is_answered(connection):
                answered.append(path)
            scene.stop(app, signal.SIGKILL)
        compare(scene, answered, "between an answer and its span", 5, 2)
        equal({span.attributes.get("burdock.unfinished") for span in scene.spans()}, {"requested"},
              "between an answer and its span: told as unfinished")


def test_children():
    with Scene() as scene:
        app, answered = start(scene, "children"), []
        for number in range(40):
            connection, path = connected(app.port), "/child/%d" % number
            send(connection, path)
            if is_answered(connection):
                answered.append(path)
        scene.stop(app)
        wait_until(lambda: all(map(is_over, os.listdir(scene.rings))))  # the last one has answered, and dies
        compare(scene, answered, "a child's first answer", 40, 4)


def at_once(scene, mode, count):
    app = start(scene, mode, count, OTEL_BSP_SCHEDULE_DELAY="600000")
    answered = []
    if mode == "warm":
        connection = connected(app.port)
        send(connection, "/first")
        answered += ["/first"] * is_answered(connection)
        wait_until(scene.rings_left)
        time.sleep(0.2)  # the exporter has made its spare ring, and rests
    connections = [connected(app.port) for _ in range(count)]
    for number, connection in enumerate(connections):
        send(connection, "/%s/%d" % (mode, number))
    answered += ["/%s/%d" % (mode, number) for number, connection in enumerate(connections)
                 if is_answered(connection)]
    app.wait(20)
    return answered


def test_threads():
    for mode in ("together", "warm"):
        for count in (2, 16, 64):
            with Scene() as scene:
                compare(scene, at_once(scene, mode, count), "%s, %d threads" % (mode, count), count)


if __name__ == "__main__":
    main(globals(), ("curl",))
