#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memcheck watches the library inside curl and nginx: no invalid access, no use of what was never
written; in curl, which loses nothing of its own, nothing lost for good."""
import signal

from harness import *

MEMCHECK = ["valgrind", "-q", "--error-exitcode=99", "--trace-children=no",
            "--suppressions=" + os.path.join(SOURCE, "tests/e2e/memcheck.supp")]
LEAKS = ["--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]


def errors_in(stderr):
    """Memcheck's lines; not valgrind's own remarks (--) about calls that it does not know."""
    return [line for line in stderr.decode().splitlines() if line.startswith("==")]


def test_client():
    with Scene() as scene:
        back = scene.service(arguments=["X-Any"], traced=False)
        urls = ["http://127.0.0.1:%d/%s" % (back.port, path) for path in ("a", "status/404", "chunked")]
        done = scene.run(MEMCHECK + LEAKS + ["curl", "-sS", *urls], "curl")
        errors = errors_in(done.stderr)
        check(done.returncode == 0 and not errors, "curl under memcheck: no error",
              "status %d\n%s" % (done.returncode, "\n".join(errors)))
        equal(len(scene.wait_spans(3)), 3, "curl under memcheck: three spans")


def test_server():
    with Scene() as scene:
        back = scene.service(traced=False)
        port, run = free_port(), scene.path("run")
        os.mkdir(run)
        config = scene.write("nginx.conf", """master_process off; daemon off; pid %s/pid;
            error_log stderr; events { } http { access_log off; %s
            server { listen 127.0.0.1:%d; location / { proxy_pass http://127.0.0.1:%d; } } }""" % (
                run, "".join("%s_temp_path %s;" % (name, run) for name in (
                    "client_body", "proxy", "fastcgi", "uwsgi", "scgi")), port, back.port))
        server = scene.start(MEMCHECK + ["nginx", "-p", run, "-e", "stderr", "-c", config], "nginx",
                             port=port)
        for path in ("/a", "/chunked", "/status/500"):
            get(port, path)
        found = scene.wait_spans(6)
        status = scene.stop(server, signal.SIGQUIT, timeout=60)
        errors = errors_in(scene.stderr(server))
        check(status == 0 and not errors, "nginx under memcheck: no error",
              "status %d\n%s" % (status, "\n".join(errors)))
        equal(len(found), 6, "nginx under memcheck: a server and a client span for each request")


main(globals(), needs=["valgrind", "nginx", "curl"])
