# SPDX-License-Identifier: Apache-2.0
"""What a process says of itself, its host, its pod and its task."""
import datetime
import http.server
import json
import os
import platform
import pwd
import threading
import uuid

from harness import PYTHON, Scene, check, equal, get, is_listening, main, wait_until

ID = "cd189a933e5849daa93386466019ab50-2495160603"
ARN = "arn:aws:ecs:us-west-2:111122223333:"
CONTAINER = {"DockerId": ID, "DockerName": "curl", "Image": "registry.test/curl:8",
             "ImageID": "sha256:25f3", "ContainerARN": ARN + "container/05966557"}
TASK = {"Cluster": ARN + "cluster/default", "TaskARN": ARN + "task/default/e9028f8d5d8e4f25",
        "Family": "curltest", "Revision": "3", "LaunchType": "FARGATE",
        "AvailabilityZone": "us-west-2a", "Containers": [CONTAINER]}


class Agent:
    """The agent of Amazon ECS; asked: the paths. answers: None is silence."""

    def __init__(self, scene, answers):
        agent = self
        self.asked, self.released = [], threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                agent.asked.append(self.path)
                answer = answers.get(self.path, b"")
                if answer is None:
                    agent.released.wait(60)
                    return
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/v4/%s" % (self.server.server_address[1], ID)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        scene.servers.append(self)

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


def resource_of(**environment):
    """Of a process that made one request."""
    with Scene() as scene:
        app = scene.service("app", traced=False)
        scene.curl("http://127.0.0.1:%d/" % app.port, **environment)
        return scene.wait_spans(1)[0].resource


def os_release():
    with open("/etc/os-release") as file:
        pairs = [line.strip().split("=", 1) for line in file if "=" in line]
    return {name: value.strip('"') for name, value in pairs}


def test_process():
    before = datetime.datetime.now(datetime.timezone.utc)
    found = resource_of(POD_NAME="nobody", NODE_NAME="nobody")
    after = datetime.datetime.now(datetime.timezone.utc)
    system = os_release()
    wanted = {"service.name": "curl", "process.command": "curl",
              "process.executable.name": "curl", "process.owner": pwd.getpwuid(os.geteuid())[0],
              "process.parent_pid": os.getpid(), "host.name": platform.node(),
              "host.arch": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
              "os.type": "linux", "os.name": system.get("NAME"),
              "os.version": system.get("VERSION_ID"), "os.description": system.get("PRETTY_NAME"),
              "os.build_id": system.get("BUILD_ID", platform.release()),
              "telemetry.distro.name": "burdock", "telemetry.sdk.name": "burdock"}
    equal({key: found.get(key) for key in wanted}, wanted, "process, host and system")
    equal(uuid.UUID(found["service.instance.id"]).version, 4, "an instance's id")
    began = datetime.datetime.fromisoformat(found["process.creation.time"].replace("Z", "+00:00"))
    slack = datetime.timedelta(milliseconds=50)
    check(before - slack <= began <= after + slack, "and when it began", (before, began, after))
    check(not any(key.startswith(("k8s.", "aws.", "cloud.")) for key in found),
          "nothing of an orchestrator that is not there", found)
    check("process.command_line" not in found and "process.command_args" not in found,
          "no argument but the command's name")


def test_machine_id():
    found = resource_of()
    with open("/proc/self/cgroup") as file:
        contained = any(len(part) >= 64 for line in file for part in line.strip().split("/"))
    contained = contained or os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv")
    with open("/proc/self/mountinfo") as file:
        contained = contained or "containers/" in file.read()
    try:
        with open("/etc/machine-id") as file:
            wanted = file.read().strip() or None
    except FileNotFoundError:
        wanted = None
    equal(found.get("host.id"), None if contained else wanted,
          "the machine's id, outside of containers")


def test_kubernetes():
    pod = dict(KUBERNETES_SERVICE_HOST="10.0.0.1", POD_NAME="shop-5d4", POD_NAMESPACE="prod",
               POD_UID="275ecb36", POD_IP="10.1.2.3", NODE_NAME="node-7", CONTAINER_NAME="shop")
    found = resource_of(**pod)
    equal({key: value for key, value in found.items() if key.startswith("k8s.")},
          {"k8s.pod.name": "shop-5d4", "k8s.namespace.name": "prod", "k8s.pod.uid": "275ecb36",
           "k8s.pod.ip": "10.1.2.3", "k8s.node.name": "node-7", "k8s.container.name": "shop"},
          "what the pod is told about itself")
    check("host.id" not in found, "a pod's machine-id is not its host's")
    found = resource_of(OTEL_RESOURCE_ATTRIBUTES_POD_NAME="of-operator",
                        OTEL_RESOURCE_ATTRIBUTES_NODE_NAME="node-8",
                        OTEL_RESOURCE_ATTRIBUTES="k8s.node.name=mine,host.arch=own", **pod)
    equal((found["k8s.pod.name"], found["k8s.node.name"], found["host.arch"]),
          ("of-operator", "mine", "own"), "the operator's variables, and what is given wins")


def test_ecs():
    with Scene() as scene:
        agent = Agent(scene, {"/v4/" + ID: CONTAINER, "/v4/%s/task" % ID: TASK})
        found = resource_of(ECS_CONTAINER_METADATA_URI_V4=agent.url)
        equal(agent.asked, ["/v4/" + ID, "/v4/%s/task" % ID], "the agent is asked twice")
        wanted = {"aws.ecs.container.arn": CONTAINER["ContainerARN"],
                  "aws.ecs.task.arn": TASK["TaskARN"], "aws.ecs.task.id": "e9028f8d5d8e4f25",
                  "aws.ecs.task.family": "curltest", "aws.ecs.task.revision": "3",
                  "aws.ecs.cluster.arn": TASK["Cluster"], "aws.ecs.launchtype": "fargate",
                  "cloud.provider": "aws", "cloud.platform": "aws_ecs",
                  "cloud.region": "us-west-2", "cloud.account.id": "111122223333",
                  "cloud.availability_zone": "us-west-2a", "container.name": "curl",
                  "cloud.resource_id": CONTAINER["ContainerARN"],
                  "container.image.name": "registry.test/curl", "container.image.id": "sha256:25f3"}
        equal({key: found.get(key) for key in wanted}, wanted, "its answers are the resource's")
        check(found.get("container.id") is not None, "with the container's id")


def test_ecs_in_moods():
    """Whatever it does, the span is there."""
    for answers, what in (({"/v4/" + ID: None}, "silent"), ({}, "ignorant"),
                          ({"/v4/" + ID: b"{\"DockerId\":", "/v4/%s/task" % ID: b"[]" * 40000},
                           "mad")):
        with Scene() as scene:
            agent = Agent(scene, answers)
            found = resource_of(ECS_CONTAINER_METADATA_URI_V4=agent.url)
            check(found["service.name"] == "curl" and "aws.ecs.task.arn" not in found,
                  "an agent that is %s costs no span" % what, found)
    found = resource_of(ECS_CONTAINER_METADATA_URI_V4="http://127.0.0.1:1/v4/x")
    equal(found["service.name"], "curl", "nor does one that is not there")
    with Scene() as scene:
        agent = Agent(scene, {})
        resource_of(ECS_CONTAINER_METADATA_URI_V4=agent.url.replace("127.0.0.1", "localhost"))
        equal(agent.asked, [], "a name is not looked up")


FORKS = """
import http.client, os, sys
def ask(path):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    connection.request("GET", path)
    connection.getresponse().read()
ask("/parent")
child = os.fork()
ask("/child" if child == 0 else "/again")
if child:
    os.waitpid(child, 0)
"""


def test_fork():
    with Scene() as scene:
        app = scene.service("app", traced=False)
        scene.run([PYTHON, "-c", FORKS, str(app.port)], "forks")
        spans = {span.attributes["url.full"].rsplit("/")[-1]: span.resource
                 for span in scene.wait_spans(3)}
        ids = {path: (one["service.instance.id"], one["process.pid"])
               for path, one in spans.items()}
        check(ids["parent"] == ids["again"] and ids["child"][0] != ids["parent"][0] and
              ids["child"][1] != ids["parent"][1], "a forked child is an instance of its own", ids)
        equal(spans["child"]["process.parent_pid"], ids["parent"][1], "with its parent")


main(globals(), needs=["curl"])
