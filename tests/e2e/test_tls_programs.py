# SPDX-License-Identifier: Apache-2.0
"""Unmodified programs over OpenSSL and GnuTLS: their requests are spans, once each, carry their
context, and the programs see what they see without us."""
import glob
import os
import pwd
import re
import shutil
import subprocess

from harness import PATH, Scene, check, equal, free_port, main, skip, wait_until
from tls_scene import PYTHON, Secure, ask, certify, chain_of, handshakes, have


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
    "python3 httpx": ([PYTHON, "-c", """
import httpx
with httpx.Client(verify='{ca}') as client:
    for path in ('/one', '/two'):
        print(client.get('{url}' + path).text)
"""], ["/one", "/two"]),
    "python3 httpx, asynchronous": ([PYTHON, "-c", """
import asyncio, httpx
async def ask():
    async with httpx.AsyncClient(verify='{ca}') as client:
        for path in ('/one', '/two'):
            print((await client.get('{url}' + path)).text)
asyncio.run(ask())
"""], ["/one", "/two"]),
    "openssl s_client": (["sh", "-c", "printf 'GET /one HTTP/1.1\\r\\nHost: localhost:{port}\\r\\n"
                          "Connection: close\\r\\n\\r\\n' | openssl s_client -quiet -CAfile {ca} "
                          "-verify_return_error -connect localhost:{port} | sed '1,/^.$/d'"], ["/one"]),
    "ruby": (["ruby", "-rnet/http", "-e", """
Net::HTTP.start('localhost', {port}, use_ssl: true, ca_file: '{ca}') do |http|
  puts http.get('/one').body, http.get('/two').body
end
"""], ["/one", "/two"]),
    "perl": (["perl", "-MHTTP::Tiny", "-e", """
my $http = HTTP::Tiny->new(verify_SSL => 1, SSL_options => {{SSL_ca_file => '{ca}'}});
print $http->get("{url}$_")->{{content}} for ('/one', '/two');
"""], ["/one", "/two"]),
    "perl LWP": (["perl", "-MLWP::UserAgent", "-e", """
my $agent = LWP::UserAgent->new(keep_alive => 1, ssl_opts => {{SSL_ca_file => '{ca}'}});
print $agent->get("{url}$_")->content for ('/one', '/two');
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
           "python3 requests": [PYTHON, "-c", "import requests"],
           "python3 httpx": [PYTHON, "-c", "import httpx"],
           "python3 httpx, asynchronous": [PYTHON, "-c", "import httpx"],
           "perl LWP": ["perl", "-MLWP::Protocol::https", "-e", "1"]}


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


GIT = """
ServerName localhost
ServerRoot %(place)s
Listen 127.0.0.1:%(port)d
PidFile %(place)s/pid
ErrorLog %(place)s/error
DefaultRuntimeDir %(place)s
Mutex file:%(place)s
LogFormat "%%{traceparent}i"
CustomLog %(place)s/contexts "%%{traceparent}i"
SSLEngine on
SSLCertificateFile %(place)s/cert.pem
SSLCertificateKeyFile %(place)s/key.pem
SetEnv GIT_PROJECT_ROOT %(place)s
SetEnv GIT_HTTP_EXPORT_ALL 1
SetEnv HOME %(place)s
ScriptAlias / /usr/lib/git-core/git-http-backend/
"""
PUSHES = """set -e
git clone -q {url}/served.git here && cd here
git log --format=%s && cat file | sha256sum
echo more >> file && git commit -qam second && git push -q origin HEAD 2>&1
cd .. && git -C served.git log --format=%s && rm -rf here
git -C served.git update-ref refs/heads/main first
"""


def test_git():
    """Cloned from and pushed to Apache; libcurl-gnutls on one side, mod_ssl and a CGI on the other."""
    modules = "/usr/lib/apache2/modules"
    if not have("git", "git") or not os.path.exists(modules + "/mod_ssl.so"):
        return
    with Scene(GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a",
               GIT_COMMITTER_EMAIL="a@b") as scene:
        certify(scene)
        port = free_port()
        loads = "".join("LoadModule %s_module %s/mod_%s.so\n" % (name, modules, name) for name in (
            "mpm_prefork", "authz_core", "ssl", "alias", "env", "cgi"))
        config = scene.write("git.conf", loads + GIT % {"place": scene.directory, "port": port})
        scene.run(["sh", "-ec", "git init -qb main made && cd made && head -c 200000 /dev/urandom > file"
                   " && git add file && git commit -qm first && git tag first && cd .. && "
                   "git clone -q --bare made served.git && git -C served.git config "
                   "http.receivepack true"], traced=False)
        scene.start(["apache2", "-X", "-f", config], "apache", port=port)
        scene.as_bare(["sh", "-c", PUSHES.format(url="https://localhost:%d" % port)], "git",
                      GIT_SSL_CAINFO=scene.path("ca.pem"), OTEL_SERVICE_NAME="git")
        with open(scene.path("contexts")) as log:
            contexts = [line.strip() for line in log]
        served = len(contexts) // 2
        check(served >= 4, "git: some requests", contexts)
        equal(contexts[:served], ["-"] * served, "git: bare, no context")
        spans = scene.wait_spans(3 * served)
        made = {s.id: s for s in spans if s.service == "git"}
        equal(sorted(context.split("-")[2] for context in contexts[served:]), sorted(made),
              "git: each request's context is its span's")
        equal(sorted(s.parent for s in spans if s.service == "apache" and s.parent), sorted(made),
              "git: Apache's are below them")
        equal({(s.kind, s.attributes["tls.protocol.version"]) for s in spans},
              {("CLIENT", "1.3"), ("SERVER", "1.3")}, "git: inside TLS")


def test_redis():
    if not have("redis-server", "redis-cli --tls"):
        return
    with Scene() as scene:
        certify(scene)
        port = free_port()
        scene.start(["redis-server", "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1",
                     "--tls-auth-clients", "no", "--save", "", "--tls-cert-file",
                     scene.path("cert.pem"), "--tls-key-file", scene.path("key.pem"),
                     "--tls-ca-cert-file", scene.path("ca.pem")], traced=False, port=port)
        scene.as_bare(["sh", "-c", "printf 'set a secret\\nget a\\nincr a\\n' | redis-cli --tls -p "
                       "%d --cacert %s" % (port, scene.path("ca.pem"))], "redis-cli", spans=4)
        spans = sorted(scene.spans(), key=lambda s: s.start)
        equal([s.name for s in spans], ["COMMAND", "set", "get", "incr"], "redis-cli: the commands")
        equal([s.attributes["tls.protocol.version"] for s in spans], ["1.3"] * 4,
              "redis-cli: inside TLS")
        equal([len(handshakes(s)) for s in spans], [1, 0, 0, 0], "redis-cli: the handshake")
        check("secret" not in repr(spans), "redis-cli: no values", spans)


def test_mariadb():
    """The client asks in the server's own protocol whether it may speak TLS."""
    if not have("mariadbd", "mariadb --ssl"):
        return
    with Scene() as scene:
        certify(scene)
        port, user = free_port(), ["--user=mysql"] if os.getuid() == 0 else []
        os.chmod(scene.directory, 0o777)
        done = subprocess.run(["mariadb-install-db", "--no-defaults", "--skip-test-db",
                               "--auth-root-authentication-method=normal",
                               "--datadir=" + scene.path("data"), *user],
                              capture_output=True, env={"PATH": PATH}, timeout=60)
        equal(done.returncode, 0, "mariadb: is set up")
        scene.start(["mariadbd", "--no-defaults", "--datadir=" + scene.path("data"),
                     "--port=%d" % port, "--bind-address=127.0.0.1", "--skip-log-bin",
                     "--socket=" + scene.path("socket"), "--innodb-buffer-pool-size=16M",
                     "--pid-file=" + scene.path("pid"), "--ssl-cert=" + scene.path("cert.pem"),
                     "--ssl-key=" + scene.path("key.pem"), *user], traced=False, port=port)
        scene.as_bare(["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(port), "-uroot",
                       "--ssl", "--ssl-ca=" + scene.path("ca.pem"), "-N", "-B", "-e",
                       "select 'a secret'; show status like 'Ssl_version'"], "mariadb")
        spans = sorted(scene.spans(), key=lambda s: s.start)
        equal([s.attributes["db.query.text"] for s in spans], ["select ?", "show status like ?"],
              "mariadb: its statements")
        equal([len(handshakes(s)) for s in spans], [1, 0], "mariadb: the handshake")
        equal([s.attributes.get("tls.protocol.version") for s in spans], ["1.3"] * len(spans),
              "mariadb: inside TLS")


PASSES = """
import asyncio, ssl, sys
from aiohttp import web, ClientSession, TCPConnector
async def answer(request):
    await asyncio.sleep(0.02)
    async with request.app['session'].get('{url}' + request.path) as inner:
        return web.Response(text=await inner.text())
async def start(app):
    trusted = ssl.create_default_context(cafile='{ca}')
    app['session'] = ClientSession(connector=TCPConnector(ssl=trusted))
app = web.Application()
app.on_startup.append(start)
app.router.add_get('/{{tail:.*}}', answer)
own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
own.load_cert_chain('cert.pem', 'key.pem')
web.run_app(app, host='127.0.0.1', port={port}, ssl_context=own, print=None)
"""


ASKS = """
import http.client, ssl, threading
context = ssl.create_default_context(cafile='{ca}')
def ask(first):
    connection = http.client.HTTPSConnection('localhost', {port}, context=context)
    for number in range(first, first + 4):
        connection.request('GET', '/n%d' % number)
        connection.getresponse().read()
threads = [threading.Thread(target=ask, args=(number,)) for number in range(0, 32, 4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_aiohttp_service():
    """Sessions over memory on both sides, eight connections at a time: no call under a stranger's
    request, and those of all but the first on each connection under their own. The first is read
    before the task that serves it has begun, so nobody can tell that it is its."""
    if subprocess.run(MODULES["python3 aiohttp"], capture_output=True).returncode != 0:
        skip("aiohttp", "is not installed")
        return
    with Secure(traced=True, BURDOCK_CARRIERS="python") as scene:
        port = free_port()
        scene.start([PYTHON, "-c", PASSES.format(url=scene.url, ca=scene.ca, port=port)], "passes",
                    port=port)
        scene.run([PYTHON, "-c", ASKS.format(ca=scene.ca, port=port)], traced=False)
        spans = scene.wait_spans(96)
        served = {s.id: s.attributes["url.path"] for s in spans
                  if s.service == "passes" and s.kind == "SERVER"}
        made = [s for s in spans if s.service == "passes" and s.kind == "CLIENT"]
        equal((len(served), len(made)), (32, 32), "aiohttp: a span each")
        strange = [s for s in made if s.parent and s.parent not in served or
                   s.parent and not s.attributes["url.full"].endswith(served[s.parent])]
        equal(strange, [], "aiohttp: no call under a stranger's")
        roots = [s for s in made if not s.parent]
        check(len(roots) <= 8, "aiohttp: the calls of all but the first are under their own", roots)


NODE = """
const https = require('https'), fs = require('fs');
const own = {{key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem')}};
const agent = new https.Agent({{keepAlive: true, ca: fs.readFileSync('{ca}')}});
const get = (url) => new Promise((done) => https.get(url, {{agent}}, (answer) => {{
    let text = '';
    answer.on('data', (piece) => text += piece).on('end', () => done(text));
}}));
const server = https.createServer(own, async (request, answer) =>
    answer.end(await get('https://127.0.0.1:{port}' + request.url)));
server.listen(0, '127.0.0.1', async () => {{
    for (const path of ['/one', '/two'])
        console.log(await get('https://127.0.0.1:' + server.address().port + path));
    process.exit(0);
}});
"""


def test_node():
    """Of the distribution, with its libssl; others have one inside, whose calls cannot be seen."""
    shared = "process.exit(process.config.variables.node_shared_openssl ? 0 : 1)"
    if not have("node", "Node") or subprocess.run(["node", "-e", shared]).returncode != 0:
        skip("Node", "has its own OpenSSL inside")
        return
    with Secure() as scene:
        scene.as_bare(["node", "-e", NODE.format(port=scene.port, ca=scene.ca)], "Node", spans=6,
                      OTEL_SERVICE_NAME="node")
        spans = scene.spans()
        for path in "/one", "/two":
            own = [s for s in spans if (s.attributes.get("url.path") or
                                        s.attributes["url.full"]).endswith(path)]
            equal(chain_of(own), [("node", "CLIENT", "https"), ("node", "SERVER", "https"),
                                  ("node", "CLIENT", "https")], "Node: one after the other")
        inner = [s.id for s in spans if ":%d/" % scene.port in s.attributes.get("url.full", "")]
        equal(sorted(r[1].split("-")[2] for r in scene.requests() if r[0] == "1"), sorted(inner),
              "Node: the context is inside")
        equal([r[0] for r in scene.requests()], ["0", "0", "1", "1"], "Node: once")


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
                     "-c", "dynamic_shared_memory_type=mmap",  # nothing is left in /dev/shm
                     "-c", "ssl_cert_file=" + scene.path("cert.pem"),
                     "-c", "ssl_key_file=" + scene.path("key.pem")], traced=False, port=port)
        where = "host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=require" % port
        wait_until(lambda: scene.run(["psql", where, "-c", "select 1"], traced=False).returncode == 0)
        scene.as_bare(["psql", where, "-c", "select 1 + 1", "-c", "select ssl from pg_stat_ssl "
                       "where pid = pg_backend_pid()"], "psql over TLS", spans=2)
        first, second = sorted(scene.spans(), key=lambda s: s.start)
        equal([len(handshakes(s)) for s in (first, second)], [1, 0],
              "psql over TLS: the handshake is told by the first that is a span")
        equal((first.kind, first.attributes["db.system.name"], first.attributes["server.port"],
               first.attributes["tls.protocol.version"]), ("CLIENT", "postgresql", port, "1.3"),
              "psql over TLS: the first statement")
        done = scene.run(["psql", "-qAtX", where, "-c", "select current_query();"],
                         BURDOCK_SQLCOMMENTER="1")
        last = scene.wait_spans(3)[-1]
        equal(re.sub(r"-0[0-3]'", "-'", done.stdout.decode()),
              "select current_query() /*traceparent='00-%s-%s-'*/;\n" % (last.trace, last.id),
              "psql over TLS: a statement with a comment")


main(globals(), needs=["openssl", "curl"])
