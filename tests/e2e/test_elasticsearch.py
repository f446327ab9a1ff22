# SPDX-License-Identifier: Apache-2.0
"""Elasticsearch and OpenSearch over HTTP, against a stand-in that keeps a list of what it got: each
request is one span of the database's kind, in order, with the context in it, and what the server got
is else what it gets without the library."""
import json
import os
import re
import subprocess

from harness import APPS, BUILD, PYTHON, Scene, check, equal, free_port, main, skip
from tls_scene import certify

VENV = os.path.join(BUILD, ".venv/bin/python")
CLIENT = os.path.join(APPS, "elastic_client.py")
ORDERS = {"index": "orders"}
# What elastic_client.py does: operation, collection, parts of the path, size of a batch, status.
COMMANDS = [
    ("info", None, {}, None, "200"),
    ("indices.create", "orders", ORDERS, None, "200"),
    ("index", "orders", {**ORDERS, "id": "a/1"}, None, "200"),
    ("get", "orders", {**ORDERS, "id": "a/1"}, None, "200"),
    ("bulk index", None, {}, 2, "200"),
    ("bulk", "orders", ORDERS, 2, "200"),
    ("search", "orders,other", {"index": "orders,other"}, None, "200"),
    ("cluster.health", None, {}, None, "200"),
    ("indices.refresh", "orders", ORDERS, None, "200"),
    ("get", "missing", {"index": "missing", "id": "1"}, None, "404"),
    ("indices.exists", "orders", ORDERS, None, "200"),
    ("indices.delete", "orders", ORDERS, None, "200"),
]


# Clients whose searches are of a media type of their own.
ASKING = ("elasticsearch8",)


class Server:
    """The stand-in; `product` is whose it says it is."""

    def __init__(self, scene, product, secure=False):
        self.port, self.log, self.scene = free_port(), scene.path("log"), scene
        files = []
        if secure:
            certify(scene)
            files = [scene.path("cert.pem"), scene.path("key.pem")]
        scene.write("log", "")
        scene.start([PYTHON, os.path.join(APPS, "elastic_server.py"), str(self.port), self.log,
                     product, *files], traced=False, port=self.port)
        self.url = "%s://localhost:%d" % ("https" if secure else "http", self.port)

    def requests(self):
        with open(self.log, encoding="utf-8") as log:
            return [json.loads(line) for line in log]


def has(python, module):
    return subprocess.run([python, "-c", "import " + module], capture_output=True).returncode == 0


def parameters(span):
    prefix = "db.operation.parameter."
    return {k[len(prefix):]: v for k, v in span.attributes.items() if k.startswith(prefix)}


def told(span):
    a = span.attributes
    return (a.get("db.operation.name"), a.get("db.collection.name"), parameters(span),
            a.get("db.operation.batch.size"), a.get("db.response.status_code"))


def without_context(requests, port):
    """As they were sent, but for our lines and what differs between two runs."""
    return [(r["method"], r["path"], [h for h in r["headers"] if h[0].lower() not in
                                      ("traceparent", "host")],
             r["body"]) for r in json.loads(json.dumps(requests).replace(str(port), "PORT"))]


def contexts(requests):
    return [v.split("-")[2] for r in requests for k, v in r["headers"] if k == "traceparent"]


def play(what, python, module, product, system, secure=False, commands=COMMANDS):
    if not has(python, module):
        return skip(what, module + " is not there")
    runs = []
    for traced in (False, True):
        with Scene() as scene:
            server = Server(scene, product, secure)
            more = [scene.path("ca.pem")] if secure else []
            done = scene.run([python, CLIENT, module, server.url, *more], "client", traced)
            spans = scene.wait_spans(len(commands)) if traced else []
            requests = server.requests()
            runs.append((done.returncode, done.stdout, without_context(requests, server.port)))
    check(runs[0] == runs[1] and runs[0][0] == 0, what + ": as bare",
          "%r\n%r\n%r" % (*runs, done.stderr[-600:]))
    spans.sort(key=lambda span: span.start)
    equal(len(spans), len(requests), what + ": a span each")
    equal([told(span) for span in spans], commands, what + ": what they say")
    equal([span.name for span in spans],
          ["%s %s" % (name, index or "localhost:%d" % server.port)
           for name, index, *_ in commands], what + ": their names")
    equal({(s.kind, s.attributes["db.system.name"], s.attributes["server.address"],
            s.attributes["server.port"]) for s in spans},
          {("CLIENT", system, "localhost", server.port)}, what + ": system and server")
    equal([(s.attributes["http.request.method"], s.attributes["url.full"]) for s in spans],
          [(r["method"], server.url + r["path"]) for r in requests], what + ": what was asked")
    equal([s.attributes.get("error.type") for s in spans],
          [None if c[4] == "200" else c[4] for c in commands], what + ": errors")
    equal(contexts(requests), [span.id for span in spans], what + ": each has its context, once")
    equal([s.attributes.get("db.query.text") for s in spans],
          ['{"query":{"term":{"secret":?}}}' if c[0] == "search" and module in ASKING else None
           for c in commands], what + ": what a search asks for")
    check("s3cr3t" not in repr([span.attributes for span in spans]), what + ": nothing of bodies")
    equal([s.attributes.get("tls.protocol.version") for s in spans][:1],
          ["1.3" if secure else None], what + ": TLS")


def test_python_7():
    """The wheel of 7, whose requests have ordinary media types. It asks first who answers."""
    play("elasticsearch-py 7", VENV, "elasticsearch7", "elasticsearch", "elasticsearch",
         commands=COMMANDS[:1] + COMMANDS)


def test_python_8():
    """8, with media types of its own."""
    play("elasticsearch-py 8", VENV, "elasticsearch8", "elasticsearch", "elasticsearch")


def test_python_tls():
    """The same inside TLS."""
    play("elasticsearch-py 8 by https", VENV, "elasticsearch8", "elasticsearch", "elasticsearch",
         secure=True)


def test_python_debian():
    """The distribution's client."""
    play("the distribution's client", PYTHON, "elasticsearch", "elasticsearch", "elasticsearch",
         commands=COMMANDS[:1] + COMMANDS)


def test_opensearch():
    """OpenSearch's client, whose bulk requests say that they are JSON."""
    play("opensearch-py", VENV, "opensearchpy", "opensearch", "opensearch")


def test_opensearch_older():
    """A server of OpenSearch's that names itself in no header: its client is known."""
    play("opensearch-py, no header", VENV, "opensearchpy", "", "opensearch")


def test_endpoints():
    """Each endpoint that a client's own table has, too, is told as the client would."""
    if not has(VENV, "elasticsearch8"):
        return skip("endpoints", "elasticsearch8 is not there")
    with Scene() as scene:
        server = Server(scene, "elasticsearch")
        done = scene.run([VENV, os.path.join(APPS, "elastic_endpoints.py"), server.url], "client")
        named = [line.split(" ") for line in done.stdout.decode().splitlines()]
        requests = server.requests()
        spans = sorted(scene.wait_spans(len(requests)), key=lambda span: span.start)
    equal([line[1] for line in named], [r["path"].split("?")[0] for r in requests],
          "the server got what the client named")
    equal(len(spans), len(requests), "a span each")
    ours = known_endpoints()
    wrong, right = [], set()
    for (name, path, *parts), span in zip(named, spans):
        if path in ("/_cluster/state/_all/xindex", "/_nodes/xmetric"):
            continue  # `_all` is no part to the client; a metric looks like the name of a node
        got = span.attributes.get("db.operation.name")
        if name in ours and (got, parameters(span)) == \
                (name, dict(part.split("=", 1) for part in parts if part)):
            right.add(name)
        elif name in ours or got is not None:
            wrong.append((name, path, parts, got, parameters(span)))
    equal(wrong, [], "the same endpoint and parts of its path, or none")
    check(len(right) > 150, "there are many", len(right))
    print("#   %d requests, %d endpoints" % (len(requests), len(right)))


def known_endpoints():
    with open(os.path.join(APPS, "../../../protocols/http1_elastic.def"), encoding="ascii") as table:
        return {line.split()[0] for line in table if re.match(r"[a-z]", line)}


def test_curl():
    """What makes a request one to such a database: the answer; never its path."""
    with Scene() as scene:
        for product, names in (("elasticsearch", ["search orders"]), ("opensearch", ["search orders"]),
                               ("", ["GET"])):
            server = Server(scene, product)
            before = len(scene.spans())
            scene.curl(server.url + "/orders/_search")
            spans = scene.wait_spans(before + 1)[before:]
            equal([span.name for span in spans], names, "curl, " + (product or "no product"))
            equal([s.attributes.get("db.system.name") for s in spans], [product or None],
                  "its system")
            equal(["http.response.status_code" in s.attributes for s in spans], [product == ""],
                  "HTTP's own attributes where it is HTTP's own")


def test_others():
    """Perl's and Ruby's clients."""
    perl = """use Search::Elasticsearch;
my $e = Search::Elasticsearch->new(nodes => $ARGV[0]);
$e->search(index => "orders", body => {query => {match_all => {}}});
$e->bulk(index => "orders", body => [{delete => {_id => 1}}, {delete => {_id => 2}}]);"""
    ruby = """require "elasticsearch"
e = Elasticsearch::Client.new(url: ARGV[0])
e.search(index: "orders", body: {query: {match_all: {}}})
e.bulk(index: "orders", body: [{delete: {_id: 1}}, {delete: {_id: 2}}])"""
    for what, command, probe in (
            ("Perl", ["perl", "-e", perl], ["perl", "-e", "use Search::Elasticsearch"]),
            ("Ruby", ["ruby", "-e", ruby], ["ruby", "-e", "require 'elasticsearch'"])):
        try:
            is_there = subprocess.run(probe, capture_output=True).returncode == 0
        except FileNotFoundError:
            is_there = False
        if not is_there:
            skip(what, "its client is not there")
            continue
        with Scene() as scene:
            server = Server(scene, "elasticsearch")
            done = scene.run([*command, server.url], "client")
            spans = sorted(scene.wait_spans(len(server.requests())), key=lambda span: span.start)
        check(done.returncode == 0, what + ": the program runs", done.stderr[-800:])
        got = [(s.name, s.attributes.get("db.operation.batch.size")) for s in spans
               if s.name.endswith(" orders")]
        equal(got, [("search orders", None), ("bulk delete orders", 2)], what + ": its requests")
        equal({s.attributes["db.system.name"] for s in spans}, {"elasticsearch"}, what + ": all")


ASKS = """import elasticsearch, sys
e = elasticsearch.Elasticsearch([sys.argv[1]])
e.search(index="orders", body={"query": {"bool": {"must": [{"match": {"name": "s3cr3t"}}], "filter":
    {"terms": {"id": [1, 2, 3]}}}}, "size": 10})
e.index(index="research", id=1, body={"name": "s3cr3t"})
e.search(index="orders", body={"query": {"terms": {"id": list(range(5000))}}})
print(e.search(index="orders", body={"query": {"match": {"x" * 2000: "s3cr3t"}}})["took"])"""
ASKS_RUBY = """require "elasticsearch"
e = Elasticsearch::Client.new(url: ARGV[0])
e.search(index: "orders", body: {query: {match: {name: "s3cr3t"}}})"""


def test_queries():
    """What searches ask for, by clients that are told to use a media type of their own: head and body
    in one write, or one after the other. Without values, and of long ones the beginning."""
    short = '{"query":{"match":{"name":?}}}'
    for what, command, probe, wanted in (
            ("Python", [PYTHON, "-c", ASKS], [PYTHON, "-c", "import elasticsearch"],
             ['{"query":{"bool":{"must":[{"match":{"name":?}}],"filter":{"terms":{"id":[?]}}}},"size":?}',
              None, '{"query":{"terms":{"id":[?', '{"query":{"match":{']),
            ("Ruby", ["ruby", "-e", ASKS_RUBY], ["ruby", "-e", "require 'elasticsearch'"], [short])):
        try:
            is_there = subprocess.run(probe, capture_output=True).returncode == 0
        except FileNotFoundError:
            is_there = False
        if not is_there:
            skip(what, "its client is not there")
            continue
        with Scene(ELASTIC_CLIENT_APIVERSIONING="1") as scene:
            server = Server(scene, "elasticsearch")
            done = scene.run([*command, server.url], "client")
            spans = sorted(scene.wait_spans(len(server.requests())), key=lambda span: span.start)
        check(done.returncode == 0, what + ": the program runs", done.stderr[-800:])
        equal([s.attributes.get("db.query.text") for s in spans
               if s.attributes.get("db.collection.name")], wanted, what + ": what it asks for")
        check("s3cr3t" not in repr(spans), what + ": no values", spans)


def test_metrics():
    """They count as the database's operations, not as HTTP's."""
    if not has(VENV, "elasticsearch8"):
        return skip("metrics", "elasticsearch8 is not there")
    with Scene(OTEL_METRICS_EXPORTER="prometheus") as scene:
        server = Server(scene, "elasticsearch")
        code = ("import elasticsearch8 as e, subprocess, sys, os, time\n"
                "c = e.Elasticsearch(sys.argv[1])\n"
                "for _ in range(5): c.search(index='orders')\n"
                "time.sleep(1)\n"
                "env = {k: v for k, v in os.environ.items() if k != 'LD_PRELOAD'}\n"
                "print(subprocess.run([sys.argv[2], 'metrics', str(os.getpid())], env=env,"
                " capture_output=True, text=True).stdout)")
        done = scene.run([VENV, "-c", code, server.url, os.path.join(BUILD, "cli/burdock")], "client")
        lines = done.stdout.decode()
    counted = re.findall(r'db_client_operation_duration_seconds_count\{([^}]*)\} (\d+)', lines)
    equal([n for _, n in counted], ["5"], "five operations")
    check(counted and all(text in counted[0][0] for text in (
        'db_operation_name="search"', 'db_collection_name="orders"',
        'db_system_name="elasticsearch"', 'db_response_status_code="200"')), "and which", counted)
    check("http_client_request_duration" not in lines, "not as HTTP's", lines[:400])


if __name__ == "__main__":
    main(globals())
