# SPDX-License-Identifier: Apache-2.0
"""Servers of the benchmark, and what loads them."""
import glob, json, os, re, subprocess, time

from measure import compare_servers, free_port, Place, switches

STEADY = None # the program, set by bench.py

NGINX = '''
worker_processes 1; daemon off; master_process off; error_log {root}/error.log; pid {root}/{port}.pid;
events {{ worker_connections 12000; }}
http {{ access_log off; sendfile on; {paths}
  upstream back {{ server 127.0.0.1:{back}; keepalive 64; }}
  server {{ listen 127.0.0.1:{port}; root {root}/www; keepalive_requests 100000000;
    location /ok {{ return 200 "ok"; }}
    location /proxy {{ proxy_pass http://back/ok; proxy_http_version 1.1;
                       proxy_set_header Connection ""; }} }}
}}
'''


def nginx(place, traced, back=1):
    """One process, which serves files of several sizes, /ok, and /proxy to another one's /ok."""
    port = free_port()
    os.makedirs(f'{place.root}/www', exist_ok=True)
    for name, size in (('small', 1024), ('mega', 1 << 20), ('giga', 1 << 30)):
        with open(f'{place.root}/www/{name}', 'wb') as file:
            file.truncate(size)
    paths = ' '.join(f'{kind}_temp_path {place.root}/{kind};' for kind in
                     ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
    name = place.write(f'{port}.conf',
                       NGINX.format(root=place.root, port=port, back=back, paths=paths))
    process = place.start(['/usr/sbin/nginx', '-p', place.root, '-c', name], traced, port)
    return process, port


def wrk(url, seconds, connections=32):
    out = subprocess.run(['wrk', '-t1', f'-c{connections}', f'-d{seconds}s', '--latency', url],
                         capture_output=True, text=True, check=True).stdout
    if re.search(r'Non-2xx|Socket errors', out):
        raise SystemExit(out)
    requests = int(re.search(r'(\d+) requests in', out).group(1))

    def us(percent):
        number, unit = re.search(rf'^\s+{percent}%\s+([\d.]+)(us|ms|s)$', out, re.M).groups()
        return float(number) * {'us': 1, 'ms': 1e3, 's': 1e6}[unit]
    return requests, {('throughput', 'req/s'): requests / seconds,
                      ('p50', 'us'): us(50), ('p99', 'us'): us(99)}


def steady(rate):
    """The same number of requests a second for both: what they need for the same work."""
    def drive(url, seconds):
        port, path = re.fullmatch(r'http://127.0.0.1:(\d+)(/.*)', url).groups()
        out = json.loads(subprocess.run([STEADY, port, path, str(rate), str(seconds)],
                                        capture_output=True, text=True, check=True).stdout)
        return out['requests'], {('p50', 'us'): out['p50'], ('p99', 'us'): out['p99']}
    return drive


def curl(url, _):
    """One request, however long it takes."""
    started = time.monotonic()
    subprocess.run(['curl', '-so', '/dev/null', url], check=True)
    return 1, {('duration', 'ms'): (time.monotonic() - started) * 1e3}


def nginx_case(name, path, drive=wrk):
    def case(arguments):
        with Place(arguments) as place:
            _, back = nginx(place, False)
            compare_servers(name, arguments, place, lambda traced: nginx(place, traced, back),
                            lambda port: drive(f'http://127.0.0.1:{port}{path}', arguments.seconds))
    return case


NODE = ("require('http').createServer((q, r) => r.end('ok'))"
        ".listen(+process.argv[1], '127.0.0.1')")
PYTHON = '''
import http.server, sys
class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = 65536 # head and body in one segment
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'ok')
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Echo).serve_forever()
'''


def echo_case(name, command):
    def case(arguments):
        with Place(arguments) as place:
            def start(traced):
                port = free_port()
                return place.start(command + [str(port)], traced, port), port
            compare_servers(name, arguments, place, start,
                            lambda port: wrk(f'http://127.0.0.1:{port}/', arguments.seconds, 8))
    return case


def redis(arguments):
    with Place(arguments) as place:
        def start(traced):
            port = free_port()
            return place.start(['redis-server', '--port', str(port), '--save', '', '--dir',
                                place.root], traced, port), port

        def drive(port):
            count = 40000 * arguments.seconds
            subprocess.run(['redis-benchmark', '-p', str(port), '-c', '32', '-n', str(count), '-t',
                            'get', '-q'], check=True, stdout=subprocess.DEVNULL)
            return count, {}
        compare_servers('redis-server, GET', arguments, place, start, drive)


def postgres_bin():
    found = sorted(glob.glob('/usr/lib/postgresql/*/bin'))
    if not found:
        raise SystemExit('PostgreSQL is not installed')
    return found[-1]


def postgres(place, traced):
    """As root PostgreSQL does not run: everything of it is done by its own user."""
    port, binaries = free_port(), postgres_bin()
    data = f'{place.root}/pg{port}'
    who = dict(user='postgres', group='postgres', extra_groups=[], cwd='/')
    os.makedirs(data)
    subprocess.run(['chown', 'postgres:postgres', data], check=True)
    subprocess.run([f'{binaries}/initdb', '-D', data, '-A', 'trust', '--no-sync'], check=True,
                   stdout=subprocess.DEVNULL, **who)
    process = place.start([f'{binaries}/postgres', '-D', data, '-p', str(port), '-h', '127.0.0.1',
                           '-k', '', '-c', 'fsync=off', '-c',
                           'dynamic_shared_memory_type=mmap'], traced, port, **who)
    while subprocess.run([f'{binaries}/pg_isready', '-q', '-h', '127.0.0.1', '-p', str(port)],
                         check=False).returncode == 1: # listens, and still starts
        time.sleep(0.05)
    pgbench(place, port, ['-i', '-q', '-s', '5'])
    return process, port


def pgbench(place, port, options, traced=False):
    return subprocess.run([f'{postgres_bin()}/pgbench', '-h', '127.0.0.1', '-p', str(port), '-U',
                           'postgres', *options, 'postgres'], env=place.environment(traced),
                          check=True, capture_output=True, text=True).stdout


def transactions(out):
    return int(re.search(r'actually processed: (\d+)', out).group(1))


def pgbench_server(arguments):
    with Place(arguments) as place:
        def drive(port):
            out = pgbench(place, port, ['-S', '-n', '-c', '8', '-T', str(arguments.seconds)])
            return transactions(out), {}
        compare_servers('postgres, pgbench -S', arguments, place,
                        lambda traced: postgres(place, traced), drive)


def idle(arguments):
    """Wake-ups per second after something was exported."""
    with Place(arguments) as place:
        process, port = nginx(place, True)
        wrk(f'http://127.0.0.1:{port}/small', 1)
        time.sleep(7) # past the exporter's schedule
        before = switches(process.pid)
        time.sleep(10)
        print(f'idle wake-ups  {(switches(process.pid) - before) / 10:.1f} per second', flush=True)
