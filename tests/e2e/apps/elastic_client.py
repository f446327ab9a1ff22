# SPDX-License-Identifier: Apache-2.0
"""A program that uses a client of Elasticsearch or OpenSearch: elastic_client.py MODULE URL [CA].

MODULE: elasticsearch, elasticsearch7, elasticsearch8, opensearchpy. The same commands whichever it is.
"""
import importlib
import sys
import warnings

warnings.simplefilter("ignore")
name, url = sys.argv[1:3]
module = importlib.import_module(name)
options = {"ca_certs": sys.argv[3]} if len(sys.argv) > 3 else {}
Client = getattr(module, "OpenSearch" if name == "opensearchpy" else "Elasticsearch")
errors = getattr(module, "exceptions")
client = Client([url], **options)
is_new = module.__version__ >= (8,) if isinstance(module.__version__, tuple) else False


def document(value):
    return {"document": value} if is_new else {"body": value}


print(client.info()["tagline"])
client.indices.create(index="orders")
client.index(index="orders", id="a/1", **document({"secret": "s3cr3t"}))
client.get(index="orders", id="a/1")
client.bulk(body=[{"index": {"_index": "orders"}}, {"secret": "s3cr3t"},
                  {"index": {"_index": "orders"}}, {"secret": "s3cr3t"}])
client.bulk(body=[{"index": {}}, {"n": 1}, {"delete": {"_id": "2"}}], index="orders")
query = {"term": {"secret": "s3cr3t"}}
print(client.search(index=["orders", "other"], **({"query": query} if is_new else
                                                  {"body": {"query": query}}))["hits"]["total"])
client.cluster.health()
client.indices.refresh(index="orders")
try:
    client.get(index="missing", id="1")
except errors.NotFoundError as error:
    print("not found", error.status_code if hasattr(error, "status_code") else "")
print(client.indices.exists(index="orders"))
client.indices.delete(index="orders")
