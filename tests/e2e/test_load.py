# SPDX-License-Identifier: Apache-2.0
"""Many requests at once: every span there, none under another request. Each request has a path of
its own, so that a wrong parent cannot hide."""
from urllib.parse import quote

from harness import Scene, check, equal, load, main, wait_until

REQUESTS, CONCURRENCY = 10_000, 32

PROXY = "location / { proxy_pass http://backend; %s }"
UPSTREAM = "upstream backend { server 127.0.0.1:%d; %s }"
KEEPALIVE = "proxy_http_version 1.1; proxy_set_header Connection '';"


def number_of(span):
    """The request's number, from the path it carries at the end."""
    url = span.attributes.get("url.full") or "%s?%s" % (
        span.attributes.get("url.path"), span.attributes.get("url.query", ""))
    digits = url.rstrip("?").replace("%2F", "/").rpartition("/")[2]
    return int(digits) if digits.isdigit() else None


def by_number(spans, service, kind):
    found = {}
    for span in spans:
        if span.service == service and span.kind == kind:
            found.setdefault(number_of(span), []).append(span)
    return found


def check_once_each(found, total, text):
    """Exactly one span for every number below total, and no other."""
    wrong = [number for number in range(total) if len(found.get(number, ())) != 1]
    count = sum(map(len, found.values()))
    return check(not wrong and count == total, text,
                 "%d spans; not exactly once: %s" % (count, wrong[:20]))


def check_parents(children, parents, text, roots_max=0):
    """roots_max: so many of them may have no parent where it was not certain."""
    roots = [number for number, (span, *_) in children.items() if span.parent == "" and
             span.attributes.get("burdock.attribution") == "ambiguous"]
    if len(roots) <= roots_max:
        children = {number: spans for number, spans in children.items() if number not in roots}
    wrong = [(number, span.parent, parents[number][0].id) for number, (span, *_) in children.items()
             if number not in parents or span.parent != parents[number][0].id or
             span.trace != parents[number][0].trace]
    check(not wrong, text, "%d wrong, such as %s" % (len(wrong), wrong[:3]))


def check_nothing_lost(scene, text):
    wait_until(lambda: all(ring.counters.get("spans.recorded") == ring.counters.get("spans.exported")
                           for ring in scene.rings_left()))  # the counters are told a little later
    for ring in scene.rings_left():
        lost = {name: count for name, count in ring.counters.items()
                if count and name.startswith(("spans.dropped", "spans.abandoned", "spans.rejected",
                                              "connections.", "exporter."))}
        check(not lost, "%s: %s loses nothing" % (text, ring.service), lost)
        equal(ring.counters["spans.recorded"], ring.counters["spans.exported"],
              "%s: %s exports what it records" % (text, ring.service))


def check_tree(spans, front, back, total, text, roots_max=0):
    """front's server, front's client, back's server: one of each per request, one below another."""
    servers = by_number(spans, front, "SERVER")
    clients = by_number(spans, front, "CLIENT")
    leaves = by_number(spans, back, "SERVER")
    complete = [check_once_each(servers, total, "%s: %d server spans of %s" % (text, total, front)),
                check_once_each(clients, total, "%s: %d client spans of %s" % (text, total, front)),
                check_once_each(leaves, total, "%s: %d server spans of %s" % (text, total, back))]
    if all(complete):
        check_parents(clients, servers, text + ": each call belongs to its own request", roots_max)
        check_parents(leaves, clients, text + ": each request behind belongs to its own call")
        check(all(span.parent == "" for span, in servers.values()), text + ": each request is a root")
    return len(spans)


def proxy(text, upstream, location, back_keepalive="keepalive_requests 100000;"):
    with Scene() as scene:
        back = scene.nginx("location / { return 200 ok; } " + back_keepalive, "back")
        front = scene.nginx(PROXY % location, "front",
                            http=UPSTREAM % (back.port, upstream) + "keepalive_requests 100000;")
        failures = load(front.port, REQUESTS, CONCURRENCY)
        equal(failures[:5], [], text + ": every request is answered with 200")
        spans = scene.wait_spans(REQUESTS * 3, timeout=60)
        check_nothing_lost(scene, text)
        scene.stop(front)
        scene.stop(back)
        check_tree(spans, "front", "back", REQUESTS, text)
        equal(len(scene.spans()), REQUESTS * 3, text + ": no other spans, at the end either")


def test_proxy():
    proxy("a connection per request", "", "")


def test_proxy_keepalive():
    proxy("upstream keep-alive", "keepalive 32; keepalive_requests 100000;", KEEPALIVE)


def test_proxy_keepalive_scarce():
    """Fewer kept connections than requests at a time, closed again and again."""
    proxy("scarce upstream keep-alive", "keepalive 4; keepalive_requests 7;", KEEPALIVE)


def through(text, start, total, how="fetch", roots_max=0):
    with Scene() as scene:
        back = scene.nginx("location / { return 200 ok; }", "back")
        front = start(scene)
        target = quote("http://127.0.0.1:%d/r/" % back.port, safe="")
        failures = load(front.port, total, CONCURRENCY, "/%s?url=%s%%d" % (
            how, target.replace("%", "%%")))
        equal(failures[:5], [], text + ": every request is answered with 200")
        spans = scene.wait_spans(total * 3, timeout=60)
        check_nothing_lost(scene, text)
        scene.stop(front)
        scene.stop(back)
        check_tree(spans, "front", "back", total, text, roots_max)
        equal(len(scene.spans()), total * 3, text + ": no other spans")
        equal(scene.stderr(front), b"", text + ": nothing is printed")


# On a busy machine Node's timers are due now and then when it comes back from a wait; what it calls
# then may be theirs.
def test_node_fetch():
    through("node fetch", lambda scene: scene.node("front"), 2000, roots_max=100)


def test_node_request():
    through("node http.request", lambda scene: scene.node("front"), 2000, "request", roots_max=100)


def test_python_threads():
    through("python threads", lambda scene: scene.service("front"), 2000)


def test_python_prefork():
    through("python prefork", lambda scene: scene.service(
        "front", ("--prefork", "4", "--http10")), 1000)


def test_python_fork_per_request():
    through("python fork per request", lambda scene: scene.service(
        "front", ("--fork-per-request", "--http10")), 200)


if __name__ == "__main__":
    main(globals(), ("nginx", "node"))
