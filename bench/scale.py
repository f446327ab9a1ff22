#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a span costs on its way out: bytes on the wire, and CPU of our thread, by workload.

    bench/scale.py [--build DIR] [--seconds S] [--collector URL PID]

Spans go to a sink on loopback, in plain and in gzip, at a steady rate; or to a collector that runs
already, whose own CPU per span is then said as well (--collector http://127.0.0.1:4318 4711).
docs/SCALE.md reckons with these figures.
"""
import argparse
import glob
import http.server
import re
import subprocess
import sys
import threading
import time
import zlib

import servers
from measure import Place, cpu_ns, free_port, read


def fields(message):
    """(number, content) of the fields of a protobuf message that have a length."""
    at, out = 0, []

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 2:
            length = varint()
            out.append((key >> 3, message[at:at + length]))
            at += length
        else:
            at = at + {1: 8, 5: 4}[kind] if kind else (varint(), at)[1]
    return out


def count_spans(request):
    return sum(1 for number, resource in fields(request) if number == 1
               for number, scope in fields(resource) if number == 2
               for number, _ in fields(scope) if number == 2)


class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    seen = {'bytes': 0, 'spans': 0, 'requests': 0}

    def body(self):
        if self.headers['Content-Length']:
            return self.rfile.read(int(self.headers['Content-Length']))
        pieces = []
        while (length := int(self.rfile.readline(), 16)) > 0:
            pieces.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b''.join(pieces)

    def do_POST(self):
        body = self.body()
        if self.path == '/v1/traces':
            plain = zlib.decompress(body, 31) if self.headers['Content-Encoding'] == 'gzip' else body
            self.seen['bytes'] += len(body)
            self.seen['spans'] += count_spans(plain)
            self.seen['requests'] += 1
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *_):
        pass


def ours_ns(pid):
    """CPU of our thread."""
    return sum(int(read(path.replace('comm', 'schedstat')).split()[0])
               for path in glob.glob(f'/proc/{pid}/task/*/comm') if read(path).strip() == 'burdock')


def exported(arguments, pid):
    """Spans that have reached the endpoint."""
    told = subprocess.run([f'{arguments.build}/cli/burdock', 'status', '--json', str(pid)],
                          capture_output=True, text=True).stdout
    found = re.search(r'"spans\.exported":\s*(\d+)', told)
    return int(found.group(1)) if found else 0


def settle(value, seconds=15):
    """The value once it has stopped to change."""
    last, end = value(), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(6)
        if (now := value()) == last:
            break
        last = now
    return last


def run(arguments, name, path, rate, gzip):
    with Place(arguments) as place:
        more = {'OTEL_METRICS_EXPORTER': 'none', 'BURDOCK_SPOOL': 'off',
                'OTEL_EXPORTER_OTLP_COMPRESSION': 'gzip' if gzip else 'none'}
        environment = place.environment(True) | more
        if arguments.collector:
            environment['OTEL_EXPORTER_OTLP_ENDPOINT'] = arguments.collector[0]
        back, back_port = servers.nginx(place, False)
        process, port = servers.nginx(place, environment, back_port)
        drive = servers.steady(rate)
        url = f'http://127.0.0.1:{port}{path}'
        drive(url, 1)
        settle(lambda: exported(arguments, process.pid))
        before = dict(Sink.seen), ours_ns(process.pid), exported(arguments, process.pid)
        theirs = cpu_ns(int(arguments.collector[1])) if arguments.collector else 0
        drive(url, arguments.seconds)
        spans = settle(lambda: exported(arguments, process.pid)) - before[2]
        ours = ours_ns(process.pid) - before[1]
        row = f'{name:12} {"gzip" if gzip else "plain":6} {spans:8} spans'
        if arguments.collector:
            theirs = cpu_ns(int(arguments.collector[1])) - theirs
            row += f'  collector {theirs / spans / 1000:6.2f} us a span'
        else:
            told = {key: Sink.seen[key] - before[0][key] for key in Sink.seen}
            row += f'  {told["bytes"] / told["spans"]:7.1f} bytes a span' \
                   f'  {told["spans"] / told["requests"]:6.1f} spans a request'
            if told['spans'] != spans:
                row += f'  (the sink has {told["spans"]})'
        print(f'{row}  our thread {ours / spans / 1000:6.2f} us a span', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default='build')
    parser.add_argument('--seconds', type=float, default=10)
    parser.add_argument('--collector', nargs=2, metavar=('URL', 'PID'))
    arguments = parser.parse_args()
    servers.STEADY = f'{arguments.build}/bench/steady'
    sink = http.server.ThreadingHTTPServer(('127.0.0.1', free_port()), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    arguments.collector_port = sink.server_address[1]
    for name, path in (('server', '/small'), ('forwarded', '/proxy')):
        for gzip in (False, True):
            run(arguments, name, path, 5000, gzip)


if __name__ == '__main__':
    sys.exit(main())
