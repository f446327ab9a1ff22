#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is what a program does at full speed what arrives, or is counted as lost?

    bench/flood.py [--build DIR] [--rate 200000] [--seconds 60] [--threads 4] [--gzip] [--delay 0]

Four threads make spans, as many a second in all (flood.c); a receiver on loopback, a process of its
own, counts what comes and reads the counters of the last metrics. It answers each request after so many
milliseconds, as one that is far away does. Exit status 1 if it does not add up.
"""
import argparse
import http.server
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib

from scale import count_spans, fields


def parts(message, wanted):
    """The contents of the fields of that number."""
    return (content for number, content in fields(message) if number == wanted)


def counters_in(request):
    """{name: value} of the library's own sums."""
    found = {}
    for each in parts(request, 1):
        for scope in parts(each, 2):
            for metric in parts(scope, 2):
                name = next(parts(metric, 1)).tobytes().decode()
                for total in parts(metric, 7):
                    for point in parts(total, 1):
                        at = point.tobytes().rfind(b'\x31') # as_int, fixed, behind the times
                        if name.startswith('burdock.') and len(point) - at >= 9:
                            found[name] = int.from_bytes(point[at + 1:at + 9], 'little')
    return found


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    spans = requests = delay = 0
    counters = {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        if self.headers['Content-Encoding'] == 'gzip':
            body = zlib.decompress(body, 31)
        if self.path == '/v1/traces':
            Receiver.spans += count_spans(memoryview(body))
            Receiver.requests += 1
        elif self.path == '/v1/metrics':
            Receiver.counters.update(counters_in(memoryview(body)))
        time.sleep(Receiver.delay)
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *_):
        pass


def receive(to_parent, end):
    """In a child: tells its port, serves until the pipe ends, tells what came."""
    server = http.server.HTTPServer(('127.0.0.1', 0), Receiver)
    server.timeout = 0.2
    os.write(to_parent, b'%d\n' % server.server_address[1])
    os.set_blocking(end, False)
    while True:
        try:
            if os.read(end, 1) == b'':
                break
        except BlockingIOError:
            server.handle_request()
    used = resource.getrusage(resource.RUSAGE_SELF)
    os.write(to_parent, json.dumps([Receiver.spans, Receiver.requests, Receiver.counters,
                                    used.ru_utime + used.ru_stime]).encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default='build')
    parser.add_argument('--rate', type=int, default=200000)
    parser.add_argument('--seconds', type=float, default=60)
    parser.add_argument('--threads', type=int, default=4)
    parser.add_argument('--gzip', action='store_true')
    parser.add_argument('--delay', type=float, default=0, help='ms')
    arguments = parser.parse_args()
    Receiver.delay = arguments.delay / 1000
    told, to_parent = os.pipe()
    end, alive = os.pipe()
    if os.fork() == 0:
        os.close(alive)
        receive(to_parent, end)
        os._exit(0)
    os.close(to_parent)
    told = os.fdopen(told, 'rb')
    port = int(told.readline())
    with tempfile.TemporaryDirectory(prefix='burdock-flood-') as place:
        environment = os.environ | {
            'LD_PRELOAD': os.path.abspath(f'{arguments.build}/preload/libburdock.so'),
            'BURDOCK_DIR': '/dev/shm', 'BURDOCK_STORE': f'{place}/store',
            'OTEL_EXPORTER_OTLP_ENDPOINT': f'http://127.0.0.1:{port}',
            'OTEL_EXPORTER_OTLP_COMPRESSION': 'gzip' if arguments.gzip else 'none'}
        program = subprocess.run(
            [f'{arguments.build}/bench/flood', str(arguments.rate), str(arguments.seconds),
             str(arguments.threads)], env=environment, stdout=subprocess.PIPE, check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        spooled = os.path.isdir(f'{place}/store/spool')
    os.close(alive)
    received, requests, counters, theirs = json.loads(told.read())
    made = int(program.stdout)
    lost = {name: value for name, value in counters.items() if '.dropped.' in name and value}
    print(f'{made} statements, {made / arguments.seconds:.0f} a second; {received} spans received '
          f'in {requests} requests; '
          f'lost and counted: {lost or "none"}; CPU: program and ours {used.ru_utime + used.ru_stime:.1f} s, '
          f'receiver {theirs:.1f} s; {"spooled meanwhile" if spooled else "nothing spooled"}')
    adds_up = received + sum(value for name, value in lost.items() if 'spans' in name) == made
    print('adds up' if adds_up else f'DOES NOT ADD UP: recorded {counters.get("burdock.spans.recorded")}')
    return not adds_up


if __name__ == '__main__':
    sys.exit(main())
