# SPDX-License-Identifier: Apache-2.0
"""A WSGI application: /<cell>/<token> answers with the token after two calls to the backend."""
import os
import urllib.request
from concurrent.futures import ThreadPoolExecutor

BACK = "http://127.0.0.1:%s/" % os.environ["BACK_HTTP"]
session = None
shared = ThreadPoolExecutor(8)


def call_urllib(token, k):
    urllib.request.urlopen("%s%s.%d" % (BACK, token, k), timeout=60).read()


def call_requests(token, k):
    """One session for all threads, with connections that are kept."""
    global session
    if session is None:
        import requests
        session = requests.Session()
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
    session.get("%s%s.%d" % (BACK, token, k), timeout=60)


def twice(call):
    return lambda token: [call(token, k) for k in range(2)]


def spread(token):
    """Both at once, by threads that live as long as the request."""
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(call_urllib, (token, token), range(2)))


def hand_over(token):
    """One after the other, by threads that all requests share."""
    for k in range(2):
        shared.submit(call_urllib, token, k).result()


CELLS = {"urllib": twice(call_urllib), "requests": twice(call_requests), "spread": spread,
         "shared": hand_over}


def application(environ, start_response):
    _, cell, token = environ["PATH_INFO"].split("/")
    CELLS[cell](token)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(token)))])
    return [token.encode()]
