# SPDX-License-Identifier: Apache-2.0
"""Web servers and proxies: each request one SERVER span, each request passed on one CLIENT span."""
import os
import signal

from stage import ANYTHING, as_user, free_port, main, part, wait_until

NGINX = """
user www-data; worker_processes 2; daemon off; pid {run}/pid; error_log {run}/error.log notice;
worker_shutdown_timeout 5s; events {{ worker_connections 64; }}
http {{ access_log {run}/access.log; client_body_temp_path {run}/1; proxy_temp_path {run}/2;
fastcgi_temp_path {run}/3; uwsgi_temp_path {run}/4; scgi_temp_path {run}/5;
server {{ listen 127.0.0.1:{port}; root {root};
location /word {{ return 200 {word}; }} location /behind {{ proxy_pass http://127.0.0.1:{back}; }} }} }}
"""


@part("nginx", quick=True)
def nginx(play):
    port, back, run, root = free_port(), play.backend(), play.make("run"), play.make("root")
    play.write("root/file", "a file\n")

    def configure(word):
        return play.write("nginx.conf", NGINX.format(run=run, root=root, port=port, back=back,
                                                     word=word))
    server = play.start(["nginx", "-p", run, "-e", run + "/error.log", "-c", configure("old")],
                        port=port)
    play.until("two workers", lambda: len(play.children(server)) == 2)
    play.expect(port, "/file", (200, "a file\n"))
    play.expect(port, "/absent", ANYTHING)
    play.expect(port, "/behind/x", (200, "from behind\n"))
    play.tell_descriptors()
    configure("new")
    play.signal_and_replace(server, signal.SIGHUP, 2)
    play.expect(port, "/word", (200, "new"))
    play.rotate("run/access.log", lambda: server.send_signal(signal.SIGUSR1),
                lambda: play.get(port, "/file"))
    play.end(server, signal.SIGQUIT)
    play.tell_log("run/access.log.1", "GET /behind/x")
    play.tell_log("run/error.log", "gracefully shutting down")


APACHE = """
ServerRoot {run}
PidFile {run}/pid
DefaultRuntimeDir {run}
Mutex file:{run}
Listen 127.0.0.1:{port}
ServerName loopback
User www-data
Group www-data
ServerLimit 2
StartServers 1
{limits}
LoadModule mpm_{mpm}_module {modules}/mod_mpm_{mpm}.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
LoadModule {cgi}_module {modules}/mod_{cgi}.so
{scripts}
ErrorLog "|/usr/bin/rotatelogs {run}/error.log 86400"
LogLevel info
LogFormat "%m %U %>s" short
CustomLog {run}/access.log short
DocumentRoot {root}
ScriptAlias /cgi/ {root}/cgi/
ProxyPass /behind http://127.0.0.1:{back}/
Redirect /word /{word}
<Directory {root}>
Require all granted
</Directory>
"""
MODULES = "/usr/lib/apache2/modules"
LIMITS = {"prefork": "MinSpareServers 1\nMaxSpareServers 1\nMaxRequestWorkers 2",
          "worker": "ThreadsPerChild 4\nMinSpareThreads 1\nMaxSpareThreads 8\nMaxRequestWorkers 8",
          "event": "ThreadsPerChild 4\nMinSpareThreads 1\nMaxSpareThreads 8\nMaxRequestWorkers 8"}


def apache(play, mpm):
    port, back = free_port(), play.backend()
    run, root = play.make("run"), play.make("root")
    play.make("root/cgi")
    play.write("root/file", "a file\n")
    os.chmod(play.write("root/cgi/hello", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
                        "echo $REQUEST_METHOD $QUERY_STRING; cat\n"), 0o755)
    cgi, scripts = ("cgi", "") if mpm == "prefork" else ("cgid", "ScriptSock %s/cgid" % run)

    def configure(word):
        return play.write("apache.conf", APACHE.format(
            run=run, root=root, port=port, back=back, word=word, mpm=mpm, modules=MODULES, cgi=cgi,
            scripts=scripts, limits=LIMITS[mpm]))
    server = play.start(["apache2", "-DFOREGROUND", "-f", configure("old")], port=port)
    play.expect(port, "/file", (200, "a file\n"))
    play.expect(port, "/absent", ANYTHING)
    play.expect(port, "/behind/x", (200, "from behind\n"))
    play.expect(port, "/cgi/hello?a=b", (200, "POST a=b\nbody"), method="POST", body=b"body")
    configure("new")
    server.send_signal(signal.SIGUSR1)
    wait_until(lambda: b"resuming normal operations" in b"".join(
        play.read("run/" + name) for name in os.listdir(run) if "error.log." in name))
    wait_until(lambda: "/new" in play.get(port, "/word")[1], every=0.2)
    play.expect(port, "/word", ANYTHING)
    play.rotate("run/access.log", lambda: server.send_signal(signal.SIGUSR1),
                lambda: play.get(port, "/file"))
    play.end(server, signal.SIGWINCH)
    play.tell_log("run/access.log.1", "GET /behind/x")
    for name in os.listdir(run):
        if name.startswith("error.log"):
            play.tell_lines("error log", play.read("run/" + name), "caught SIGWINCH")


@part("apache2", quick=True)
def apache_event(play):
    apache(play, "event")


@part("apache2")
def apache_worker(play):
    apache(play, "worker")


@part("apache2")
def apache_prefork(play):
    apache(play, "prefork")


HAPROXY = """
global
    nbthread 2
    {chroot}
    stats socket {run}/admin mode 600 level admin
    user www-data
    group www-data
    log {run}/log local0
defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend front
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string {word} if {{ path /word }}
    default_backend back
backend back
    server one 127.0.0.1:{back}
"""


def haproxy_with(play, chroot):
    port, back, run = free_port(), play.backend(), play.make("run")

    def configure(word):
        return play.write("haproxy.cfg", HAPROXY.format(run=run, port=port, back=back, word=word,
                                                        chroot=chroot))
    server = play.start(["haproxy", "-W", "-db", "-f", configure("old")], port=port)
    play.expect(port, "/behind", (200, "from behind\n"))
    play.expect(port, "/word", (200, "old"))
    play.tell_descriptors(but="pipe|eventpoll")  # its threads take them in any order
    configure("new")
    play.signal_and_replace(server, signal.SIGUSR2, 1)
    play.until_serves("reload: the new word", port, "/word", (200, "new"))
    play.until("reload: the master is back in its loop",
               lambda: b"Former worker" in play.stderr(server))
    play.end(server, signal.SIGUSR1)


@part("haproxy", "curl", quick=True)
def haproxy(play):
    """Its workers may have no thread (RLIMIT_NPROC), so their rings wait for somebody."""
    haproxy_with(play, "")
    play.recover("www-data")


@part("haproxy")
def haproxy_chroot(play):
    """From an empty root its workers reach neither run directory nor store: nothing is recorded."""
    play.counts_spans = False
    haproxy_with(play, "chroot " + play.make("empty"))


LIGHTTPD = """
server.modules = ("mod_accesslog", "mod_proxy", "mod_cgi", "mod_redirect")
server.document-root = "{root}"
server.bind = "127.0.0.1"
server.port = {port}
server.username = "www-data"
server.groupname = "www-data"
server.errorlog = "{run}/error.log"
accesslog.filename = "{run}/access.log"
accesslog.format = "%m %U %s"
cgi.assign = (".sh" => "/bin/sh")
url.redirect = ("^/word" => "/{word}")
$HTTP["url"] =~ "^/behind" {{ proxy.server = ("" => (("host" => "127.0.0.1", "port" => {back}))) }}
"""


@part("lighttpd")
def lighttpd(play):
    port, back = free_port(), play.backend()
    run, root = play.make("run", group="www-data"), play.make("root")
    play.write("root/file", "a file\n")
    play.write("root/hello.sh", "printf 'Content-Type: text/plain\\n\\n'\ncat\n")

    def configure(word):
        return play.write("lighttpd.conf", LIGHTTPD.format(run=run, root=root, port=port,
                                                           back=back, word=word))
    server = play.start(["lighttpd", "-D", "-f", configure("old")], port=port)
    play.expect(port, "/file", (200, "a file\n"))
    play.expect(port, "/behind", (200, "from behind\n"))
    play.expect(port, "/hello.sh", (200, "body"), method="POST", body=b"body")
    play.tell_descriptors()
    os.rename(run + "/access.log", run + "/access.log.1")
    server.send_signal(signal.SIGHUP)
    play.until("rotation: there is a new log", lambda: os.path.exists(run + "/access.log"))
    play.expect(port, "/file", (200, "a file\n"))
    play.end(server, signal.SIGINT)  # what it wrote comes at its end
    play.tell_log("run/access.log", "GET /file")
    play.tell_log("run/access.log.1", "GET /behind")
    play.tell_log("run/error.log", "server stopped|graceful")


VCL = """vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{back}"; }}
sub vcl_recv {{ if (req.url == "/word") {{ return (synth(200, "{word}")); }} return (pass); }}
"""


@part("varnishd", "varnishadm", "gcc")
def varnish(play):
    port, admin, back, run = free_port(), free_port(), play.backend(), play.make("run", group="varnish")

    def configure(word):
        return play.write("%s.vcl" % word, VCL.format(back=back, word=word))

    def adm(*words):
        return play.command("varnishadm", "-n", run, *words, what="varnishadm " + words[0])
    server = play.start(["varnishd", "-F", "-a", "127.0.0.1:%d" % port, "-T", "127.0.0.1:%d" % admin,
                         "-f", configure("old"), "-n", run, "-s", "malloc,16m"], port=port)
    play.until("the child serves", lambda: len(play.children(server)) == 1)
    play.expect(port, "/behind", (200, "from behind\n"))
    configure("new")
    adm("vcl.load", "second", play.path("new.vcl"))
    adm("vcl.use", "second")
    play.expect(port, "/word", ANYTHING)
    adm("vcl.list")
    adm("stop")
    play.until("the child has stopped", lambda: not play.children(server))
    adm("start")
    play.until_serves("the child is back", port, "/behind", (200, "from behind\n"))
    play.end(server, signal.SIGTERM)


SQUID = """
http_port 127.0.0.1:{port}
pid_filename {run}/pid
cache_log {run}/cache.log
access_log stdio:{run}/access.log
coredump_dir {run}
visible_hostname loopback
shutdown_lifetime 1 seconds
pinger_enable off
netdb_filename none
cache deny all
logfile_rotate 1
http_access deny denied
http_access allow all
"""


@part("squid")
def squid(play):
    """By its own user: started as root, its worker runs with more rights than its caller, where the
    loader takes no preload."""
    port, back, run = free_port(), play.backend(), play.make("run", group="proxy")

    def configure(path):
        return play.write("squid.conf", "acl denied urlpath_regex ^/%s\n" % path +
                          SQUID.format(run=run, port=port))
    server = play.start([*as_user("proxy"), "squid", "--foreground", "-n", "burdock%d" % port, "-f", configure("old")],
                        port=port)
    url = "http://127.0.0.1:%d/" % back
    play.expect(port, url + "new", (200, "from behind\n"))
    play.expect(port, url + "old", ANYTHING)
    configure("new")
    server.send_signal(signal.SIGHUP)
    wait_until(lambda: play.get(port, url + "new")[:1] == (403,), every=0.1)
    play.expect(port, url + "new", ANYTHING)
    play.until_serves("reload: the new configuration", port, url + "old", (200, "from behind\n"))
    server.send_signal(signal.SIGUSR1)
    play.until("rotation: the old log is kept", lambda: os.path.exists(run + "/access.log.0"))
    play.until_serves("rotation: serves", port, url + "old", (200, "from behind\n"))
    play.end(server, signal.SIGTERM)


if __name__ == "__main__":
    main()
