# SPDX-License-Identifier: Apache-2.0
"""Inside TLS: requests of unmodified programs over OpenSSL and GnuTLS are spans, once each, carry
their context, and the programs see what they see without us. What fails is seen as well."""
import glob
import os
import pwd
import select
import shutil
import socket
import subprocess

from harness import (APPS, BUILD, PATH, RawServer, Scene, check, equal, free_port, main, read_head, skip,
                     wait_until)

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


CLIENTS = {
    "curl": (["curl", "-sS", "--cacert", "{ca}", "{url}/one", "{url}/two"], ["/one", "/two"]),
    "curl, a large body": (["sh", "-c", "head -c 3000000 /dev/zero | curl -sS --cacert {ca} "
                            "-H 'Expect:' --data-binary @- {url}/body"], ["/body"]),
    "wget": (["wget", "-q", "-O", "-", "--ca-certificate={ca}", "{url}/one", "{url}/two"],
             ["/one", "/two"]),
    "python3": ([PYTHON, "-c", """
import http.client, ssl, sys
context = ssl.create_default_context(cafile='{ca}')
connection = http.client.HTTPSConnection('localhost', {port}, context=context)
for path, body in (('/one', None), ('/two', b'x' * 300000), ('/three', None)):
    connection.request('POST' if body else 'GET', path, body)
    print(connection.getresponse().read().decode())
"""], ["/one", "/two", "/three"]),
    "python3 asyncio": ([PYTHON, "-c", """
import asyncio, ssl
async def ask():
    context = ssl.create_default_context(cafile='{ca}')
    reader, writer = await asyncio.open_connection('localhost', {port}, ssl=context)
    writer.write(b'GET /one HTTP/1.1\\r\\nHost: localhost:{port}\\r\\nConnection: close\\r\\n\\r\\n')
    print((await reader.read()).decode().split('\\r\\n\\r\\n')[1])
    writer.close()
asyncio.run(ask())
"""], ["/one"]),
    "python3 aiohttp": ([PYTHON, "-c", """
import asyncio, ssl
try:
    import aiohttp
except ImportError:
    raise SystemExit(99)
async def ask():
    context = ssl.create_default_context(cafile='{ca}')
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        for path in ('/one', '/two'):
            async with session.get('{url}' + path) as answer:
                print(await answer.text())
asyncio.run(ask())
"""], ["/one", "/two"]),
    "python3 requests": ([PYTHON, "-c", """
try:
    import requests
except ImportError:
    raise SystemExit(99)
with requests.Session() as session:
    for path in ('/one', '/two'):
        print(session.get('{url}' + path, verify='{ca}').text)
"""], ["/one", "/two"]),
    "ruby": (["ruby", "-rnet/http", "-e", """
Net::HTTP.start('localhost', {port}, use_ssl: true, ca_file: '{ca}') do |http|
  puts http.get('/one').body, http.get('/two').body
end
"""], ["/one", "/two"]),
    "perl": (["perl", "-MHTTP::Tiny", "-e", """
my $http = HTTP::Tiny->new(verify_SSL => 1, SSL_options => {{SSL_ca_file => '{ca}'}});
print $http->get("{url}$_")->{{content}} for ('/one', '/two');
"""], ["/one", "/two"]),
    "php": (["php", "-r", """
$context = stream_context_create(['ssl' => ['cafile' => '{ca}']]);
foreach (['/one', '/two'] as $path) echo file_get_contents('{url}' . $path, false, $context);
"""], ["/one", "/two"]),
    "php curl": (["php", "-r", """
$handle = curl_init();
curl_setopt($handle, CURLOPT_CAINFO, '{ca}');
foreach (['/one', '/two'] as $path) {{
    curl_setopt($handle, CURLOPT_URL, '{url}' . $path);
    curl_exec($handle);
}}
"""], ["/one", "/two"]),
}
MODULES = {"perl": ["perl", "-MIO::Socket::SSL", "-e", "1"], "php curl": ["php", "-r", "curl_init();"],
           "python3 aiohttp": [PYTHON, "-c", "import aiohttp"],
           "python3 requests": [PYTHON, "-c", "import requests"]}


def test_clients():
    for what, (command, paths) in CLIENTS.items():
        if not have(command[0], what):
            continue
        if what in MODULES and subprocess.run(MODULES[what], capture_output=True).returncode != 0:
            skip(what, "a module is not installed")
            continue
        with Secure() as scene:
            filled = [word.format(ca=scene.ca, url=scene.url, port=scene.port)
                      if "{" in word else word for word in command]
            ask(scene, filled, what, paths)


def test_git():
    if not have("git", "git"):
        return
    with Secure() as scene:
        answer = scene.run(["git", "ls-remote", scene.url + "/some.git"], "git",
                           GIT_SSL_CAINFO=scene.ca)
        equal(answer.returncode, 128, "git: no repository there")
        span, = scene.wait_spans(1)
        equal((span.kind, span.attributes["http.response.status_code"]), ("CLIENT", 200), "git: a span")
        equal(scene.requests()[0][1].split("-")[2], span.id, "git: the context is inside")


def test_writes():
    """Repeated writes by every rule of OpenSSL's."""
    client = os.path.join(BUILD, "tests", "e2e", "tls_client")
    if not os.path.exists(client):
        skip("writes", "no headers of OpenSSL when it was built")
        return
    for mode in ("-", "p", "pm", "m", "x", "xp", "g", "gpm", "s", "sp", "sm", "sx", "sg", "sgpm",
                 "h", "hs", "hp", "hsx", "k", "sk", "hk", "fp", "fps", "fs", "fhps", "f"):
        with Secure() as scene:
            count = 45 if "h" in mode else 9
            done = scene.as_bare([client, str(scene.port), mode], "writes, " + mode, spans=count)
            equal(done.returncode, 0, "writes, %s: all were answered" % mode)
            contexts = [int(request[0]) for request in scene.requests()]
            equal(contexts, [0] * count + [1] * count, "writes, %s: a context each" % mode)


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


def test_absent():
    """A program without a TLS library that asks for its names finds none."""
    asks = "import ctypes; print([hasattr(ctypes.CDLL(None), n) for n in (%r, %r, 'read')])" % (
        "SSL_read", "gnutls_record_send")
    with Scene() as scene:
        answer = scene.as_bare([PYTHON, "-c", asks], "absent")
        equal(answer.stdout, b"[False, False, True]\n", "absent: names of TLS libraries are not there")


def test_postgresql():
    """psql asks in plaintext whether it may speak TLS."""
    places = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not places or not have("psql", "PostgreSQL") or os.geteuid() != 0:
        return
    with Scene() as scene:
        certify(scene)
        place, port = scene.path("data"), free_port()
        user = pwd.getpwnam("postgres")
        os.mkdir(place)
        os.chown(place, user.pw_uid, user.pw_gid)
        for name in ("key.pem", "cert.pem"):
            os.chmod(scene.path(name), 0o600)
            os.chown(scene.path(name), user.pw_uid, user.pw_gid)
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        scene.run([*command, places[-1] + "/initdb", "-A", "trust", "-D", place], traced=False)
        scene.start([*command, places[-1] + "/postgres", "-D", place, "-p", str(port), "-k", place,
                     "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on",
                     "-c", "ssl_cert_file=" + scene.path("cert.pem"),
                     "-c", "ssl_key_file=" + scene.path("key.pem")], traced=False, port=port)
        where = "host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=require" % port
        wait_until(lambda: scene.run(["psql", where, "-c", "select 1"], traced=False).returncode == 0)
        scene.as_bare(["psql", where, "-c", "select 1 + 1", "-c", "select ssl from pg_stat_ssl "
                       "where pid = pg_backend_pid()"], "psql over TLS", spans=2)
        first = min(scene.spans(), key=lambda s: s.start)
        equal((first.kind, first.attributes["db.system.name"], first.attributes["server.port"],
               first.attributes["tls.protocol.version"]), ("CLIENT", "postgresql", port, "1.3"),
              "psql over TLS: the first statement")


def test_handshakes():
    with Secure() as scene:
        answer = scene.curl(scene.url + "/refused")
        equal(answer.returncode, 60, "handshake: curl does not trust the server")
        span, = scene.wait_spans(1)
        equal((span.name, span.kind, span.status, span.attributes["error.type"],
               span.attributes["server.port"]),
              ("TLS handshake", "CLIENT", "ERROR", "certificate_verify_failed", scene.port),
              "handshake: a span")
        equal(scene.requests(), [], "handshake: nothing was asked")


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
