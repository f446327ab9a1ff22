# SPDX-License-Identifier: Apache-2.0
"""One trace from nginx through FastCGI into php-fpm, and on by PHP's own curl."""
import glob
import os
import threading


from harness import Scene, check, equal, free_port, get, main, wait_until

INDEX = """<?php
$query = $_GET + ['n' => 0];
if (isset($query['die'])) posix_kill(getmypid(), 9);
if (isset($query['dump'])) { ksort($_SERVER); header('Content-Type: text/plain');
    foreach ($_SERVER as $key => $value)
        if (is_string($value)) echo "$key=$value\\n";
    exit; }
if (isset($query['status'])) http_response_code((int)$query['status']);
echo strlen(file_get_contents('php://input')), "\\n";
if (isset($query['call'])) {
    $curl = curl_init($query['call'] . '/leaf?n=' . $query['n']);
    curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
    echo curl_exec($curl);
}
"""
FPM = """[global]
error_log = %(run)s/error.log
daemonize = no
pid = %(run)s/pid
[www]
listen = %(listen)s
listen.mode = 0666
user = nobody
group = nogroup
pm = static
pm.max_children = 8
clear_env = yes
"""
PARAMS = ("location / { include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME %s; "
          "fastcgi_pass %s; %s }")


def fpm_binary():
    found = sorted(glob.glob("/usr/sbin/php-fpm*"))
    return found[-1] if found else None


def start_fpm(scene, is_unix, traced=True):
    run = scene.path("fpm%d" % len(scene.processes))
    os.mkdir(run)
    port = None if is_unix else free_port()
    listen = run + "/socket" if is_unix else "127.0.0.1:%d" % port
    config = scene.write("fpm%d.conf" % len(scene.processes), FPM % {"run": run, "listen": listen})
    process = scene.start([fpm_binary(), "-R", "-n", "-d", "extension=curl", "-d", "extension=posix",
                           "-y", config], "php", traced, port)
    if is_unix:
        wait_until(lambda: os.path.exists(listen))
    process.listen = "unix:" + listen if is_unix else listen
    return process


def stage(scene, is_unix=False, keeps=False, traced=True):
    """nginx before php-fpm; their processes."""
    script = scene.write("index.php", INDEX)
    php = start_fpm(scene, is_unix, traced)
    http = "upstream php { server %s; keepalive 1; }" % php.listen
    front = scene.nginx(PARAMS % (script, "php" if keeps else php.listen,
                                  "fastcgi_keep_conn on;" if keeps else ""),
                        http=http, traced=traced)
    return front, php


def links(spans):
    """Service and kind of each span, from the leaf up to the root: a set of lines."""
    by_id = {span.id: span for span in spans}
    parents = {span.parent for span in spans}
    lines = []
    for span in spans:
        line = []
        while span is not None and span.id not in parents or line and span is not None:
            line.append((span.service, span.kind, span.trace))
            span = by_id.get(span.parent)
        if line:
            lines.append(line)
    return lines


LINE = [("back", "SERVER"), ("php", "CLIENT"), ("php", "SERVER"), ("nginx", "CLIENT"),
        ("nginx", "SERVER")]


def follow(is_unix, keeps):
    """Calls are ambiguous where threads of a busy machine are late: of three goes one has to be calm."""
    any(follow_once(is_unix, keeps, is_last) for is_last in (False, False, True))


def follow_once(is_unix, keeps, is_last):
    label = "%s%s" % ("unix" if is_unix else "tcp", ", kept" if keeps else "")
    with Scene() as scene:
        back = scene.service("back")
        front, _ = stage(scene, is_unix, keeps)
        call = "&call=http://127.0.0.1:%d" % back.port
        total = 64
        answers = [None] * total

        def ask(n):
            headers = {"X-Big": "b" * 3000}
            if n % 2:
                headers["traceparent"] = "00-%032x-00f067aa0ba902b7-01" % (0xabc000 + n)
                headers["tracestate"] = "a=b"
            answers[n] = get(front.port, "/p?n=%d%s" % (n, call), headers=headers,
                             method="POST" if n % 3 == 0 else "GET",
                             body=b"x" * 70000 if n % 3 == 0 else None)
        threads = [threading.Thread(target=ask, args=(n,)) for n in range(total)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spans = scene.wait_spans(total * 5)
        lines = links(spans)
        unsure = [span for span in spans if (span.service, span.kind) == ("nginx", "CLIENT") and
                  span.attributes.get("burdock.attribution") == "ambiguous"]
        by_id = {span.id: span for span in spans}
        strangers = []
        for span in spans:
            if (span.service, span.kind) == ("back", "SERVER"):
                n = span.attributes["url.query"]
                up = by_id[by_id[span.parent].parent] if span.parent in by_id else None
                up = by_id.get(up.parent) if up else None  # nginx's call
                up = by_id.get(up.parent) if up else None  # and its request; None: ambiguous
                if up is not None and not up.attributes["url.query"].startswith(n + "&"):
                    strangers.append(span)
        equal(strangers, [], label + ": each call under the request that made it")
        if len(unsure) > 3 and not is_last:
            return False
        equal(len(spans), total * 5, label + ": five spans for each request")
        check(len(unsure) <= 3, label + ": hardly a call of nginx is ambiguous", len(unsure))
        whole = [line for line in lines if [hop[:2] for hop in line] == LINE]
        one_trace = all(len({hop[2] for hop in line}) == 1 for line in lines)
        check(one_trace and len(whole) == total - len(unsure), label + ": each its own line of parents", lines[:2])
        given = {span.trace for span in spans if span.trace.startswith("0" * 26)}
        check(len(given) == total // 2, label + ": the traces that were given are continued", given)
        served = next(s for s in spans if (s.service, s.kind) == ("php", "SERVER"))
        wanted = {"http.request.method": served.name, "http.response.status_code": 200,
                  "url.path": "/p", "url.scheme": "http", "client.address": "127.0.0.1",
                  "server.address": "127.0.0.1"}
        equal({key: served.attributes.get(key) for key in wanted}, wanted, label + ": attributes")
    return True


def test_one_by_one():
    with Scene() as scene:
        back = scene.service("back")
        front, _ = stage(scene)
        for n in range(5):
            get(front.port, "/p?n=%d&call=http://127.0.0.1:%d" % (n, back.port), method="POST",
                body=b"x" * 70000)
        lines = links(scene.wait_spans(25))
        equal([[hop[:2] for hop in line] for line in lines], [LINE] * 5, "one by one: whole lines")


def test_tcp():
    follow(False, False)


def test_tcp_kept():
    follow(False, True)


def test_unix():
    follow(True, False)


def test_unix_kept():
    follow(True, True)


def test_status_and_death():
    with Scene() as scene:
        front, php = stage(scene, keeps=True)
        equal(get(front.port, "/?status=503")[0], 503, "PHP's status arrives")
        equal(get(front.port, "/?die=1")[0], 502, "a script that dies is a bad gateway")
        equal(get(front.port, "/?n=1")[0], 200, "and the next one is served")
        spans = scene.wait_spans(8)
        php_spans = [s.attributes.get("http.response.status_code") for s in spans
                     if (s.service, s.kind) == ("php", "SERVER")]
        check({503, 200} <= set(php_spans), "php: the statuses of its answers", php_spans)
        died = [s for s in spans if (s.service, s.kind) == ("nginx", "CLIENT") and
                "http.response.status_code" not in s.attributes]
        # A worker of nginx that had kept a connection tries again by a fresh one, as it does bare.
        check(len(died) in (1, 2) and {s.status for s in died} == {"ERROR"},
              "nginx's call to the script that died failed, as often as it was made", died)


def test_as_bare():
    """$_SERVER and the answers are the same but for what a trace adds."""
    def dump(traced):
        with Scene() as scene:
            front, php = stage(scene, traced=traced)
            status, headers, body = get(front.port, "/p?dump=1", headers={"X-One": "1"})[:3]
            changing = ("REQUEST_TIME", "REMOTE_PORT", "SERVER_PORT", "HTTP_HOST", "DOCUMENT_ROOT",
                        "SCRIPT_FILENAME")
            lines = [line for line in body.decode().splitlines() if not line.startswith(changing)]
            return status, lines
    bare, traced = dump(False), dump(True)
    more = [line for line in traced[1] if line not in bare[1]]
    check(len(more) == 1 and more[0].startswith("HTTP_TRACEPARENT=00-"), "one variable more", more)
    equal((traced[0], [line for line in traced[1] if line not in more]), bare, "else as bare")


if __name__ == "__main__":
    main(globals(), ("nginx", os.path.basename(fpm_binary() or "php-fpm")))
