# SPDX-License-Identifier: Apache-2.0
"""Queues of clouds, over HTTP: requests to them are told as operations on messages, their contexts
go along where no signature is touched, and what comes is what was sent."""
import collections
import http.client
import json
import os
import re
import subprocess

import cloud
from harness import (APPS, BUILD, Scene, check, equal, get, main, skip)

COUNT = 30
# Of the distribution, which speaks the Query protocol, and a later one, which speaks JSON.
CLIENTS = {"query": "/usr/bin/python3", "json": os.path.join(BUILD, ".venv/bin/python")}
APP = os.path.join(APPS, "cloud_aws.py")


def has(client):
    return subprocess.run([CLIENTS[client], "-c", "import boto3"],
                          capture_output=True).returncode == 0


def app(client, port, mode, count=COUNT):
    return [CLIENTS[client], APP, str(port), mode, str(count)]


def by(spans, operation):
    return [span for span in spans if span.attributes.get("messaging.operation.name") == operation]


def xray(value):
    """Trace and span of a line of X-Ray's."""
    parts = dict(part.split("=") for part in value.split(";"))
    return parts["Root"].replace("-", "")[1:], parts["Parent"]


def links(span):
    return sorted(span.links)


def exchange(scene, client, traced):
    there = cloud.Cloud(scene)
    sent = scene.run(app(client, there.port, "send"), "producer", traced)
    got = scene.run(app(client, there.port, "receive"), "consumer", traced)
    check(sent.returncode == 0 and got.returncode == 0, "the programs run",
          (sent.stderr[-800:], got.stderr[-800:]))
    return there, sent.stdout, got.stdout


def sqs(client):
    if not has(client):
        return skip(client, "boto3 is not there")
    with Scene() as scene:
        bare, bare_sent, bare_got = exchange(scene, client, False)
    with Scene() as scene:
        there, sent, got = exchange(scene, client, True)
        requests = COUNT // 5 * 3 + len(there.named("ReceiveMessage")) + COUNT
        spans = scene.wait_spans(requests)
    check(sent == bare_sent and got == bare_got and got.count(b"\n") == COUNT,
          client + ": bit for bit what was sent, in its order")
    equal([r.operation for r in there.requests if not r.holds], [], client + ": signatures hold")
    equal([r.body for r in there.requests if r.operation.startswith("Send")],
          [r.body.replace(b":%d" % bare.port, b":%d" % there.port)
           .replace(b"%%3A%d" % bare.port, b"%%3A%d" % there.port)
           for r in bare.requests if r.operation.startswith("Send")],
          client + ": no body is touched")
    equal(len(spans), len(there.requests), client + ": each request is a span")
    equal(collections.Counter((span.name, span.kind) for span in spans),
          {("SendMessage orders", "PRODUCER"): COUNT // 5 * 2,
           ("SendMessageBatch orders", "PRODUCER"): COUNT // 5,
           ("ReceiveMessage orders", "CLIENT"): len(there.named("ReceiveMessage")),
           ("DeleteMessage orders", "CLIENT"): COUNT}, client + ": names and kinds")
    equal({(span.attributes["messaging.system"], span.attributes["messaging.destination.name"],
            span.attributes["aws.sqs.queue.url"], span.attributes["http.request.method"],
            span.attributes["http.response.status_code"], span.attributes["server.port"])
           for span in spans},
          {("aws_sqs", "orders", "http://127.0.0.1:%d/123456789012/orders" % there.port, "POST", 200,
            there.port)}, client + ": what they say")
    check_contexts(client, there, spans)


def check_contexts(client, there, spans):
    own = {(span.trace, span.id): span for span in spans}
    for what in ("SendMessage", "SendMessageBatch"):
        for request in there.named(what):
            line, parent = request.of("x-amzn-trace-id"), request.of("traceparent")
            if len(line) != 1 or len(parent) != 1 or xray(line[0]) not in own or \
                    "-".join(xray(line[0])) != parent[0][3:-3]:
                return check(False, client + ": each request has its span's context, once",
                             request.headers)
    check(True, client + ": each request has its span's context, once")
    wanted = [sorted({tuple(m["own"].split("-")[1:3]) if m["own"] else xray(m["trace"])
                      for m in request.messages}) for request in there.named("ReceiveMessage")]
    received = sorted(by(spans, "ReceiveMessage"), key=lambda span: span.start)
    equal([links(span) for span in received], wanted,
          client + ": a receive span is linked to its messages' own contexts")
    counts = [span.attributes.get("messaging.batch.message_count", 1) for span in received]
    equal(counts, [max(1, len(r.messages)) for r in there.named("ReceiveMessage")],
          client + ": and says how many there were")


def test_sqs_query():
    """A client that speaks the Query protocol: forms, answered by XML."""
    sqs("query")


def test_sqs_json():
    """A client that speaks JSON."""
    sqs("json")


def test_ten():
    """A batch as large as they may be, of messages with contexts of their own."""
    own = sorted(("%032x" % i, "%016x" % i) for i in range(1, 11))
    for client in filter(has, CLIENTS):
        with Scene() as scene:
            there = cloud.Cloud(scene)
            done = scene.run(app(client, there.port, "ten", 10), "app")
            check(done.returncode == 0, "the program runs", done.stderr[-800:])
            spans = scene.wait_spans(12)
            links_of = {what: links(by(spans, what)[0])
                        for what in ("SendMessageBatch", "ReceiveMessage")}
            sent = own if client == "json" else [] # forms are not looked into
            equal(links_of, {"SendMessageBatch": sent, "ReceiveMessage": own}, client + ": ten links")


def test_sns():
    """What is published has the line, and is told by its topic."""
    client = next(filter(has, CLIENTS), None)
    if client is None:
        return skip("sns", "boto3 is not there")
    with Scene() as scene:
        there = cloud.Cloud(scene)
        done = scene.run(app(client, there.port, "publish", 5), "producer")
        check(done.returncode == 0, "the program runs", done.stderr[-800:])
        spans = scene.wait_spans(5)
        equal([(r.operation, r.holds) for r in there.requests], [("Publish", True)] * 5,
              "signatures hold")
        equal({(span.name, span.kind, span.attributes["messaging.system"],
                span.attributes["aws.sns.topic.arn"]) for span in spans},
              {("Publish news", "PRODUCER", "aws.sns",
                "arn:aws:sns:eu-west-1:123456789012:news")}, "what they say")
        equal(sorted(xray(r.of("x-amzn-trace-id")[0]) for r in there.requests),
              sorted((span.trace, span.id) for span in spans), "each has its context")


def signed_head(port, path, body, more, signed):
    headers = [("Host", "127.0.0.1:%d" % port), ("X-Amz-Date", "20261128T190000Z"),
               ("X-Amz-Target", "AmazonSQS.SendMessage"),
               ("Content-Type", "application/x-amz-json-1.0"), *more]
    names = sorted(["host", "x-amz-date", "x-amz-target", *signed])
    scope = "20261128/eu-west-1/sqs/aws4_request"
    headers.append(("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/%s, SignedHeaders=%s, "
                    "Signature=%s" % (scope, ";".join(names), cloud.signature(
                        "POST", path, headers, names, scope, body))))
    return headers


def test_signed():
    """A proxy passes on what its client has signed: not a byte of that changes."""
    own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    line = "Root=1-1af76519-16cd43dd8448eb211c80319c;Parent=c7ad6b7169203331;Sampled=1"
    body = json.dumps({"QueueUrl": "http://h/1/orders", "MessageBody": "a"}).encode()
    cases = {"signed": ([("traceparent", own), ("X-Amzn-Trace-Id", line)],
                        ["traceparent", "x-amzn-trace-id"]),
             "unsigned": ([("traceparent", own), ("X-Amzn-Trace-Id", line)], []),
             "none": ([], [])}
    with Scene() as scene:
        there = cloud.Cloud(scene)
        nginx = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1; "
                            "proxy_set_header Host $http_host; proxy_set_header Connection \"\"; }"
                            % there.port)
        for path, (more, signed) in cases.items():
            connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=30)
            connection.putrequest("POST", "/" + path, skip_host=True, skip_accept_encoding=True)
            for pair in signed_head(nginx.port, "/" + path, body, more, signed):
                connection.putheader(*pair)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            equal(connection.getresponse().status, 200, path + ": the signature holds")
            connection.close()
        spans = scene.wait_spans(6)
        calls = {span.attributes["url.full"].rsplit("/")[-1]: span for span in spans
                 if "url.full" in span.attributes}
        seen = {request.path[1:]: request for request in there.requests}
        equal((seen["signed"].of("traceparent"), seen["signed"].of("x-amzn-trace-id")),
              ([own], [line]), "what is signed is what it was")
        equal((calls["signed"].trace, calls["signed"].parent), tuple(own.split("-")[1:3]),
              "and its span is under it")
        equal(seen["unsigned"].of("x-amzn-trace-id"), [line], "a line that is there stays")
        equal(seen["unsigned"].of("traceparent"),
              ["00-%s-%s-01" % (calls["unsigned"].trace, calls["unsigned"].id)],
              "a context that is passed on unsigned is ours to replace")
        equal([xray(value) for value in seen["none"].of("x-amzn-trace-id")],
              [(calls["none"].trace, calls["none"].id)], "and where there was none there is ours")
        equal({span.name for span in calls.values()}, {"SendMessage orders"}, "what they are")


def test_propagators():
    """The line goes where W3C's context goes, once."""
    client = next(filter(has, CLIENTS), None)
    if client is None:
        return skip("propagators", "boto3 is not there")
    for propagators, lines, parents in (("none", 0, 0), ("b3", 0, 0), ("xray", 1, 0),
                                        ("tracecontext,xray", 1, 1), ("baggage", 0, 0)):
        with Scene(OTEL_PROPAGATORS=propagators) as scene:
            there = cloud.Cloud(scene)
            scene.run(app(client, there.port, "send", 5), "producer")
            equal({(len(r.of("x-amzn-trace-id")), len(r.of("traceparent")), r.holds)
                   for r in there.requests}, {(lines, parents, True)}, propagators)


PUBSUB = r"""
import base64, json, sys, urllib.request
def ask(path, body):
    request = urllib.request.Request("http://127.0.0.1:%s/v1/projects/p/%s" % (sys.argv[1], path),
                                     json.dumps(body).encode(),
                                     {"Content-Type": "application/json",
                                      "Authorization": "Bearer ya29.test"})
    return json.load(urllib.request.urlopen(request))
own = "00-%032x-%016x-01"
ask("topics/orders:publish", {"messages": [
    {"data": base64.b64encode(b"%d" % i).decode(),
     "attributes": {"googclient_traceparent": own % (i, i), "traceparent": own % (99, 99)}}
    for i in range(1, 6)]})
ask("topics/orders:publish", {"messages": [{"data": "aGk="}]})
got = ask("subscriptions/work:pull", {"maxMessages": 10})["receivedMessages"]
print(json.dumps(got, sort_keys=True))
ask("subscriptions/work:acknowledge", {"ackIds": [m["ackId"] for m in got]})
ask("subscriptions/work:modifyAckDeadline", {"ackIds": ["1"], "ackDeadlineSeconds": 0})
print(ask("subscriptions/work:pull", {"maxMessages": 1}))
"""


def test_pubsub():
    """Google's, by its REST interface."""
    outputs = []
    for traced in (False, True):
        with Scene() as scene:
            there = cloud.Cloud(scene)
            done = scene.run(["/usr/bin/python3", "-c", PUBSUB, str(there.port)], "app", traced)
            check(done.returncode == 0, "the program runs", done.stderr[-800:])
            outputs.append((done.stdout, [request.body for request in there.requests]))
            spans = scene.wait_spans(6) if traced else []
    check(outputs[0] == outputs[1], "what comes is what was sent")
    spans.sort(key=lambda span: span.start)
    equal([(span.name, span.kind, span.attributes.get("messaging.batch.message_count"))
           for span in spans],
          [("send orders", "PRODUCER", 5), ("send orders", "PRODUCER", None),
           ("receive work", "CLIENT", 6), ("ack work", "CLIENT", None),
           ("modack work", "CLIENT", None), ("receive work", "CLIENT", None)], "names and kinds")
    contexts = [("%032x" % i, "%016x" % i) for i in range(1, 6)]
    equal([links(span) for span in spans], [contexts, [], contexts, [], [], []],
          "links, by Google's attribute before the plain one")
    equal({span.attributes["messaging.system"] for span in spans}, {"gcp_pubsub"}, "the system")


PUBLISH = r"""<?php
[, $from, $to, $url, $file] = $argv;
$curl = curl_init();
for ($i = (int)$from; $i < (int)$to; $i++) {
    $message = ["data" => base64_encode("payload $i \xff/"), "orderingKey" => "k/\u{e9}$i"];
    if ($i % 3)
        $message["attributes"] = ["id" => "n$i", "what" => "a\"b"];
    curl_setopt_array($curl, [CURLOPT_URL => $url, CURLOPT_POST => true, CURLOPT_CAINFO => $file,
        CURLOPT_HTTPHEADER => ["Content-Type: application/json", "Authorization: Bearer ya29.t"],
        CURLOPT_POSTFIELDS => json_encode(["messages" => [$message]]),
        CURLOPT_RETURNTRANSFER => true]);
    $answer = curl_exec($curl);
    echo curl_getinfo($curl, CURLINFO_RESPONSE_CODE), " ", $answer, "\n";
}
"""
PULL = r"""
import json, sys, urllib.request
while True:
    request = urllib.request.Request("http://127.0.0.1:%s/v1/projects/p/subscriptions/work:pull" %
                                     sys.argv[1], b'{"maxMessages": 50}',
                                     {"Content-Type": "application/json"})
    got = json.load(urllib.request.urlopen(request)).get("receivedMessages", [])
    if not got:
        break
    for message in got:
        print(json.dumps(message, sort_keys=True))
"""
OURS = "googclient_traceparent"


def bodies(there):
    """What was sent but for what we have put there."""
    return [re.sub(rb',?"attributes":\{"googclient_traceparent":"[^"]*"\}|'
                   rb'"googclient_traceparent":"[^"]*",?', b"", request.body)
            .replace(b'{,', b"{") for request in there.named("publish")]


def check_published(what, there, spans, count):
    """Each message has its own publish's context, and the pulls are linked to them."""
    published = by(spans, "send")
    equal(len(published), count, what + ": each publish is a span")
    own = {(span.trace, span.id) for span in published}
    wrong = [r.messages for r in there.named("publish") if
             {r.of("traceparent")[0]} != {m.get("attributes", {}).get(OURS) for m in r.messages}]
    equal(wrong, [], what + ": each message has the context that its request has")
    equal({tuple(r.of("traceparent")[0].split("-")[1:3]) for r in there.named("publish")}, own,
          what + ": which is its span's")
    equal({(span.name, span.kind, span.attributes.get("burdock.context.sent"))
           for span in published}, {("send orders", "PRODUCER", None)}, what + ": what they say")
    wanted = [sorted(tuple(m["attributes"][OURS].split("-")[1:3]) for m in r.messages)
              for r in there.named("pull")]
    pulled = sorted(by(spans, "receive"), key=lambda span: span.start)
    equal([links(span) for span in pulled], wanted, what + ": pulls are linked to those")
    check(sum(map(len, wanted)) >= count, what + ": all have come", sum(map(len, wanted)))


def publish_by(what, command, count, is_secure=False):
    outputs = []
    for traced in (False, True):
        with Scene() as scene:
            there = cloud.Cloud(scene, is_secure)
            url = "%s://localhost:%d/v1/projects/p/topics/orders:publish" % (
                "https" if is_secure else "http", there.port)
            file = there.certificate or "/dev/null"
            done = scene.run(command(scene, url, file), "producer", traced)
            check(done.returncode == 0, what + ": the program runs",
                  (done.stdout[-300:], done.stderr[-800:]))
            got = scene.run(["/usr/bin/python3", "-c", PULL, str(there.plain_port)], "consumer", traced)
            check(got.returncode == 0, what + ": the consumer runs", got.stderr[-800:])
            messages = [json.loads(line) for line in got.stdout.splitlines()]
            for message in messages:
                message["message"].get("attributes", {}).pop(OURS, None)
                if not message["message"].get("attributes"):
                    message["message"].pop("attributes", None)
            outputs.append((done.stdout, messages, bodies(there)))
            if traced:
                spans = scene.wait_spans(len(there.requests))
                check_published(what, there, spans, count)
    for name, bare, ours in zip(("answers", "messages", "bodies"), *outputs):
        check(bare == ours, "%s: %s are what they were" % (what, name), (bare[:2], ours[:2]))


def by_php(count):
    def command(scene, url, file):
        script = os.path.join(scene.directory, "publish.php")
        with open(script, "w") as out:
            out.write(PUBLISH)
        return ["php", script, "0", str(count), url, file]
    return command


def by_curl(count):
    """One process, one connection, a message of its own each."""
    def command(scene, url, file):
        config = os.path.join(scene.directory, "curl.conf")
        with open(config, "w") as out:
            for i in range(count):
                body = json.dumps({"messages": [{"data": "bm8h%04d" % i, "attributes": {"id": str(i)}}]})
                out.write('%surl = "%s"\nheader = "Content-Type: application/json"\ncacert = "%s"\n'
                          'data-binary = "%s"\nsilent\nfail\n' % (
                              "next\n" * (i > 0), url, file, body.replace('"', '\\"')))
        return ["curl", "-q", "-K", config]
    return command


def test_publish_php():
    """PHP's curl: 1,000 requests, the context in each message."""
    publish_by("php", by_php(1000), 1000)


def test_publish_curl():
    publish_by("curl", by_curl(300), 300)


def test_publish_secure():
    """Inside TLS."""
    publish_by("php, TLS", by_php(200), 200, True)
    publish_by("curl, TLS", by_curl(200), 200, True)


def test_publish_apart():
    """Head and body in calls of their own: untouched, and the span says so."""
    with Scene() as scene:
        there = cloud.Cloud(scene)
        app = PUBSUB.split("own =")[0] + 'ask("topics/orders:publish", ' \
            '{"messages": [{"data": "aGk="}]})'
        done = scene.run(["/usr/bin/python3", "-c", app, str(there.port)], "producer")
        check(done.returncode == 0, "the program runs", done.stderr[-800:])
        span, = scene.wait_spans(1)
        equal(there.requests[0].body, b'{"messages": [{"data": "aGk="}]}', "the body is what it was")
        equal((span.kind, span.attributes.get("burdock.context.sent")), ("PRODUCER", False),
              "and its span says that")


MANY = r"""
import json, sys, urllib.request
def ask(path, body):
    request = urllib.request.Request("http://127.0.0.1:%s/v1/projects/p/%s" % (sys.argv[1], path),
                                     json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))
count = int(sys.argv[2])
ask("topics/orders:publish", {"messages": [
    {"data": "aGk=", "attributes": {"traceparent": "00-%032x-%016x-01" % (i, i)}}
    for i in [*range(1, count + 1)] * 2]})
ask("subscriptions/work:pull", {"maxMessages": 2 * count})
"""


def test_many():
    """Up to 128 links, each context once, and how many there were beyond."""
    for count in (9, 128, 130):
        with Scene() as scene:
            there = cloud.Cloud(scene)
            done = scene.run(["/usr/bin/python3", "-c", MANY, str(there.port), str(count)], "app")
            check(done.returncode == 0, "the program runs", done.stderr[-800:])
            told = min(count, 128)
            wanted = [("%032x" % i, "%016x" % i) for i in range(1, told + 1)]
            equal([(span.links, span.links_dropped) for span in scene.wait_spans(2)],
                  [(wanted, count - told)] * 2, "%d contexts, sent and pulled" % count)
            if count > told:
                check_shown(scene, count - told)


def check_shown(scene, more):
    """By the command, for people and for programs."""
    trace = scene.spans()[0].trace
    told = scene.run([os.path.join(BUILD, "cli/burdock"), "show", "-a", trace], traced=False).stdout
    check(b"and %d more links" % more in told and told.count(b"link = ") == 128, "shown", told[-500:])
    told = scene.run([os.path.join(BUILD, "cli/burdock"), "show", "--json", trace], traced=False).stdout
    equal(re.findall(rb'"dropped_links": ?(\d+)', told), [b"%d" % more], "shown as JSON")


def test_push():
    """A push subscription's delivery, to a server of the program's own."""
    own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = json.dumps({"message": {"attributes": {"googclient_traceparent": own}, "data": "aGk=",
                                   "messageId": "1"}, "subscription": "projects/p/subscriptions/s"})
    with Scene() as scene:
        server = scene.service("server")
        get(server.port, "/push", {"Content-Type": "application/json"}, "POST", body)
        get(server.port, "/other", {"Content-Type": "application/json"}, "POST", "{\"a\":%s}" % body)
        spans = scene.wait_spans(2)
        equal({span.attributes["url.path"]: links(span) for span in spans},
              {"/push": [tuple(own.split("-")[1:3])], "/other": []}, "it is linked to its message")
        equal({span.kind for span in spans}, {"SERVER"}, "and a request like others")


main(globals())
