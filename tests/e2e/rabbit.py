# SPDX-License-Identifier: Apache-2.0
"""A RabbitMQ for a scene."""
import os
import socket

from harness import free_port, wait_until

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class Rabbit:
    """A broker of its own, and the port mapper of its Erlang, on loopback."""

    def __init__(self, scene, plugins=(), settings=""):
        self.scene, self.port, self.mapper = scene, free_port(), free_port()
        self.home = scene.path("rabbit")
        os.mkdir(self.home)
        scene.write("rabbit/none.conf", settings)
        scene.write("rabbit/plugins", "[%s].\n" % ",".join(plugins))
        scene.start(["epmd", "-port", str(self.mapper), "-address", "127.0.0.1"], "epmd", False,
                    self.mapper)
        self.start()

    def start(self):
        home = self.home
        more = {"HOME": home, "RABBITMQ_BASE": home, "RABBITMQ_MNESIA_BASE": home + "/mnesia",
                "RABBITMQ_LOG_BASE": home + "/log", "RABBITMQ_NODENAME": "burdock@localhost",
                "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": str(self.port),
                "RABBITMQ_DIST_PORT": str(free_port()), "ERL_EPMD_PORT": str(self.mapper),
                "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_CONFIG_FILE": home + "/none",
                "RABBITMQ_ENABLED_PLUGINS_FILE": home + "/plugins",
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                    "-kernel inet_dist_use_interface {127,0,0,1}"}
        self.process = self.scene.start([SERVER], "rabbitmq", False, **more)
        if not wait_until(self.answers, 240, 0.2):
            raise RuntimeError("RabbitMQ does not answer: %r" % self.scene.stdout(self.process))

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as client:
                client.settimeout(5)
                client.sendall(b"AMQP\0\0\x09\x01")
                return client.recv(1) == b"\1"
        except OSError:
            return False
