#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What Burdock costs, as ratios to the bare program in the same run.

    bench/bench.py [--build DIR] [--seconds S] [--rounds N] [--collector] [CASE...]

Bare and traced alternate; a ratio is the median of the rounds' ratios, with the quartiles behind it.
Spans go to the local store unless --collector, which posts them to a sink on loopback.
"""
import argparse, http.server, json, os, statistics, subprocess, threading

import servers
from measure import Place, free_port, say_ratio


def spawn(arguments, place, traced, program, *options):
    """Least and median microseconds to start a program and see it end, from a small parent."""
    out = subprocess.run([f'{arguments.build}/bench/spawn', '200', program, *options],
                         env=place.environment(False) | {
                             'SPAWN_PRELOAD': place.library if traced else '',
                             'SPAWN_STORE': f'{place.root}/store'},
                         capture_output=True, text=True, check=True).stdout
    return [float(ns) / 1000 for ns in out.split()]


def start_up(arguments):
    with Place(arguments) as place:
        rounds = [(spawn(arguments, place, False, '/bin/true'),
                   spawn(arguments, place, True, '/bin/true')) for _ in range(arguments.rounds)]
    for at, name in ((1, 'median'), (0, 'least')):
        say_ratio(f'/bin/true start-up, {name}', 'us', [b[at] for b, _ in rounds],
                  [t[at] for _, t in rounds])
    least = min(t[0] for _, t in rounds) - min(b[0] for b, _ in rounds)
    middle = statistics.median(t[1] - b[1] for b, t in rounds)
    print(f'/bin/true start-up  +{least:.1f} us (least of all), +{middle:.1f} us (median)')


def curl(arguments):
    """A whole curl, from start to end, that asks for a small file."""
    with Place(arguments) as place:
        _, port = servers.nginx(place, False)
        url = f'http://127.0.0.1:{port}/small'
        rounds = [[spawn(arguments, place, traced, '/usr/bin/curl', '-so/dev/null', url)[1]
                   for traced in (False, True)] for _ in range(arguments.rounds)]
    say_ratio('curl, start to end', 'us', [b for b, _ in rounds], [t for _, t in rounds])


def calls(arguments):
    """Calls that are none of our business, and of a stream that we follow."""
    with Place(arguments) as place:
        def once(traced):
            return json.loads(subprocess.run([f'{arguments.build}/bench/calls'],
                                             env=place.environment(traced), capture_output=True,
                                             text=True, check=True).stdout)
        rounds = [(once(False), once(True)) for _ in range(arguments.rounds)]
    for key in rounds[0][0]:
        bare = min(b[key] for b, _ in rounds)
        traced = min(t[key] for _, t in rounds)
        print(f'{key:34} bare {bare:8.2f} ns  traced {traced:8.2f} ns  +{traced - bare:.2f} ns')


def pgbench_client(arguments):
    with Place(arguments) as place:
        _, port = servers.postgres(place, False)
        cpu = {False: [], True: []}
        for _ in range(arguments.rounds):
            for traced in cpu:
                before = os.times()
                out = servers.pgbench(place, port, ['-S', '-n', '-c', '8', '-T',
                                                    str(arguments.seconds)], traced)
                after = os.times()
                spent = (after.children_user + after.children_system - before.children_user -
                         before.children_system)
                cpu[traced].append(spent * 1e9 / servers.transactions(out))
    say_ratio('pgbench -S itself: CPU', 'ns/txn', cpu[False], cpu[True])


def clients(arguments):
    """What a call of a database's library costs the thread that makes it."""
    def compare(what, kind, port, place, count):
        def once(traced):
            return float(subprocess.run(
                [f'{arguments.build}/bench/clients', kind, str(port), str(count)],
                env=place.environment(traced), capture_output=True, text=True, check=True).stdout)
        rounds = [(once(False), once(True)) for _ in range(arguments.rounds)]
        say_ratio(f'{what}: CPU', 'ns/call', [b for b, _ in rounds], [t for _, t in rounds])
        bare, traced = min(b for b, _ in rounds), min(t for _, t in rounds)
        print(f'{what}: least of all +{traced - bare:.0f} ns')
    with Place(arguments) as place:
        port = free_port()
        place.start(['redis-server', '--port', str(port), '--save', '', '--dir', place.root],
                    port=port)
        compare('redisCommand', 'redis', port, place, 1000)
        _, port = servers.postgres(place, False)
        compare('PQexec', 'pg', port, place, 300)


def crowd(arguments, what, count):
    """Resident memory that many threads or connections cost, each of which has served a request."""
    with Place(arguments) as place:
        bare, traced = [json.loads(subprocess.run(
            [f'{arguments.build}/bench/crowd', what], env=place.environment(traced),
            capture_output=True, text=True, check=True).stdout)['kb'] for traced in (False, True)]
    print(f'{count} {what}: memory  +{traced - bare} KB, {(traced - bare) * 1024 // count} bytes each')


class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        if self.headers['Content-Length']:
            self.rfile.read(int(self.headers['Content-Length']))
        else: # chunked
            while (length := int(self.rfile.readline(), 16)) > 0:
                self.rfile.read(length + 2)
            self.rfile.readline()
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *_):
        pass


CASES = {
    'nginx_file': servers.nginx_case('nginx, small file, 20,000/s', '/small', servers.steady(20000)),
    'nginx_proxy': servers.nginx_case('nginx, proxy, 20,000/s', '/proxy', servers.steady(20000)),
    'nginx_file_full': servers.nginx_case('nginx, small file, saturated', '/small'),
    'nginx_proxy_full': servers.nginx_case('nginx, proxy, saturated', '/proxy'),
    'nginx_mega': servers.nginx_case('nginx, 1 MB', '/mega'),
    'nginx_giga': servers.nginx_case('nginx, 1 GB', '/giga', servers.curl),
    'node': servers.echo_case('node, echo', ['node', '-e', servers.NODE]),
    'python': servers.echo_case('python, echo', ['/usr/bin/python3', '-c', servers.PYTHON]),
    'redis': servers.redis,
    'postgres': servers.pgbench_server,
    'pgbench': pgbench_client,
    'curl': curl,
    'true': start_up,
    'calls': calls,
    'clients': clients,
    'threads': lambda arguments: crowd(arguments, 'threads', 1000),
    'connections': lambda arguments: crowd(arguments, 'connections', 10000),
    'idle': servers.idle,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog='cases: ' + ' '.join(CASES))
    parser.add_argument('--build', default='build')
    parser.add_argument('--seconds', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--collector', action='store_true')
    parser.add_argument('cases', nargs='*', default=list(CASES))
    arguments = parser.parse_args()
    arguments.collector_port = 0
    servers.STEADY = f'{arguments.build}/bench/steady'
    if arguments.collector:
        sink = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Sink)
        arguments.collector_port = sink.server_address[1]
        threading.Thread(target=sink.serve_forever, daemon=True).start()
    for name in arguments.cases:
        CASES[name](arguments)


if __name__ == '__main__':
    main()
