# SPDX-License-Identifier: Apache-2.0
"""Where a host may find itself: set-user-id, in a chroot, on a full disk, without a home."""
import contextlib
import os
import re
import shutil
import subprocess

from harness import (BUILD, LIBRARY, PATH, PYTHON, SOURCE, VICTIMS, Scene, check, equal, get, load,
                     main, skip, wait_until)
import harness

if harness.otlp:
    from otlp import spans_of_store

EXCHANGES = [os.path.join(VICTIMS, "hazards"), "exchanges"]  # ten spans
NOBODY = 65534


def needs_root(what):
    if os.geteuid() == 0:
        return False
    skip(what, "only root can ask for it")
    return True


# --- who may be traced -------------------------------------------------------------------------


def copy_with_libraries(root, program):
    """A program, its loader and its libraries, at the same places below root."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for path in {program, *re.findall(r"(/\S+) \(0x", listed)}:
        os.makedirs(root + os.path.dirname(path), exist_ok=True)
        shutil.copy(path, root + path)


def jail(scene):
    """A root with little in it but the library, named in its /etc/ld.so.preload."""
    root = scene.path("root")
    copy_with_libraries(root, EXCHANGES[0])
    copy_with_libraries(root, LIBRARY)
    for name in ("store", "rings", "etc"):
        os.mkdir(os.path.join(root, name))
        os.chmod(os.path.join(root, name), 0o1777)
    with open(root + "/etc/ld.so.preload", "w") as file:
        file.write(LIBRARY + "\n")
    return root


def in_jail(scene, root, what, user, spans):
    done = scene.run(["chroot", "--userspec=%d:%d" % (user, user), root, *EXCHANGES], traced=False,
                     BURDOCK_STORE="/store", BURDOCK_DIR="/rings", HOST_TRACED="1")
    bare = scene.run(EXCHANGES, traced=False)
    equal((done.returncode, done.stdout, done.stderr), (0, bare.stdout, b""), what + ": as bare")
    equal(len(spans_of_store(root + "/store")), spans, what + ": spans")
    shutil.rmtree(root + "/store")
    os.mkdir(root + "/store")
    os.chmod(root + "/store", 0o1777)
    equal(os.listdir(root + "/rings"), [], what + ": no ring is left")


def test_preload_file():
    """/etc/ld.so.preload loads us into everything, those with more rights included: they are left
    alone."""
    if needs_root("/etc/ld.so.preload"):
        return
    with Scene() as scene:
        root = jail(scene)
        program = root + EXCHANGES[0]
        in_jail(scene, root, "/etc/ld.so.preload in a chroot", 0, 10)
        in_jail(scene, root, "/etc/ld.so.preload, as nobody", NOBODY, 10)
        os.chmod(program, 0o4755)
        in_jail(scene, root, "set-user-id", NOBODY, 0)
        os.chown(program, 0, 4)
        os.chmod(program, 0o2755)
        in_jail(scene, root, "set-group-id", NOBODY, 0)
        os.chmod(program, 0o755)
        try:  # cap_net_raw, permitted and effective
            os.setxattr(program, "security.capability",
                        b"\x01\x00\x00\x02\x00\x20\x00\x00" + bytes(12))
        except OSError as error:
            skip("file capabilities", "cannot be set here: %s" % error.strerror)
        else:
            in_jail(scene, root, "file capabilities", NOBODY, 0)


ENTERS = """
import os, socket, sys, time
port, jail, store, before = int(sys.argv[1]), *sys.argv[2:5]
def ask():
    with socket.create_connection(("127.0.0.1", port)) as back:
        back.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        while back.recv(4096):
            pass
if before == "1":
    ask()
    while os.environ.get("LD_PRELOAD") and not os.listdir(store):
        time.sleep(0.01)
os.chroot(jail)
ask()
"""


def test_enters_jail():
    """A host that shuts itself in finds nothing of ours there; what it does is told all the same, if
    it was being told before."""
    if needs_root("a jail"):
        return
    with Scene() as scene:
        back, jailed = scene.service("back", traced=False), scene.path("jailed")
        os.mkdir(jailed)
        for before in (1, 0):
            scene.as_bare([PYTHON, "-c", ENTERS, str(back.port), jailed, scene.store, str(before)],
                          "enters a jail after %d requests" % before, spans=2 * before)
            equal(os.listdir(jailed), [], "nothing of ours is in it")


def test_set_user_id():
    """By LD_PRELOAD the loader itself leaves us out."""
    if needs_root("set-user-id by LD_PRELOAD"):
        return
    with Scene() as scene:
        program = shutil.copy(EXCHANGES[0], scene.path("hazards"))
        os.chown(program, NOBODY, NOBODY)
        os.chmod(program, 0o4755)
        done = scene.run([program, "exchanges"])
        equal(done.returncode, 0, "set-user-id by LD_PRELOAD: works")
        equal(scene.spans(), [], "set-user-id by LD_PRELOAD: not traced")


# --- where nothing can be written ----------------------------------------------------------------


@contextlib.contextmanager
def small_disk(scene, *places):
    """64 KB at each place, all of it taken; None if nothing may be mounted."""
    mounted = []
    for place in places:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=1777", "none", place],
                              capture_output=True)
        if done.returncode == 0:
            mounted.append(place)
    try:
        yield len(mounted) == len(places)
    finally:
        for place in mounted:
            subprocess.run(["umount", "-l", place], check=True)


def fill(place):
    with open(os.path.join(place, "filler"), "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass


def works_silently(scene, what):
    """A client, and a service under load, do as ever."""
    scene.as_bare(EXCHANGES, what + ", a client")
    app = scene.service("app")
    equal(load(app.port, 200, 4), [], what + ", a service: every request is answered")
    equal((scene.stop(app), scene.stderr(app)), (-15, b""), what + ", a service: ends silently")


def test_full_disk():
    with Scene() as scene, small_disk(scene, scene.store, scene.rings) as mounted:
        if not mounted:
            return skip("a full disk", "nothing can be mounted here")
        fill(scene.store)
        fill(scene.rings)
        works_silently(scene, "a full disk")
    with Scene() as scene, small_disk(scene, scene.store) as mounted:
        works_silently(scene, "a disk that fills up")
        check(spans_of_store(scene.store), "a disk that fills up: what went before is readable")
        ring = wait_until(lambda: scene.rings_left())
        dropped = sum(each.counters.get("spans.dropped.export", 0) for each in ring)
        check(dropped, "a disk that fills up: what did not fit is counted", dropped)
    return None


def test_read_only():
    with Scene() as scene, small_disk(scene, scene.store, scene.rings) as mounted:
        if not mounted:
            return skip("a read-only file system", "nothing can be mounted here")
        for place in (scene.store, scene.rings):
            subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        works_silently(scene, "a read-only file system")
        equal(os.listdir(scene.store), [], "a read-only file system: nothing is there")
    return None


def test_no_home():
    """Somebody without a home, without a store and without rights."""
    with Scene() as scene:
        library = shutil.copy(LIBRARY, scene.path("libburdock.so"))
        program = shutil.copy(EXCHANGES[0], scene.path("hazards"))
        os.chmod(scene.directory, 0o755)
        become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] \
            if os.geteuid() == 0 else []
        clean = ["env", "-i", "PATH=" + PATH, "BURDOCK_DIR=" + scene.rings]
        for extra in ([], ["HOME="], ["HOME=/nonexistent"], ["XDG_STATE_HOME=/proc/1/x"],
                      ["HOME=relative"]):
            done = scene.run([*become, *clean, *extra, "LD_PRELOAD=" + library, "HOST_TRACED=1",
                              program, "exchanges"], traced=False)
            bare = scene.run(EXCHANGES, traced=False)
            equal((done.returncode, done.stdout, done.stderr), (0, bare.stdout, b""),
                  "no home, %s: works, silently" % (extra or ["unset"])[0])


# --- other languages, other descriptors, other libraries ------------------------------------------

TALKS = """
import locale, sys, urllib.request as u
locale.setlocale(locale.LC_ALL, '')
u.urlopen(sys.argv[1] + '/f%C3%BCr?%C3%B6=1').read()
print(locale.localeconv()['decimal_point'], locale.str(1.5))
"""


def test_locale():
    """A comma for a point, names in UTF-8 and in Latin-1: the numbers and paths of spans do not
    care."""
    with Scene() as scene:
        back = scene.service("back", traced=False)
        store = scene.path("st\u00f6re \u2603")
        os.mkdir(store)
        names = {"C": None, "C.UTF-8": None}
        for name, charset in (("de_DE.UTF-8", "UTF-8"), ("de_DE.ISO-8859-1", "ISO-8859-1")):
            done = scene.run(["localedef", "-i", "de_DE", "-f", charset, scene.path(name)],
                             traced=False)
            if done.returncode in (0, 1) and os.path.exists(scene.path(name)):
                names[name] = scene.directory
            else:
                skip("locale " + name, "cannot be made here (package locales)")
        for number, (name, place) in enumerate(names.items()):
            scene.as_bare([PYTHON, "-c", TALKS, "http://127.0.0.1:%d" % back.port],
                          "locale " + name, LC_ALL=name, BURDOCK_STORE=store,
                          OTEL_SERVICE_NAME="dienst-\u00e4", OTEL_TRACES_SAMPLER="traceidratio",
                          OTEL_TRACES_SAMPLER_ARG="1.0", **({"LOCPATH": place} if place else {}))
            found = spans_of_store(store)
            equal(len(found), number + 1, "locale %s: traced" % name)
            equal({(span.service, span.attributes["url.full"].rpartition("/")[2])
                   for span in found}, {("dienst-\u00e4", "f%C3%BCr?%C3%B6=1")},
                  "locale %s: names are whole" % name)


def test_closed_descriptors():
    """Programs started with some of 0, 1 and 2 closed, as by cron jobs and old daemons."""
    with Scene() as scene:
        back = scene.service("back", traced=False)
        url = "http://127.0.0.1:%d/" % back.port
        for closed in ("<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"):
            for what, command in (("curl", "curl -sS -o out " + url),
                                  ("a victim", " ".join(EXCHANGES))):
                spans = 1 if what == "curl" else 10
                scene.as_bare(["/bin/sh", "-c", "exec %s %s" % (command, closed)],
                              "%s, closed: %s" % (what, closed), spans)


def test_another_preload():
    """We are one of several in LD_PRELOAD, and children are traced as well; what the host says with
    it stays as it is."""
    with Scene() as scene:
        back = scene.service("back", traced=False)
        url = "http://127.0.0.1:%d/" % back.port
        script = "env | grep -c LD_PRELOAD=; curl -sS %s; sh -c 'curl -sS %s'" % (url, url)
        other = os.path.join(VICTIMS, "plugin.so")
        for separator in (":", " "):
            for order in ((LIBRARY, other), (other, LIBRARY)):
                scene.as_bare(["/bin/sh", "-c", script], "another library in LD_PRELOAD", 2,
                              {"LD_PRELOAD": other}, LD_PRELOAD=separator.join(order))
        done = scene.run(["/bin/sh", "-c", "echo $LD_PRELOAD"], LD_PRELOAD=LIBRARY + ":" + other)
        equal(done.stdout.decode().strip(), LIBRARY + ":" + other, "LD_PRELOAD stays as it is")


def test_another_clock():
    """A preload tells the process another time: what was recorded leaves while it lives."""
    with Scene() as scene:
        preload = LIBRARY + ":" + os.path.join(VICTIMS, "plugin.so")
        front = scene.nginx("location / { return 200; }", LD_PRELOAD=preload, PLUGIN_AHEAD="172800",
                            main="env PLUGIN_AHEAD;")
        equal(get(front.port, "/")[0], 200, "a server two days ahead answers")
        equal(len(scene.wait_spans(1)), 1, "and its span is stored")


if __name__ == "__main__":
    main(globals(), ("curl",))
