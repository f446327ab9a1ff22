# SPDX-License-Identifier: Apache-2.0
"""Application servers and the runtimes of languages: a service that answers and asks another."""
import os
import signal

from stage import free_port, main, part

PHP = """<?php
$words = explode('/', $_SERVER['QUERY_STRING']);
if ($words[0] === 'ask') {
    $curl = curl_init("http://127.0.0.1:{back}/curl");
    curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
    echo curl_exec($curl), file_get_contents("http://127.0.0.1:{back}/stream");
} elseif ($words[0] === 'run') {
    echo shell_exec('echo run; exit 3');
} else {
    echo ini_get('memory_limit');
}
"""
FPM = """
[global]
error_log = {run}/error.log
daemonize = no
[www]
user = www-data
group = www-data
listen = 127.0.0.1:{port}
pm = static
pm.max_children = 2
access.log = {run}/access.log
access.format = "%m %r%Q%q %s"
catch_workers_output = yes
php_admin_value[memory_limit] = {memory}M
"""


@part("php-fpm8.2", "cgi-fcgi", "curl", quick=True)
def php_fpm(play):
    """By FastCGI, from a program that is not traced. Spans are not counted: that of a request whose
    worker is ended by a signal at the same moment is not always there."""
    play.counts_spans = False
    port, back, run = free_port(), play.backend(), play.make("run")
    script = play.write("index.php", PHP.replace("{back}", str(back)))

    def configure(memory):
        return play.write("fpm.conf", FPM.format(run=run, port=port, memory=memory))

    def ask(query):
        done = play.run(["cgi-fcgi", "-bind", "-connect", "127.0.0.1:%d" % port], traced=False,
                        REQUEST_METHOD="GET", SCRIPT_FILENAME=script, SCRIPT_NAME="/index.php",
                        QUERY_STRING=query)
        return done.stdout.decode().partition("\r\n\r\n")[2]
    server = play.start(["php-fpm8.2", "-F", "-y", configure(64)], port=port)
    play.tell("memory limit", ask(""), "64M")
    play.tell("asks by curl and by stream", ask("ask"), "from behind\n" * 2)
    play.tell("runs a command", ask("run"), "run\n")
    play.tell_descriptors(but="ZendSem")  # a name of chance
    configure(65)
    server.send_signal(signal.SIGUSR2)
    play.until("SIGUSR2: the new configuration", lambda: ask("") == "65M")
    play.rotate("run/access.log", lambda: server.send_signal(signal.SIGUSR1),
                lambda: ask("rotated"))
    play.end(server, signal.SIGQUIT)
    play.tell_log("run/error.log", "Reloading|ready to handle")
    play.recover("www-data")  # its workers are ended by signals


WSGI = """
import os, urllib.request
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    if environ['PATH_INFO'] == '/ask':
        return [urllib.request.urlopen('http://127.0.0.1:%d/').read()]
    return [environ['wsgi.input'].read() or %r]
"""


def wsgi(play, back):
    return lambda word: play.write("app.py", WSGI % (back, word.encode()))


@part("uwsgi", "/usr/lib/uwsgi/plugins/python3_plugin.so")
def uwsgi(play):
    port, back = free_port(), play.backend()
    write = wsgi(play, back)
    write("old")
    server = play.start(["uwsgi", "--plugin", "python3", "--http-socket", "127.0.0.1:%d" % port,
                         "--master", "--processes", "2", "--wsgi-file", play.path("app.py"),
                         "--uid", "www-data", "--gid", "www-data", "--die-on-term"], port=port)
    play.expect(port, "/", (200, "old"))
    play.expect(port, "/ask", (200, "from behind\n"))
    play.expect(port, "/post", (200, "body"), method="POST", body=b"body")
    write("new")
    server.send_signal(signal.SIGHUP)
    play.until("SIGHUP: two new workers",
               lambda: play.stderr(server).count(b"spawned uWSGI worker") == 4)
    play.until_serves("SIGHUP: the new word", port, "/", (200, "new"))
    play.end(server, signal.SIGTERM)


@part("gunicorn", "curl")
def gunicorn(play):
    port, back, run = free_port(), play.backend(), play.make("run", group="www-data")
    write = wsgi(play, back)
    write("old")
    server = play.start(["/usr/bin/python3", "/usr/bin/gunicorn", "-b", "127.0.0.1:%d" % port, "-w",
                         "2", "--user", "www-data", "--access-logfile", run + "/access.log",
                         "--access-logformat", "%(m)s %(U)s %(s)s",
                         "--error-logfile", run + "/error.log", "app:application"], port=port)
    play.until("two workers", lambda: len(play.children(server)) == 2)
    play.expect(port, "/", (200, "old"))
    play.expect(port, "/ask", (200, "from behind\n"))
    write("new")
    play.signal_and_replace(server, signal.SIGHUP, 2)
    play.until_serves("SIGHUP: the new word", port, "/", (200, "new"))
    play.rotate("run/access.log", lambda: server.send_signal(signal.SIGUSR1),
                lambda: play.get(port, "/"))
    play.end(server, signal.SIGTERM)
    play.tell_log("run/error.log", "Shutting down",
                  but=r"^(?!.*\[INFO\])")  # a worker may be ended in the middle of a close
    play.recover("www-data")  # and one that is told twice dies of the signal


def serve_and_end(play, command, status, **how):
    """A service of one process: it answers, asks, and ends by SIGTERM."""
    port, back = free_port(), play.backend()
    server = play.start([*command, str(port), str(back)], port=port, **how)
    play.expect(port, "/file", (200, "here\n"))
    play.expect(port, "/ask", (200, "from behind\n"))
    play.expect(port, "/ask", (200, "from behind\n"))
    play.end(server, signal.SIGTERM, status)


NODE = """
const http = require('http'), [port, back] = process.argv.slice(2);
const server = http.createServer((request, answer) => {
    if (request.url !== '/ask') return answer.end('here\\n');
    http.get(`http://127.0.0.1:${back}/`, inner => inner.pipe(answer));
}).listen(port, '127.0.0.1');
process.on('SIGTERM', () => { console.log('bye'); server.close(() => process.exit(0)); });
"""
JAVA = """
import com.sun.net.httpserver.*;
import java.io.*;
import java.net.*;
public class Service {
    public static void main(String[] words) throws Exception {
        HttpServer server = HttpServer.create(
            new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0])), 0);
        server.createContext("/", exchange -> answer(exchange, "here\\n".getBytes()));
        server.createContext("/ask", exchange -> {
            try (InputStream in = new URL("http://127.0.0.1:" + words[1] + "/").openStream()) {
                answer(exchange, in.readAllBytes());
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("bye")));
        server.start();
    }
    static void answer(HttpExchange exchange, byte[] body) throws IOException {
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
"""
RUBY = """
require 'webrick'
require 'net/http'
server = WEBrick::HTTPServer.new(BindAddress: '127.0.0.1', Port: ARGV[0].to_i, AccessLog: [])
server.mount_proc('/') { |_, answer| answer.body = "here\\n" }
server.mount_proc('/ask') do |_, answer|
  answer.body = Net::HTTP.get(URI("http://127.0.0.1:#{ARGV[1]}/"))
end
trap('TERM') { server.shutdown }
server.start
"""
PERL = """
use strict; use IO::Socket::INET; use HTTP::Tiny;
my ($port, $back) = @ARGV;
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 5,
                                     ReuseAddr => 1) or die;
$SIG{TERM} = sub { print "bye\\n"; exit 0 };
$SIG{CHLD} = 'IGNORE';
while (1) {
    my $client = $listener->accept or next;
    if (fork) { close $client; next }
    close $listener;
    $SIG{TERM} = 'DEFAULT';
    my ($request) = <$client> =~ m{ (\\S+) };
    while (<$client>) { last if /^\\r\\n/ }
    my $body = $request eq '/ask' ? HTTP::Tiny->new->get("http://127.0.0.1:$back/")->{content}
                                  : "here\\n";
    print $client "HTTP/1.1 200 OK\\r\\nContent-Length: ", length $body, "\\r\\n\\r\\n$body";
    close $client;
    exit 0;
}
"""


@part("node")
def node(play):
    serve_and_end(play, ["node", play.write("service.js", NODE)], 0)


@part("java", "javac")
def java(play):
    play.command("javac", play.write("Service.java", JAVA))
    serve_and_end(play, ["java", "-cp", play.directory, "Service"], 143)


@part("ruby", "/usr/lib/ruby/vendor_ruby")
def ruby(play):
    serve_and_end(play, ["ruby", play.write("service.rb", RUBY)], 0)


@part("perl")
def perl(play):
    """A process for each request."""
    serve_and_end(play, ["perl", play.write("service.pl", PERL)], 0)


if __name__ == "__main__":
    main()
