# SPDX-License-Identifier: Apache-2.0
"""A WSGI application: /<cell>/<token> answers with the token after two calls to the backend."""
import os
import urllib.request

BACK = "http://127.0.0.1:%s/" % os.environ["BACK_HTTP"]
session = None


def call_urllib(url):
    urllib.request.urlopen(url, timeout=30).read()


def call_requests(url):
    """One session for all threads, with connections that are kept."""
    global session
    if session is None:
        import requests
        session = requests.Session()
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
    session.get(url, timeout=30)


CELLS = {"urllib": call_urllib, "requests": call_requests}


def application(environ, start_response):
    _, cell, token = environ["PATH_INFO"].split("/")
    for k in range(2):
        CELLS[cell]("%s%s.%d" % (BACK, token, k))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(token)))])
    return [token.encode()]
