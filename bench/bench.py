#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What Burdock costs, as ratios to the bare program in the same run.

    bench/bench.py [--build DIR] [--seconds S] [--rounds N] [CASE...]

Cases: nginx_file nginx_proxy true calls idle.
Bare and traced alternate; a ratio is the median of the rounds' ratios, with the quartiles behind it.
CPU is what the kernel accounts to the traced processes, our exporter's thread included, divided by
the requests they served.
Spans go to the local store unless --collector, which posts them to a sink on loopback.
"""
import argparse, glob, http.server, json, os, re, shutil, signal, socket, statistics
import subprocess, tempfile, threading, time


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def wait_for(port, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(('127.0.0.1', port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f'nothing listens on {port}')


def children(pid):
    try:
        with open(f'/proc/{pid}/task/{pid}/children') as f:
            return [int(c) for c in f.read().split()]
    except OSError:
        return []


def cpu_ns(pid):
    """CPU time of a process, all threads, from the scheduler's own clock."""
    total = 0
    for path in glob.glob(f'/proc/{pid}/task/*/schedstat'):
        with open(path) as f:
            total += int(f.read().split()[0])
    return total


def rss_kb(pid):
    with open(f'/proc/{pid}/smaps_rollup') as f:
        return int(re.search(r'^Pss:\s+(\d+)', f.read(), re.M).group(1))


class Place:
    """A temporary directory with the server's configuration, the store and the rings."""

    def __init__(self, arguments):
        self.root = tempfile.mkdtemp(prefix='burdock-bench-')
        os.chmod(self.root, 0o755)
        self.library = os.path.abspath(f'{arguments.build}/preload/libburdock.so')
        self.collector = arguments.collector_port

    def environment(self, traced):
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith(('OTEL_', 'BURDOCK_', 'LD_PRELOAD'))}
        if traced:
            shutil.rmtree(f'{self.root}/store', ignore_errors=True)
            environment.update(LD_PRELOAD=self.library, BURDOCK_STORE=f'{self.root}/store')
            if self.collector:
                environment['OTEL_EXPORTER_OTLP_ENDPOINT'] = f'http://127.0.0.1:{self.collector}'
        return environment

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)


NGINX = '''
worker_processes 1; daemon off; error_log {root}/error.log; pid {root}/nginx.pid;
events {{ worker_connections 512; }}
http {{ access_log off; {paths}
  upstream back {{ server 127.0.0.1:{back}; keepalive 64; }}
  server {{ listen 127.0.0.1:{port}; root {root}/www; keepalive_requests 1000000;
    location /proxy {{ proxy_pass http://back; proxy_http_version 1.1;
                       proxy_set_header Connection ""; }} }}
}}
'''


def nginx(place, port, back, traced):
    os.makedirs(f'{place.root}/www', exist_ok=True)
    with open(f'{place.root}/www/small', 'wb') as f:
        f.write(b'x' * 1024)
    paths = ' '.join(f'{kind}_temp_path {place.root}/{kind};' for kind in
                     ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
    name = f'{place.root}/nginx-{port}.conf'
    with open(name, 'w') as f:
        f.write(NGINX.format(root=place.root, port=port, back=back, paths=paths)
                .replace('nginx.pid', f'nginx-{port}.pid'))
    process = subprocess.Popen(['nginx', '-p', place.root, '-c', name],
                               env=place.environment(traced), stderr=subprocess.DEVNULL)
    wait_for(port)
    return process


def stop(process):
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def load(url, seconds):
    out = subprocess.run(['wrk', '-t1', '-c32', f'-d{seconds}s', url], capture_output=True,
                         text=True, check=True).stdout
    if re.search(r'Non-2xx|Socket errors', out):
        raise SystemExit(out)
    return int(re.search(r'(\d+) requests in', out).group(1))


def cpu_per_request(worker, url, seconds):
    """Nanoseconds of a worker, all its threads, per request."""
    before = cpu_ns(worker)
    requests = load(url, seconds)
    return (cpu_ns(worker) - before) / requests


def backend_conf(place, port, server):
    name = f'{place.root}/back-{port}.conf'
    with open(name, 'w') as f:
        f.write(f'worker_processes 1; daemon off; error_log {place.root}/error.log; '
                f'pid {place.root}/back.pid; events {{ worker_connections 512; }} '
                f'http {{ access_log off; {server} }}')
    return name


def ratio(name, unit, bare, traced):
    """The median of the rounds' ratios, and the quartiles: what half of the rounds lie between."""
    ratios = [t / b for b, t in zip(bare, traced)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f'{name:28} bare {statistics.median(bare):10.1f} {unit:8} traced '
          f'{statistics.median(traced):10.1f} {unit:8} ratio {middle:6.3f} ({low:.3f} to {high:.3f})',
          flush=True)


def nginx_case(name, path):
    """Both servers run for the whole case; the load goes to one and the other in turn, so that
    whatever else the machine does meets both alike."""
    def case(arguments):
        place = Place(arguments)
        ports = {False: free_port(), True: free_port()}
        back = free_port()
        answer = f'server {{ listen 127.0.0.1:{back}; keepalive_requests 1000000; return 200 "ok"; }}'
        servers = [subprocess.Popen(
            ['nginx', '-p', place.root, '-c', backend_conf(place, back, answer)],
            env=place.environment(False), stderr=subprocess.DEVNULL)]
        figures = {False: [], True: []}
        try:
            wait_for(back)
            workers = {}
            for traced, port in ports.items():
                servers.append(nginx(place, port, back, traced))
                load(f'http://127.0.0.1:{port}{path}', 1)
                workers[traced] = children(servers[-1].pid)[0]
            for _ in range(arguments.rounds):
                for traced, port in ports.items():
                    figures[traced].append(cpu_per_request(
                        workers[traced], f'http://127.0.0.1:{port}{path}', arguments.seconds))
            memory = rss_kb(workers[True]) - rss_kb(workers[False])
        finally:
            for server in reversed(servers):
                stop(server)
            place.remove()
        ratio(f'{name}: worker CPU', 'ns/req', figures[False], figures[True])
        print(f'{name}: worker memory (Pss)  +{memory} KB', flush=True)
    return case


def run_true(arguments):
    """Start-up: wall time of fork, exec and exit of /bin/true, from a small parent."""
    place = Place(arguments)
    try:
        def once(traced, count=400):
            out = subprocess.run([f'{arguments.build}/bench/spawn', str(count), '/bin/true'],
                                 env=place.environment(False) | (
                                     {'SPAWN_PRELOAD': place.library} if traced else {}),
                                 capture_output=True, text=True, check=True).stdout
            return [float(ns) / 1000 for ns in out.split()]
        bare, traced = [], []
        for _ in range(arguments.rounds):
            bare.append(once(False))
            traced.append(once(True))
    finally:
        place.remove()
    ratio('/bin/true start-up, median', 'us', [b[1] for b in bare], [t[1] for t in traced])
    ratio('/bin/true start-up, least', 'us', [b[0] for b in bare], [t[0] for t in traced])
    least = min(t[0] for t in traced) - min(b[0] for b in bare)
    print(f'/bin/true start-up            +{least:.1f} us (least of all)')


def run_calls(arguments):
    """An uninteresting read and write: /dev/zero and /dev/null."""
    place = Place(arguments)
    try:
        def once(traced):
            out = subprocess.run([f'{arguments.build}/bench/calls'], env=place.environment(traced),
                                 capture_output=True, text=True, check=True).stdout
            return json.loads(out)
        rounds = [(once(False), once(True)) for _ in range(arguments.rounds)]
    finally:
        place.remove()
    for key in rounds[0][0]:
        bare = min(b[key] for b, _ in rounds)
        traced = min(t[key] for _, t in rounds)
        print(f'{key:28} bare {bare:8.2f} ns  traced {traced:8.2f} ns  +{traced - bare:.2f} ns')


def run_idle(arguments):
    """Wake-ups per second of a traced nginx worker's threads after it has exported something."""
    place = Place(arguments)
    port = free_port()
    try:
        front = nginx(place, port, port, True)
        load(f'http://127.0.0.1:{port}/small', 1)
        time.sleep(3)
        worker = children(front.pid)[0]

        def switches():
            total = 0
            for path in glob.glob(f'/proc/{worker}/task/*/status'):
                with open(path) as f:
                    total += int(re.search(r'^voluntary_ctxt_switches:\s+(\d+)', f.read(), re.M)
                                 .group(1))
            return total
        before = switches()
        time.sleep(10)
        print(f'idle wake-ups                 {(switches() - before) / 10:.1f} per second')
        stop(front)
    finally:
        place.remove()


class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *_):
        pass


CASES = {'nginx_file': nginx_case('nginx small file', '/small'),
         'nginx_proxy': nginx_case('nginx proxy', '/proxy'),
         'true': run_true, 'calls': run_calls, 'idle': run_idle}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--build', default='build')
    parser.add_argument('--seconds', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--collector', action='store_true')
    parser.add_argument('cases', nargs='*', default=list(CASES))
    arguments = parser.parse_args()
    arguments.collector_port = 0
    if arguments.collector:
        sink = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Sink)
        arguments.collector_port = sink.server_address[1]
        threading.Thread(target=sink.serve_forever, daemon=True).start()
    for name in arguments.cases:
        CASES[name](arguments)


if __name__ == '__main__':
    main()
