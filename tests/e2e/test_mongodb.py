# SPDX-License-Identifier: Apache-2.0
"""Clients of MongoDB under the library, and what a server that stands in for MongoDB's own
(apps/mongodb_server.py) saw of their commands: the same ones, in the same order; no documents."""
import collections
import json
import os
import subprocess

from harness import (APPS, PYTHON, Scene, check, equal, free_port, in_order, load, main,
                     operations_by_request, skip, wait_until)

SECRET = "correcthorse"

# Commands whose first value is no collection.
NO_COLLECTION = {"ping", "endSessions", "fail", "die", "saslStart", "createUser", "buildInfo"}


class Mongodb:
    def __init__(self, scene, *options, traced=False):
        self.scene, self.port = scene, free_port()
        self.process = scene.start(
            [PYTHON, os.path.join(APPS, "mongodb_server.py"), str(self.port), *options], "mongodb",
            traced, port=self.port)

    def commands(self):
        """(name, collection, database) of each command, greetings left out."""
        lines = [json.loads(line) for line in self.scene.stdout(self.process).splitlines()]
        return [(name, None if name in NO_COLLECTION else target, database)
                for name, target, database, _ in lines]


def of_mongodb(spans):
    return [span for span in spans if span.attributes.get("db.system.name") == "mongodb"]


def told(spans):
    return [tuple(span.attributes.get(key) for key in (
        "db.operation.name", "db.collection.name", "db.namespace")) for span in spans]


def watched(scene, mongodb, command, what, **more):
    """Runs a program, and compares its spans with the commands that the server got."""
    before = {span.id for span in scene.spans()}
    known = len(mongodb.commands())
    done = scene.run(command, **more)
    check(done.returncode == 0, what + ": runs", done.stdout[-1000:] + done.stderr[-1000:])
    seen = mongodb.commands()[known:]
    scene.wait_spans(len(before) + len(seen))
    spans = [span for span in of_mongodb(in_order(scene)) if span.id not in before]
    equal(told(spans), seen, what + ": each command is a span, in order (%d)" % len(seen))
    check(len(seen) > 0, what + ": the server saw it")
    return spans


PYMONGO = """
import pymongo, sys
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure
client = pymongo.MongoClient("127.0.0.1", int(sys.argv[1]), heartbeatFrequencyMS=500,
                             **eval((sys.argv[2:] or ["{}"])[0]))
shop = client.shop
shop.orders.insert_one({"_id": 1, "mail": "correcthorse"})
shop.orders.insert_many([{"_id": i, "mail": "correcthorse"} for i in range(2, 302)])
assert len(list(shop.orders.find({}, batch_size=100))) == 301
assert shop.orders.find_one({"mail": "nobody"}) is None
shop.orders.update_one({"mail": "correcthorse"}, {"$set": {"a": 1}})
shop.orders.bulk_write([UpdateOne({"a": i}, {"$set": {"b": 1}}) for i in range(3)])
shop.orders.delete_many({"mail": "correcthorse"})
assert list(shop.orders.aggregate([{"$match": {"mail": "correcthorse"}}]))
client.admin.command("ping")
try: shop.orders.insert_one({"_id": 1, "mail": "correcthorse"})
except DuplicateKeyError: pass
try: shop.command("fail", 26)
except OperationFailure as error: assert error.code == 26
quiet = shop.get_collection("log", write_concern=pymongo.WriteConcern(w=0))
quiet.insert_one({"_id": 1, "mail": "correcthorse"})
quiet.insert_one({"_id": 2, "mail": "correcthorse"})
assert shop.log.find_one({"_id": 1})
shop.orders.insert_one({"_id": 999, "large": "correcthorse" * 400000})
assert len(shop.orders.find_one({"_id": 999})["large"]) == 4800000
client.close()
"""


def test_pymongo():
    with Scene() as scene:
        mongodb = Mongodb(scene)
        spans = watched(scene, mongodb, [PYTHON, "-c", PYMONGO, str(mongodb.port)], "pymongo")
        stored = b"".join(open(os.path.join(scene.store, name), "rb").read()
                          for name in os.listdir(scene.store))
        check(SECRET.encode() not in stored, "nothing of a document is stored")
        many = spans[1]
        equal((many.name, many.kind, many.status, many.attributes),
              ("insert orders", "CLIENT", "UNSET", {
                  "db.system.name": "mongodb", "db.operation.name": "insert",
                  "db.collection.name": "orders", "db.namespace": "shop",
                  "db.operation.batch.size": 300, "server.address": "127.0.0.1",
                  "server.port": mongodb.port, "network.peer.address": "127.0.0.1",
                  "network.peer.port": mongodb.port,
                  "burdock.attribution": many.attributes.get("burdock.attribution")}),
              "all of a span")
        equal([span.attributes.get("db.response.returned_rows") for span in spans
               if span.name in ("find orders", "getMore orders")], [100, 100, 100, 1, 0, 1],
              "documents that came back")
        equal([(span.name, span.attributes.get("db.response.status_code"),
                span.attributes.get("error.type")) for span in spans if span.status == "ERROR"],
              [("insert orders", "11000", "11000"), ("fail shop", "26", "26")], "errors")


def test_compressed():
    """As many spans as commands, of which nothing but the time is known."""
    with Scene() as scene:
        mongodb = Mongodb(scene, "compress")
        done = scene.run([PYTHON, "-c", PYMONGO, str(mongodb.port), '{"compressors": "zlib"}'])
        seen = mongodb.commands()
        spans = of_mongodb(scene.wait_spans(len(seen)))
        check(done.returncode == 0, "compressed: runs", done.stderr)
        equal((collections.Counter(span.name for span in spans), len(seen) > 15),
              ({"mongodb": len(seen)}, True), "compressed: a span for each command")


def test_authentication():
    with Scene() as scene:
        mongodb = Mongodb(scene)
        code = """
import pymongo, sys
client = pymongo.MongoClient("127.0.0.1", int(sys.argv[1]), username="%s", password="%s",
                             authMechanism="SCRAM-SHA-256")
try: client.shop.orders.find_one()
except pymongo.errors.OperationFailure as error: assert error.code == 18
""" % (SECRET, SECRET)
        spans = watched(scene, mongodb, [PYTHON, "-c", code, str(mongodb.port)], "authentication")
        equal((spans[0].name, spans[0].attributes.get("error.type")), ("saslStart admin", "18"),
              "a refusal has its number")
        stored = b"".join(open(os.path.join(scene.store, name), "rb").read()
                          for name in os.listdir(scene.store))
        check(SECRET.encode() not in stored, "no name, no password is stored")


def test_server_gone():
    with Scene() as scene:
        mongodb = Mongodb(scene)
        code = """
import pymongo, sys
client = pymongo.MongoClient("127.0.0.1", int(sys.argv[1]), serverSelectionTimeoutMS=500)
client.admin.command("ping")
try: client.admin.command("die", 1)
except pymongo.errors.AutoReconnect: pass
"""
        scene.run([PYTHON, "-c", code, str(mongodb.port)])
        spans = of_mongodb(scene.wait_spans(2) and in_order(scene))
        equal([(span.name, span.status) for span in spans[:2]],
              [("ping admin", "UNSET"), ("die admin", "ERROR")], "a server that dies")
        check(spans[1].attributes.get("error.type") in ("connection_closed", "connection_reset"),
              "is an error of the connection", spans[1].attributes)


def test_servers_are_none_of_ours():
    with Scene() as scene:
        mongodb = Mongodb(scene, traced=True)
        watched(scene, mongodb, [PYTHON, "-c", PYMONGO, str(mongodb.port)], "a traced server",
                OTEL_SERVICE_NAME="client")
        equal({span.service for span in of_mongodb(scene.spans())}, {"client"},
              "a server makes no spans")


CLIENTS = {
    "php": (["php", "-r", """
$m = new MongoDB\\Driver\\Manager("mongodb://127.0.0.1:" . $argv[1]);
$b = new MongoDB\\Driver\\BulkWrite(); $b->insert(["_id" => 1]); $b->insert(["_id" => 2]);
$m->executeBulkWrite("shop.orders", $b);
foreach ($m->executeQuery("shop.orders", new MongoDB\\Driver\\Query([])) as $d) {}
$m->executeCommand("admin", new MongoDB\\Driver\\Command(["ping" => 1]));
"""], "php-mongodb"),
    "node": (["node", "-e", """
const { MongoClient } = require("mongodb");
(async () => {
  const client = new MongoClient("mongodb://127.0.0.1:" + process.argv[1]);
  await client.connect();
  const orders = client.db("shop").collection("orders");
  await orders.insertMany([{ _id: 11 }, { _id: 12 }]);
  await orders.find({}).toArray();
  await client.close();
})();
"""], "node-mongodb"),
    "ruby": (["ruby", "-e", """
require "mongo"
Mongo::Logger.logger.level = Logger::FATAL
client = Mongo::Client.new(["127.0.0.1:" + ARGV[0]], database: "shop")
client[:orders].insert_many([{ _id: 21 }, { _id: 22 }])
client[:orders].find.to_a
client.close
"""], "ruby-mongo"),
}


def test_clients():
    with Scene() as scene:
        mongodb = Mongodb(scene)
        for name, (command, package) in CLIENTS.items():
            if subprocess.run(["dpkg-query", "-W", package], capture_output=True).returncode:
                skip(name, package + " is not installed")
                continue
            watched(scene, mongodb, command + [str(mongodb.port)], name,
                    NODE_PATH="/usr/share/nodejs")


def test_parents():
    """64 requests at a time: each command under its own request."""
    with Scene() as scene:
        mongodb, port = Mongodb(scene), free_port()
        scene.start([PYTHON, os.path.join(APPS, "pool_service.py"), "mongodb", str(port),
                     str(mongodb.port)], "shop", port=port)
        equal(load(port, 600, 64), [], "64 requests at a time")
        wait_until(lambda: len(mongodb.commands()) >= 1800)
        spans = scene.wait_spans(600 + 600 + 1200)
        wanted = {i: collections.Counter(insert=1, find=1 + i % 3) for i in range(600)}
        got = operations_by_request(spans, of_mongodb(spans))
        equal({i: got[i] for i in got if got[i] != wanted.get(i)}, {}, "each under its own request")
        equal(len(got), 600, "and each request has its own")


try:
    import bson  # of python3-pymongo
except ImportError:
    bson = None
if bson is None:
    print("1..0 # SKIP python3-pymongo is not installed")
else:
    main(globals())
