# SPDX-License-Identifier: Apache-2.0
"""Inside TLS: every rule of repeated writes; web servers on both sides; TLS after plaintext;
handshakes that succeed and that fail; programs without TLS. test_tls_programs.py has the clients."""
import glob
import os
import select
import socket

from harness import BUILD, RawServer, Scene, check, equal, free_port, main, read_head, skip
from tls_scene import PYTHON, Secure, ask, certify, chain_of, handshakes, have


def test_writes():
    """Repeated writes by every rule of OpenSSL's."""
    client = built("tls_client", "writes")
    if client is None:
        return
    for mode in ("-", "p", "pm", "m", "x", "xp", "g", "gpm", "s", "sp", "sm", "sx", "sg", "sgpm",
                 "h", "hs", "hp", "hsx", "k", "sk", "hk", "fp", "fps", "fs", "fhps", "f"):
        with Secure() as scene:
            count = 45 if "h" in mode else 9
            done = scene.as_bare([client, str(scene.port), mode], "writes, " + mode, spans=count)
            equal(done.returncode, 0, "writes, %s: all were answered" % mode)
            contexts = [int(request[0]) for request in scene.requests()]
            equal(contexts, [0] * count + [1] * count, "writes, %s: a context each" % mode)


def built(name, what, library="OpenSSL"):
    path = os.path.join(BUILD, "tests", "e2e", name)
    if not os.path.exists(path):
        skip(what, "no headers of %s when it was built" % library)
    return path if os.path.exists(path) else None


def test_pair():
    """Bytes that are looked at before they are read, pieces, early data."""
    program = built("tls_pair", "pair")
    if program is None:
        return
    with Scene() as scene:
        certify(scene)
        scene.as_bare([program, "cert.pem", "key.pem"], "pair", spans=4)
        spans = sorted(scene.spans(), key=lambda s: s.start)
        equal([(s.kind, s.attributes.get("url.path") or s.attributes["url.full"],
                s.attributes["http.response.status_code"]) for s in spans],
              [("CLIENT", "https://pair/usual", 200), ("SERVER", "/usual", 200),
               ("CLIENT", "https://pair/early", 200), ("SERVER", "/early", 200)],
              "pair: a span each side")
        equal([s.parent for s in spans], ["", spans[0].id, "", ""],
              "pair: the context is in all but early data")


PIECES = """
import socket, ssl
context = ssl.create_default_context(cafile='{ca}')
sock = context.wrap_socket(socket.create_connection(('localhost', {port})), server_hostname='localhost')
for piece in (b'GET /one', b'/half+', b'/two HTTP/1.1\\r\\nHost: localhost:{port}\\r\\n', b'\\r\\n'):
    sock.sendall(piece)
print(len(sock.recv(65536)) > 0)
"""


def test_pieces():
    """What was agreed on comes into no text that is told in pieces."""
    with Secure() as scene:
        script = PIECES.format(ca=scene.ca, port=scene.port)
        ask(scene, [PYTHON, "-c", script], "pieces", ["/one/half+/two"])


COPIES = """
import ctypes, http.client, os, ssl, sys
plugin = ctypes.CDLL('./tls_plugin.so', mode=os.RTLD_LOCAL | os.RTLD_NOW | os.RTLD_DEEPBIND)
context = ssl.create_default_context(cafile='ca.pem')
for path in (b'/one', b'/two'):
    if plugin.tls_plugin_ask({port}, path) != 0:
        sys.exit(1)
    connection = http.client.HTTPSConnection('localhost', {port}, context=context)
    connection.request('GET', path.decode() + '/own')
    print(connection.getresponse().read().decode(), flush=True)
with open('/proc/self/maps') as maps:
    print(sorted({{line.split('/')[-1].strip() for line in maps if 'libssl' in line}}))
"""


def test_dtls():
    """A packet that is refused, then a shorter one: each call answers as it does bare."""
    program = built("dtls_pair", "dtls", "GnuTLS")
    if program is None:
        return
    with Scene() as scene:
        equal(scene.as_bare([program], "dtls", spans=0).returncode, 0, "dtls: answered as alone")


def test_copies():
    """Two copies of libssl in one process: each caller's calls go to its own."""
    plugin = built("tls_plugin.so", "copies")
    libraries = [path for path in glob.glob("/usr/lib/*/libssl.so.3") if os.path.exists(path)]
    if plugin is None or not libraries:
        return
    with Secure() as scene:
        for path, name in ((libraries[0], "libssl.so.9"), (plugin, "tls_plugin.so")):
            with open(path, "rb") as file: # the same library under another name
                scene.write(name, file.read().replace(b"libssl.so.3\0", b"libssl.so.9\0"))
        done = scene.as_bare([PYTHON, "-c", COPIES.format(port=scene.port)], "copies", spans=4,
                             LD_LIBRARY_PATH=scene.directory)
        equal(done.returncode, 0, "copies: all were answered")
        check(done.stdout.count(b"\nby libssl.so.9 \n") == 2 and
              b"['libssl.so.3', 'libssl.so.9']" in done.stdout, "copies: two of them", done.stdout)
        equal(sorted(s.attributes["url.full"].rpartition(str(scene.port))[2] for s in scene.spans()),
              ["/one", "/one/own", "/two", "/two/own"], "copies: a span each")
        equal([r[0] for r in scene.requests()], ["0"] * 4 + ["1"] * 4, "copies: a context each")


def test_nginx():
    """TLS server and TLS upstream; the service behind is traced, too."""
    if not have("nginx", "nginx"):
        return
    with Secure(traced=True) as scene:
        port = free_port()
        tls = "ssl_certificate %s; ssl_certificate_key %s;" % (
            scene.path("cert.pem"), scene.path("key.pem"))
        scene.nginx("", http="""server { listen 127.0.0.1:%d ssl; %s
            location / { proxy_pass https://127.0.0.1:%d; proxy_http_version 1.1; } }""" % (
                port, tls, scene.port))
        for number in range(3):
            answer = scene.curl("--cacert", scene.ca, "https://localhost:%d/n%d" % (port, number))
            check(answer.stdout.startswith(b"GET /n%d " % number), "nginx: answers", answer)
        spans = scene.wait_spans(12)
        equal(len(spans), 12, "nginx: a span each")
        for number in range(3):
            own = [s for s in spans if ("/n%d" % number) in
                   (s.attributes.get("url.path") or s.attributes.get("url.full"))]
            equal(chain_of(own), [("curl", "CLIENT", "https"), ("nginx", "SERVER", "https"),
                                  ("nginx", "CLIENT", "https"), ("server", "SERVER", "https")],
                  "nginx: one after the other") if len(own) == 4 else \
                equal(len(own), 4, "nginx: four of them")


def test_apache():
    """mod_ssl has BIOs of its own, which do not say whose they are."""
    modules = "/usr/lib/apache2/modules"
    if not have("apache2", "Apache") or not os.path.exists(modules + "/mod_ssl.so"):
        return
    with Secure(traced=True) as scene:
        port = free_port()
        os.mkdir(scene.path("logs"))
        loads = "".join("LoadModule %s_module %s/mod_%s.so\n" % (name, modules, name) for name in (
            "mpm_event", "authz_core", "socache_shmcb", "ssl", "proxy", "proxy_http"))
        config = scene.write("apache.conf", loads + """
ServerName localhost
ServerRoot %(place)s
Listen 127.0.0.1:%(port)d
PidFile %(place)s/pid
ErrorLog %(place)s/logs/error
DefaultRuntimeDir %(place)s
Mutex file:%(place)s
SSLEngine on
SSLCertificateFile %(place)s/cert.pem
SSLCertificateKeyFile %(place)s/key.pem
SSLSessionCache shmcb:%(place)s/cache(512000)
SSLProxyEngine on
SSLProxyVerify none
SSLProxyCheckPeerName off
ProxyPass / https://localhost:%(backend)d/
""" % {"place": scene.directory, "port": port, "backend": scene.port})
        scene.start(["apache2", "-X", "-f", config], "apache", port=port)
        for number in range(3):
            answer = scene.curl("--cacert", scene.ca, "https://localhost:%d/n%d" % (port, number))
            check(answer.stdout.startswith(b"GET /n%d " % number), "Apache: answers",
                  (answer, open(scene.path("logs/error")).read()))
        spans = scene.wait_spans(12)
        equal(len(spans), 12, "Apache: a span each")
        wanted = [("curl", "CLIENT", "https"), ("apache", "SERVER", "https"),
                  ("apache", "CLIENT", "https"), ("server", "SERVER", "https")]
        for root in [span for span in spans if not span.parent]:
            equal(chain_of([s for s in spans if s.trace == root.trace]), wanted,
                  "Apache: one after the other")


def relay(connection):
    """A proxy for CONNECT."""
    head = read_head(connection)
    port = int(head.split()[1].rpartition(b":")[2])
    with socket.create_connection(("127.0.0.1", port)) as other:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        ways = {connection: other, other: connection}
        while True:
            for ready in select.select(list(ways), [], [], 20)[0]:
                data = ready.recv(65536)
                if not data:
                    return
                ways[ready].sendall(data)


def test_tunnel():
    """The same socket first carries CONNECT, then TLS."""
    with Secure() as scene:
        proxy = RawServer(scene, relay)
        command = ["curl", "-sS", "--cacert", scene.ca, "-x", "http://127.0.0.1:%d" % proxy.port,
                   scene.url + "/through"]
        answer = scene.run(command, "curl")
        check(answer.stdout.startswith(b"GET /through "), "tunnel: answers", answer)
        spans = scene.wait_spans(2)
        equal([(s.kind, s.attributes["http.request.method"], s.attributes["http.response.status_code"])
               for s in sorted(spans, key=lambda s: s.start)],
              [("CLIENT", "CONNECT", 200), ("CLIENT", "GET", 200)], "tunnel: a span each")
        equal(scene.requests()[-1][1].split("-")[2], max(spans, key=lambda s: s.start).id,
              "tunnel: the context is inside")


STARTS_LATER = """
import socket, ssl, sys, threading
def serve(listener):
    connection = listener.accept()[0]
    connection.recv(8, socket.MSG_WAITALL)
    connection.sendall(b'S')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain('cert.pem', 'key.pem')
    with context.wrap_socket(connection, server_side=True) as inside:
        while b'\\r\\n\\r\\n' not in inside.recv(4096): pass
        inside.sendall(b'HTTP/1.1 204 No Content\\r\\n\\r\\n')
        inside.recv(1)
listener = socket.create_server(('127.0.0.1', 0))
thread = threading.Thread(target=serve, args=(listener,))
thread.start()
plain = socket.create_connection(listener.getsockname())
plain.sendall(b'\\0\\0\\0\\x08\\x04\\xd2\\x16\\x2f')
print(plain.recv(1))
context = ssl.create_default_context(cafile='ca.pem')
with context.wrap_socket(plain, server_hostname='localhost') as inside:
    inside.sendall(b'GET /later HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')
    print(inside.recv(4096))
thread.join()
"""


def test_later():
    """TLS begins after a word in plaintext of a protocol that is not followed."""
    with Scene() as scene:
        certify(scene)
        scene.as_bare([PYTHON, "-c", STARTS_LATER], "TLS later", spans=2)
        spans = scene.spans()
        equal(sorted((s.kind, s.attributes["network.peer.address"], s.attributes["http.response.status_code"])
                     for s in spans),
              [("CLIENT", "127.0.0.1", 204), ("SERVER", "127.0.0.1", 204)], "TLS later: a span each side")


KTLS_CLIENT = """import http.client, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.options |= 8 # SSL_OP_ENABLE_KTLS
connection = http.client.HTTPSConnection("localhost", int(sys.argv[1]), context=context)
for number in range(3):
    connection.request("POST", "/k%d" % number, b"x" * 20000)
    sys.stdout.buffer.write(connection.getresponse().read())
"""


def ktls_sessions():
    """How many sessions the kernel has encrypted in all, or why it cannot."""
    with socket.create_server(("127.0.0.1", 0)) as server, \
            socket.create_connection(server.getsockname()) as client:
        try:
            client.setsockopt(socket.IPPROTO_TCP, 31, b"tls")  # TCP_ULP; it loads the module
        except OSError as error:
            return "the kernel has no TLS: %s" % error
    try:
        with open("/proc/net/tls_stat", encoding="ascii") as file:
            counts = dict(line.split() for line in file)
    except OSError as error:
        return str(error)
    return int(counts["TlsTxSw"]) + int(counts["TlsTxDevice"])


def test_ktls():
    """The kernel encrypts on both sides, so what is written to the socket is plaintext: nothing is
    told twice, and the context is inside once."""
    before = ktls_sessions()
    if isinstance(before, str):
        return skip("ktls", before)
    with Secure(traced=True, KTLS="1") as scene:
        client = [PYTHON, "-c", KTLS_CLIENT, str(scene.port), scene.ca]
        bare = scene.run(client, "client", False)
        after = ktls_sessions()
        if after == before:
            return skip("ktls", "OpenSSL is built without it")
        check_ktls(scene, bare, scene.run(client, "client"))


def check_ktls(scene, bare, done):
    check((bare.returncode, bare.stdout) == (done.returncode, done.stdout) == (0, bare.stdout),
          "ktls: as bare", done.stderr[-600:])
    spans = scene.wait_spans(9)
    equal(sorted((s.kind, s.name) for s in spans), [("CLIENT", "POST")] * 3 + [("SERVER", "POST")] * 6,
          "ktls: a span each, on both sides")
    equal([r[0] for r in scene.requests()], ["0"] * 3 + ["1"] * 3, "ktls: the context once")
    own = {s.id for s in spans if s.kind == "CLIENT"}
    equal({s.parent for s in spans if s.kind == "SERVER"} - own - {""}, set(), "ktls: parents")


def test_absent():
    """A program without a TLS library that asks for its names finds none."""
    asks = "import ctypes; print([hasattr(ctypes.CDLL(None), n) for n in (%r, %r, 'read')])" % (
        "SSL_read", "gnutls_record_send")
    with Scene() as scene:
        answer = scene.as_bare([PYTHON, "-c", asks], "absent")
        equal(answer.stdout, b"[False, False, True]\n", "absent: names of TLS libraries are not there")


REFUSED = {
    "curl": (["curl", "-sS", "{url}/refused"], 60),
    "s_client, in a write": (["sh", "-c", "echo | openssl s_client -quiet -verify_return_error "
                              "-connect localhost:{port}"], 1),
}


def test_handshakes():
    for what, (command, status) in REFUSED.items():
        with Secure() as scene:
            answer = scene.run([word.format(url=scene.url, port=scene.port) for word in command])
            equal(answer.returncode, status, what + ": does not trust the server")
            span, = scene.wait_spans(1)
            equal((span.name, span.kind, span.status, span.attributes["error.type"],
                   span.attributes["server.port"]),
                  ("TLS handshake", "CLIENT", "ERROR", "certificate_verify_failed", scene.port),
                  what + ": a span")
            equal(scene.requests(), [], what + ": nothing was asked")


RESUMES = """
import http.client, ssl
context = ssl.create_default_context(cafile='{ca}')
context.maximum_version = ssl.TLSVersion.TLSv1_2
session = None
for path in '/one', '/two':
    connection = http.client.HTTPSConnection('localhost', {port}, context=context)
    connection.connect = lambda: http.client.HTTPConnection.connect(connection)
    connection.connect()
    connection.sock = context.wrap_socket(connection.sock, server_hostname='localhost',
                                          session=session)
    for number in range(2):
        connection.request('GET', path + str(number))
        connection.getresponse().read()
    session = connection.sock.session
    connection.close()
"""


def test_resumed():
    """Handshakes that succeed are told with the first request, by both sides."""
    with Secure(traced=True) as scene:
        scene.run([PYTHON, "-c", RESUMES.format(ca=scene.ca, port=scene.port)], "client")
        spans = sorted(scene.wait_spans(8), key=lambda s: s.start)
        for kind in "CLIENT", "SERVER":
            equal([handshakes(span) for span in spans if span.kind == kind],
                  [[("1.2", False)], [], [("1.2", True)], []], "resumed: told by the " + kind)


def test_plain_port():
    """TLS to who does not speak it."""
    with Scene() as scene:
        service = scene.service(traced=False)
        answer = scene.curl("https://localhost:%d/" % service.port)
        equal(answer.returncode, 35, "no TLS there: curl's own verdict")
        span, = scene.wait_spans(1)
        equal((span.name, span.attributes["error.type"]), ("TLS handshake", "not_tls"),
              "no TLS there: a span")


main(globals(), needs=["openssl", "curl"])
