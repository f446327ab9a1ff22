# SPDX-License-Identifier: Apache-2.0
"""What the cases of the benchmark share: places, processes, the accounts of CPU and memory, and how
a ratio is said. CPU is what the kernel accounts to a program's processes, all their threads and so
our exporter's included."""
import glob, os, re, shutil, signal, socket, statistics, subprocess, tempfile, time


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def wait_for(port, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(('127.0.0.1', port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f'nothing listens on {port}')


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ''


def tree(pid):
    """A process and all its descendants."""
    found = [pid]
    for task in glob.glob(f'/proc/{pid}/task/*/children'):
        for child in read(task).split():
            found += tree(int(child))
    return found


def cpu_ns(pid):
    """CPU time of a process tree, from the scheduler's own clock."""
    return sum(int((read(path).split() or ['0'])[0])
               for each in tree(pid) for path in glob.glob(f'/proc/{each}/task/*/schedstat'))


def pss_kb(pid):
    return sum(int(found.group(1)) for each in tree(pid)
               if (found := re.search(r'^Pss:\s+(\d+)', read(f'/proc/{each}/smaps_rollup'), re.M)))


def switches(pid):
    return sum(int(found.group(1)) for each in tree(pid)
               for path in glob.glob(f'/proc/{each}/task/*/status')
               if (found := re.search(r'^voluntary_ctxt_switches:\s+(\d+)', read(path), re.M)))


class Place:
    """A temporary directory with servers' files, the store and the rings; ends what it started."""

    def __init__(self, arguments):
        self.root = tempfile.mkdtemp(prefix='burdock-bench-')
        os.chmod(self.root, 0o755)
        self.library = os.path.abspath(f'{arguments.build}/preload/libburdock.so')
        self.collector = arguments.collector_port
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            stop(process)
        shutil.rmtree(self.root, ignore_errors=True)

    def environment(self, traced):
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith(('OTEL_', 'BURDOCK_', 'LD_PRELOAD'))}
        if traced:
            store = f'{self.root}/store'
            os.makedirs(store, exist_ok=True)
            os.chmod(store, 0o777)
            environment.update(LD_PRELOAD=self.library, BURDOCK_STORE=store)
            if self.collector:
                environment['OTEL_EXPORTER_OTLP_ENDPOINT'] = f'http://127.0.0.1:{self.collector}'
        return environment

    def start(self, command, traced=False, port=None, **more):
        """traced: whether, or an environment."""
        environment = traced if isinstance(traced, dict) else self.environment(traced)
        process = subprocess.Popen(command, env=environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
        self.processes.append(process)
        if port:
            wait_for(port)
        return process

    def write(self, name, text):
        path = f'{self.root}/{name}'
        with open(path, 'w') as file:
            file.write(text)
        return path


def stop(process, how=signal.SIGTERM):
    if process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def say_ratio(name, unit, bare, traced):
    """The median of the rounds' ratios, and the quartiles: what half of the rounds lie between."""
    ratios = [t / b for b, t in zip(bare, traced)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f'{name:34} bare {statistics.median(bare):11.1f} {unit:7} traced '
          f'{statistics.median(traced):11.1f} {unit:7} ratio {middle:6.3f} ({low:.3f} to {high:.3f})',
          flush=True)


def compare_servers(name, arguments, place, start, drive):
    """start(traced) answers the process that serves and its port; drive(port) loads it for a while
    and answers (requests, {what: figure}). Both servers run for the whole case, and the load goes to
    one and the other in turn, so that whatever else the machine does meets both alike."""
    servers = {traced: start(traced) for traced in (False, True)}
    cpu, figures = {False: [], True: []}, {}
    for process, port in servers.values():
        drive(port) # warm
    for _ in range(arguments.rounds):
        for traced, (process, port) in servers.items():
            before = cpu_ns(process.pid)
            requests, others = drive(port)
            cpu[traced].append((cpu_ns(process.pid) - before) / requests)
            for what, figure in others.items():
                figures.setdefault(what, {False: [], True: []})[traced].append(figure)
    say_ratio(f'{name}: CPU', 'ns/req', cpu[False], cpu[True])
    for (what, unit), both in figures.items():
        say_ratio(f'{name}: {what}', unit, both[False], both[True])
    memory = [pss_kb(process.pid) for process, _ in servers.values()]
    print(f'{name}: memory (Pss)  +{memory[1] - memory[0]} KB', flush=True)
