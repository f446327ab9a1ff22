# SPDX-License-Identifier: Apache-2.0
"""Unmodified programs over NSS: NSS's own client, server and load generator, libcurl-nss, lighttpd's
mod_nss, NUT's daemon and client; and a pair that makes every kind of call."""
import os
import subprocess

from harness import BUILD, Scene, check, equal, free_port, main, skip, wait_until
from tls_scene import Secure, ask, certify, chain_of, handshakes, have

PAIR = os.path.join(BUILD, "tests/e2e/nss_pair")
CURL = os.path.join(BUILD, "tests/e2e/nss_curl")


def keep(scene):
    """What NSS keeps certificates in: the authority, and localhost's with its key."""
    place = scene.path("db")
    os.mkdir(place)

    def run(*command):
        subprocess.run(command, check=True, capture_output=True, cwd=scene.directory)
    run("certutil", "-N", "-d", "sql:" + place, "--empty-password")
    run("certutil", "-A", "-d", "sql:" + place, "-n", "authority", "-t", "C,,", "-i", "ca.pem")
    run("openssl", "pkcs12", "-export", "-inkey", "key.pem", "-in", "cert.pem", "-name", "localhost",
        "-passout", "pass:", "-out", "localhost.p12")
    run("pk12util", "-i", "localhost.p12", "-d", "sql:" + place, "-W", "", "-K", "")
    return "sql:" + place


def built(program, what):
    if not os.path.exists(program):
        skip(what, "its library or headers are not installed")
    return os.path.exists(program)


def path_of(span):
    return span.attributes.get("url.path") or "/" + span.attributes["url.full"].split("/", 3)[3]


def test_pair():
    """Both ends in one process: what the server got is what the client gave, whatever was refused."""
    if not built(PAIR, "a pair by NSS"):
        return
    # How many requests, and how many of them carry the context.
    cases = {"implied": (2, 2), "early": (2, 2), "refused": (2, 2), "pieces": (1, 0),
             "twice": (1, 1), "threads": (12, 12), "layers": (2, 2), "copied": (2, 2), "plain": (2, 2)}
    with Scene() as scene:
        certify(scene)
        done = scene.as_bare([PAIR, keep(scene), *cases], "a pair")
        contexts = dict(line.split() for line in done.stderr.decode().splitlines())
        for case, (requests, carry) in cases.items():
            equal(contexts[case], str(carry), case + ": the context inside")
            spans = [s for s in scene.spans() if path_of(s) == "/" + case]
            equal([sorted(s.kind for s in spans)], [["CLIENT"] * requests + ["SERVER"] * requests],
                  case + ": a span each on both sides")
            agreed = {None} if case == "plain" else {"1.3"}
            equal({s.attributes.get("tls.protocol.version") for s in spans}, agreed, case + ": agreed on")
            equal({s.attributes["url.scheme"] for s in spans if s.kind == "SERVER"},
                  {"http" if case == "plain" else "https"}, case + ": the scheme")
            if case != "implied":  # there the client's is part of its first write
                equal(sum(len(handshakes(s)) for s in spans), 0 if case == "plain" else 2,
                      case + ": a handshake on each side")
            made = {s.id for s in spans if s.kind == "CLIENT"}
            equal(sum(s.parent in made for s in spans), carry, case + ": the server's below")


def test_curl():
    """A transfer after the other, and many at a time; a body that the socket does not take at once."""
    if not built(CURL, "libcurl-nss"):
        return
    for what, way, body, paths in (("easy", "easy", 0, ["/one", "/two"]),
                                   ("a large body", "easy", 3000000, ["/body"]),
                                   ("multi", "multi", 0, ["/n%d" % number for number in range(8)])):
        with Secure() as scene:
            if way == "multi":
                scene.url = scene.url.replace("localhost", "127.0.0.1")  # one attempt to connect each
            command = [CURL, way, scene.ca, str(body), *(scene.url + path for path in paths)]
            if what != "multi":
                ask(scene, command, "libcurl-nss, " + what, paths)
                continue
            scene.as_bare(command, "libcurl-nss, multi", spans=8)
            wait_until(lambda: len(scene.requests()) >= 16)
            equal(sorted(s.attributes["url.full"] for s in scene.spans()),
                  [scene.url + path for path in paths], "libcurl-nss, multi: a span each")
            equal(sorted(r[1].split("-")[2] for r in scene.requests() if r[0] == "1"),
                  sorted(s.id for s in scene.spans()), "libcurl-nss, multi: the context is inside")
    with Secure() as scene:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null",
                        "-out", scene.path("other.pem"), "-subj", "/CN=other"], capture_output=True)
        scene.run([CURL, "easy", scene.path("other.pem"), "0", scene.url + "/one"])
        equal([(s.name, s.attributes.get("error.type")) for s in scene.wait_spans(1)],
              [("TLS handshake", "certificate_verify_failed")], "libcurl-nss: who trusts another")


def test_tools():
    """NSS's own client and server, and its load generator: 60 connections on four threads."""
    with Secure() as scene:
        port, place = free_port(), keep(scene)
        scene.write("request", "GET /one HTTP/1.1\r\nHost: localhost:%d\r\n"
                    "Connection: close\r\n\r\n" % scene.port)
        scene.as_bare(["sh", "-c", "tstclnt -4 -d %s -h localhost -p %d -V tls1.2:tls1.3 < request | "
                       "grep -v -e Date -e Contexts" % (place, scene.port)], "tstclnt")
        span, = scene.spans()
        equal((span.kind, span.attributes["url.full"], span.attributes["http.response.status_code"],
               span.attributes["tls.protocol.version"]), ("CLIENT", scene.url + "/one", 200, "1.3"),
              "tstclnt: a span")
        equal([r[1].split("-")[2] for r in scene.requests() if r[0] == "1"], [span.id],
              "tstclnt: the context is inside")
        server = scene.start(["selfserv", "-d", place, "-n", "localhost", "-p", str(port), "-V",
                              "tls1.2:tls1.3", "-t", "4"], "selfserv", port=port)
        told = scene.run(["curl", "-4", "-sS", "--cacert", scene.ca, "https://localhost:%d/abc" % port],
                         "curl").stdout.decode()
        check(told.startswith("GET /abc HTTP/1.1"), "selfserv: answers", told)
        scene.run(["strsclnt", "-d", place, "-p", str(port), "-c", "60", "-t", "4", "-V",
                   "tls1.2:tls1.3", "-q", "-o", "127.0.0.1"], "strsclnt")
        wait_until(lambda: len(scene.spans()) >= 123)
        equal(server.poll(), None, "selfserv: lives")
        spans = scene.spans()
        made = {s.id for s in spans if s.service in ("curl", "strsclnt")}
        served = [s.parent for s in spans if s.service == "selfserv"]
        equal((len(made), len(served), set(served)), (61, 61, made), "selfserv: below its clients")
        equal({s.attributes["tls.protocol.version"] for s in spans}, {"1.3"}, "selfserv: agreed on")


LIGHTTPD = """
server.modules = ("mod_nss", "mod_proxy")
server.document-root = "%(place)s/www"
server.bind = "127.0.0.1"
server.port = %(port)d
server.errorlog = "%(place)s/lighttpd.log"
ssl.engine = "enable"
ssl.pemfile = "%(place)s/cert.pem"
ssl.privkey = "%(place)s/key.pem"
$HTTP["url"] =~ "^/app/" { proxy.server = ("" => (("host" => "127.0.0.1", "port" => %(app)d))) }
"""


def test_lighttpd():
    """A file that goes out in pieces, and a service behind it, which is told how its client came."""
    if not have("lighttpd", "lighttpd") or not os.path.exists("/usr/lib/lighttpd/mod_nss.so"):
        skip("lighttpd's mod_nss", "is not installed")
        return
    with Scene() as scene:
        certify(scene)
        app, port = scene.service("app"), free_port()
        os.mkdir(scene.path("www"))
        scene.write("www/file", os.urandom(2000000))
        config = scene.write("lighttpd.conf", LIGHTTPD % {
            "place": scene.directory, "port": port, "app": app.port})
        scene.start(["lighttpd", "-D", "-f", config], "lighttpd", port=port)
        scene.as_bare(["sh", "-c", "for path in file app/r/7; do curl -sS --http1.1 --cacert %s "
                       "https://127.0.0.1:%d/$path | sha256sum; done" % (scene.path("ca.pem"), port)],
                      "lighttpd", OTEL_SERVICE_NAME="curl")
        wait_until(lambda: len(scene.spans()) >= 10)
        for path, chain in (("/file", [("curl", "CLIENT", "https"), ("lighttpd", "SERVER", "https")]),
                            ("/app/r/7", [("curl", "CLIENT", "https"), ("lighttpd", "SERVER", "https"),
                                          ("lighttpd", "CLIENT", "http"), ("app", "SERVER", "https")])):
            roots = {s.trace for s in scene.spans() if s.service == "curl" and path_of(s) == path}
            spans = [s for s in scene.spans() if s.trace in roots]
            equal(chain_of(spans), chain, "lighttpd: one below the other")
            equal([len(handshakes(s)) for s in spans if s.service == "lighttpd" and s.kind == "SERVER"],
                  [1], "lighttpd: its handshake")


def test_nut():
    """A power supply's daemon and who asks it: TLS that begins within a protocol that is not
    followed."""
    if not os.path.exists("/lib/nut/upsd") or not have("upsc", "NUT"):
        skip("NUT", "is not installed")
        return
    with Scene() as scene:
        certify(scene)
        port, place, names = free_port(), keep(scene)[4:], ("NUT_CONFPATH", "NUT_STATEPATH",
                                                            "NUT_ALTPIDPATH", "NUT_PIDPATH")
        scene.environment.update({name: scene.directory for name in names})
        scene.write("ups.dev", "ups.status: OL\nups.mfr: somebody\n")
        scene.write("ups.conf", "[ups]\ndriver = dummy-ups\nport = %s\n" % scene.path("ups.dev"))
        scene.write("upsd.conf", 'LISTEN 127.0.0.1 %d\nCERTPATH %s\nCERTIDENT "localhost" ""\n'
                    "STATEPATH %s\n" % (port, place, scene.directory))
        scene.write("upsd.users", "[one]\npassword = two\nupsmon primary\n")
        user = ["-u", "root"] if os.geteuid() == 0 else []
        scene.start(["/lib/nut/dummy-ups", "-a", "ups", "-D", *user], traced=False)
        wait_until(lambda: os.path.exists(scene.path("dummy-ups-ups")))
        upsd = scene.start(["/lib/nut/upsd", "-D", "-D", *user], "upsd", port=port)
        command = ["upsc", "ups@127.0.0.1:%d" % port, "ups.mfr"]
        wait_until(lambda: scene.run(command, traced=False).returncode == 0)
        done = scene.as_bare(command, "upsc")
        check(b"in SSL" in done.stderr and done.stdout == b"somebody\n", "upsc: inside TLS", done)
        equal((upsd.poll(), scene.spans()), (None, []), "upsd: lives")


main(globals(), needs=["openssl", "curl", "certutil", "pk12util", "tstclnt"])
