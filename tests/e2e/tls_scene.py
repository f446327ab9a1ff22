# SPDX-License-Identifier: Apache-2.0
"""What the tests of TLS share: a scene with an authority, and a server that answers what it got."""
import os
import shutil
import subprocess

from harness import APPS, PATH, Scene, check, equal, free_port, skip, wait_until

PYTHON = "/usr/bin/python3"


def certify(scene):
    """A certificate for localhost by an authority of our own."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=scene.directory)
    scene.write("names", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=localhost")
    openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", "cert.pem", "-days", "2", "-extfile", "names")
    os.chmod(scene.path("key.pem"), 0o644)  # nginx's workers are nobody


class Secure(Scene):
    """A scene with a server that answers what it received; not traced unless asked for."""

    def __init__(self, traced=False, **environment):
        super().__init__(**environment)
        certify(self)
        self.ca = self.path("ca.pem")
        self.port = free_port()
        self.server = self.start([PYTHON, os.path.join(APPS, "tls_server.py"), str(self.port),
                                  self.path("cert.pem"), self.path("key.pem")], "server", traced,
                                 self.port)
        self.url = "https://localhost:%d" % self.port

    def requests(self):
        """(number of contexts, context, path, client's port) of each, as the server got them."""
        return [line.split() for line in self.stdout(self.server).decode().splitlines()]


def ask(scene, command, what, paths, **more):
    """A client's requests: as bare, and each of them one span with its context inside."""
    bare = len(paths)
    scene.as_bare(command, what, **more)
    equal(len(wait_until(lambda: (r := scene.requests())[2 * bare - 1:] and r) or []), 2 * bare,
          what + ": the server got each request once")
    received = scene.requests()[bare:]
    spans = scene.wait_spans(bare)
    equal([(s.kind, s.attributes.get("url.full"), s.attributes.get("http.response.status_code"))
           for s in sorted(spans, key=lambda s: s.start)],
          [("CLIENT", scene.url + path, 200) for path in paths], what + ": a span each")
    equal(sorted(r[1].split("-")[2] for r in received if r[0] == "1"), sorted(s.id for s in spans),
          what + ": the context is inside")
    first = min(spans, key=lambda s: s.start)
    equal(first.attributes.get("tls.protocol.version"), "1.3", what + ": what was agreed on")
    ports = {s.attributes.get("network.peer.port") for s in spans}
    check(ports == {scene.port} or "async" in what or "aiohttp" in what, what + ": the other end", ports)
    shakes = [shake for span in spans for shake in handshakes(span)]
    equal(len(shakes), len({r[3] for r in received}), what + ": a handshake for each connection")
    return spans


def handshakes(span):
    """What its events tell, one that is whole each: (version, resumed)."""
    found = []
    for name, time, told in span.events:
        equal(name, "tls.handshake", "an event's name")
        check(told["tls.cipher"].startswith("TLS_") and
              0 <= told["burdock.duration_us"] < 60e6 and
              0 <= span.start - time < 60e9, "a handshake before its request", (told, span))
        found.append((told["tls.protocol.version"], told["tls.resumed"]))
    return found


def have(program, what):
    found = shutil.which(program, path=PATH) is not None
    if not found:
        skip(what, program + " is not installed")
    return found


def chain_of(spans):
    """By service and kind, from the root."""
    by_parent = {span.parent: span for span in spans}
    chain, parent = [], ""
    while parent in by_parent:
        span = by_parent[parent]
        chain.append((span.service, span.kind, span.attributes.get("url.scheme") or
                      span.attributes["url.full"].partition(":")[0]))
        parent = span.id
    return chain
