#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The same server bare, under Burdock and under the OpenTelemetry SDK of its language, side by side.

    bench/against.py [--build DIR] [--rounds N] [--python VENV] [--node DIR]

VENV: a virtual environment with flask, opentelemetry-distro, opentelemetry-exporter-otlp-proto-http
and opentelemetry-instrumentation-flask; DIR: where npm installed @opentelemetry/api and
@opentelemetry/auto-instrumentations-node. Nothing is installed here. All three serve for the whole
run and are loaded in turn; every request is sampled, and spans go to a sink on loopback. No metrics
and no logs, so that each does the same.
"""
import argparse, http.server, os, statistics, threading

import bench, servers
from measure import Place, cpu_ns, free_port, pss_kb

FLASK = '''
import sys, flask, werkzeug.serving
werkzeug.serving.WSGIRequestHandler.protocol_version = "HTTP/1.1"
werkzeug.serving.WSGIRequestHandler.log_request = lambda *_: None
app = flask.Flask(__name__)
app.add_url_rule("/", "root", lambda: "ok")
app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
'''
SETTINGS = {'OTEL_METRICS_EXPORTER': 'none', 'OTEL_LOGS_EXPORTER': 'none',
            'OTEL_EXPORTER_OTLP_PROTOCOL': 'http/protobuf', 'OTEL_SERVICE_NAME': 'echo'}


def compare(name, arguments, bare, sdk, **more):
    """bare, sdk: commands to which a port is added."""
    with Place(arguments) as place:
        running = {}
        for what, command, traced in (('bare', bare, False), ('Burdock', bare, True),
                                      ('SDK', sdk, False)):
            port = free_port()
            os.environ.update(SETTINGS, OTEL_EXPORTER_OTLP_ENDPOINT=
                              f'http://127.0.0.1:{arguments.collector_port}')
            settings = {k: v for k, v in os.environ.items() if k.startswith('OTEL_')}
            environment = place.environment(traced) | (settings if what != 'bare' else {})
            running[what] = place.start(command + [str(port)], environment, port, **more), port
        cpu = {what: [] for what in running}
        for process, port in running.values():
            servers.wrk(f'http://127.0.0.1:{port}/', 2, 8)
        for _ in range(arguments.rounds):
            for what, (process, port) in running.items():
                before = cpu_ns(process.pid)
                requests, _ = servers.wrk(f'http://127.0.0.1:{port}/', arguments.seconds, 8)
                cpu[what].append((cpu_ns(process.pid) - before) / requests)
        for what, (process, _) in running.items():
            ratio = statistics.median(a / b for a, b in zip(cpu[what], cpu['bare']))
            print(f'{name:16} {what:8} {statistics.median(cpu[what]) / 1000:8.1f} us CPU a request, '
                  f'{ratio:.2f} times bare; memory {pss_kb(process.pid)} KB', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default='build')
    parser.add_argument('--seconds', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=8)
    parser.add_argument('--python')
    parser.add_argument('--node')
    arguments = parser.parse_args()
    sink = http.server.ThreadingHTTPServer(('127.0.0.1', 0), bench.Sink)
    arguments.collector_port = sink.server_address[1]
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    if arguments.python:
        python = [f'{arguments.python}/bin/python', '-c', FLASK]
        compare('Python, Flask', arguments, python,
                [f'{arguments.python}/bin/opentelemetry-instrument', *python])
    if arguments.node:
        node = ['node', '-e', servers.NODE]
        sdk = ['node', '--require', '@opentelemetry/auto-instrumentations-node/register', '-e',
               servers.NODE]
        compare('Node, http', arguments, node, sdk, cwd=arguments.node)


if __name__ == '__main__':
    main()
