# SPDX-License-Identifier: Apache-2.0
"""What the tests of the relay share: a scene with an authority whose certificates fit or do not, and
the relays that were started in it."""
import glob
import os
import signal
import ssl
import subprocess

from harness import BUILD, BURDOCK, SERVICE, Scene, free_port, wait_until
from tls_scene import certify

RELAY = os.path.join(BUILD, "relay/burdock-relay")
SECRET = "hush-hush-4711"


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Relayed(Scene):
    """Settings for an https:// endpoint whose authority is known."""

    def __init__(self, **environment):
        super().__init__(**environment)
        certify(self)
        self.environment.update(
            OTEL_EXPORTER_OTLP_CERTIFICATE=self.path("ca.pem"), OTEL_METRICS_EXPORTER="none",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10",
            OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20" + SECRET)
        self.environment.update(environment)

    def __exit__(self, *how):
        for pid in self.relays():
            self.end_relay(pid, signal.SIGKILL)
        super().__exit__(*how)

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.directory)

    def certificate(self, name, names="DNS:localhost,IP:127.0.0.1", authority="ca", days=2):
        """name.pem and name.key, by the scene's authority or another one."""
        self.write(name + ".names", "subjectAltName=%s\n" % names)
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                     "-keyout", name + ".key", "-out", name + ".request", "-subj", "/CN=" + name)
        self.openssl("x509", "-req", "-in", name + ".request", "-CA", authority + ".pem", "-CAkey",
                     authority + ".key", "-CAcreateserial", "-out", name + ".pem", "-days", str(days),
                     "-extfile", name + ".names")
        return self.path(name + ".pem"), self.path(name + ".key")

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                     "-nodes", "-keyout", name + ".key", "-out", name + ".pem", "-days", "2", "-subj",
                     "/CN=" + name)

    def tls(self, certificate=None, key=None, clients=None):
        """A server's side; clients: the authority whose certificates they have to show."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate or self.path("cert.pem"), key or self.path("key.pem"))
        if clients:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    # --- relays ---

    def relays(self):
        """The numbers of those that live."""
        found = []
        for path in glob.glob(os.path.join(self.rings, "burdock-relay-*/*.lock")):
            try:
                with open(path) as file:
                    text = file.read().strip()
            except FileNotFoundError:
                continue
            if text and is_alive(int(text)):
                found.append(int(text))
        return found

    def end_relay(self, pid, how=signal.SIGTERM):
        os.kill(pid, how)
        return wait_until(lambda: not is_alive(pid))

    def relay(self, endpoint, **more):
        """One by hand, and its process."""
        before = set(self.relays())

        def is_there():  # it listens once it has its place
            sockets = glob.glob(os.path.join(self.rings, "burdock-relay-*/*.sock"))
            return set(self.relays()) - before and sockets
        process = self.start([BURDOCK, "relay"], traced=False,
                             OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **more)
        wait_until(lambda: is_there() or process.poll() is not None)
        return process

    # --- programs ---

    def app(self, endpoint, name="app", **more):
        """A service under `burdock run`."""
        port = free_port()
        process = self.start([BURDOCK, "run", "--", *SERVICE, str(port)], name, traced=False, port=port,
                             OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **more)
        process.port = port
        return process

    def burdock(self, *arguments, **more):
        done = self.run([BURDOCK, *arguments], traced=False, **more)
        return done.returncode, done.stdout.decode(), done.stderr.decode()
