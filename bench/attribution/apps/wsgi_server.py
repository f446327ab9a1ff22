# SPDX-License-Identifier: Apache-2.0
"""wsgi_server.py SERVER: the application of wsgi.py on a server that is started by a call."""
import os
import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from wsgi import application

HOST, PORT = "127.0.0.1", int(os.environ["APP_PORT"])


class Threads(socketserver.ThreadingMixIn, WSGIServer):
    """As ThreadingHTTPServer: a thread for each connection."""
    request_queue_size = 1024
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def library():
    server = Threads((HOST, PORT), Quiet)
    server.set_app(application)
    server.serve_forever()


def cheroot():
    from cheroot import wsgi
    wsgi.Server((HOST, PORT), application, numthreads=64, request_queue_size=1024).start()


def waitress():
    import logging
    import waitress
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    waitress.serve(application, host=HOST, port=PORT, threads=16, backlog=1024)


globals()[sys.argv[1]]()
