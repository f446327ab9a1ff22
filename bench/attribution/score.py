# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of the attribution benchmark.

The truth is the backend's log: what a request's tokens are, no span can change. A span is *right* if
it has one token and hangs, through parents in its own process and trace, below the server span of
that very token; a *stranger* if it hangs below another's, or below a parent that nobody exported.
What was logged and is neither is *missed*: no parent, or no span. A call that no request caused must
hang below none.
"""
import math
import re
from types import SimpleNamespace

TOKEN = re.compile(r"(?<![0-9A-Za-z])u\d+q")
NOBODYS = re.compile(r"(?<![0-9A-Za-z])b\d+q")  # calls of a timer or thread that serves no request
OF_A_CALL = ("url.full", "db.query.text", "db.operation.parameter.key", "messaging.message.id")
OF_A_REQUEST = ("url.path", "url.query", "messaging.message.id")


def read_log(path):
    """What reached the backend, the warm-up left out: protocol, k, tokens, traceparent or None."""
    calls = []
    with open(path) as lines:
        for line in lines:
            protocol, k, tokens, traceparent = line.split()
            tokens = tuple(token for token in tokens.split(",") if token.startswith("u"))
            if tokens:
                calls.append(SimpleNamespace(protocol=protocol, k=int(k), tokens=tokens,
                                             traceparent=None if traceparent == "-" else traceparent))
    return calls


def tokens_of(span, attributes):
    return tuple(dict.fromkeys(TOKEN.findall(" ".join(
        str(span.attributes.get(name, "")) for name in attributes))))


def place_of(span):
    return span.resource.get("service.instance.id") or span.resource.get("process.pid")


class Forest:
    """Spans by identity, with the question what a span hangs below."""

    def __init__(self, spans):
        self.spans = spans
        self.by_id = {(span.trace, span.id): span for span in spans}
        self.servers = {}  # token: server spans of it
        for span in spans:
            if span.kind in ("SERVER", "CONSUMER"):
                for token in tokens_of(span, OF_A_REQUEST):
                    self.servers.setdefault(token, []).append(span)
        self.unasked = [span for span in spans if span.kind == "CLIENT" and NOBODYS.search(
            str(span.attributes.get("url.full", "")))]
        self.calls = [(span, tokens) for span in spans if span.kind in ("CLIENT", "PRODUCER")
                      and (tokens := tokens_of(span, OF_A_CALL))]

    def root_of(self, span):
        """(root, whether a parent is missing)."""
        place = place_of(span)
        while span.parent:
            parent = self.by_id.get((span.trace, span.parent))
            if parent is None or place_of(parent) != place:
                return None, True
            if parent.kind in ("SERVER", "CONSUMER"):
                return parent, False
            span = parent
        return None, False

    def linked_tokens(self, span):
        found = set()
        for link in span.links:
            linked = self.by_id.get(link)
            if linked is not None:
                found.update(tokens_of(linked, OF_A_REQUEST))
        return found


RIGHT, STRANGER, MISSED = "right", "stranger", "missed"


def judge(forest, span, tokens):
    root, is_lost = forest.root_of(span)
    if is_lost:
        return STRANGER
    if len(tokens) == 1:
        if root is None:
            return MISSED
        return RIGHT if tokens[0] in tokens_of(root, OF_A_REQUEST) else STRANGER
    covered = forest.linked_tokens(span)
    if root is not None:
        covered.update(tokens_of(root, OF_A_REQUEST))
    if covered - set(tokens):
        return STRANGER
    return RIGHT if covered == set(tokens) else MISSED


def judge_traceparent(forest, call, client_ids):
    """The same of the identifiers that arrived: those of the right trace and of an exported call."""
    if call.traceparent is None:
        return MISSED
    _, trace, parent = call.traceparent.split("-")[:3]
    if any(span.trace == trace for token in call.tokens for span in forest.servers.get(token, ())):
        return RIGHT if (trace, parent) in client_ids else STRANGER
    known = forest.by_id.get((trace, parent))
    return STRANGER if known is None or forest.root_of(known)[0] is not None else MISSED


def score(calls, spans, asked):
    """Counts of a run: calls of the log, exported spans of the workload, how many requests."""
    forest = Forest(spans)
    counts = SimpleNamespace(calls=len(calls), right=0, strangers=0, examples=[], spans=0,
                             unparented=0, linked=0, links=0, trees=0, asked=asked,
                             arrived_right=0, arrived_strangers=0)
    open_calls, spoiled = {}, set()  # by tokens: calls of the log that no span explained
    for call in calls:
        open_calls[call.tokens] = open_calls.get(call.tokens, 0) + 1
    for span, tokens in forest.calls:
        counts.spans += 1
        verdict = judge(forest, span, tokens)
        if verdict == RIGHT:
            if open_calls.get(tokens, 0) > 0:  # what never reached the backend is not of its log
                open_calls[tokens] -= 1
                counts.right += 1
        elif verdict == STRANGER:
            counts.strangers += 1
            spoiled.update(tokens)
            counts.examples.append((span, forest.root_of(span)[0]))
        else:
            counts.unparented += 1
            counts.links += len(span.links)
            counts.linked += bool(span.links) and set(tokens) <= forest.linked_tokens(span)
    for span in forest.unasked:
        root, is_lost = forest.root_of(span)
        if root is not None or is_lost:
            counts.strangers += 1
            counts.examples.append((span, root))
            spoiled.update(tokens_of(root, OF_A_REQUEST) if root else ())
    incomplete = {token for tokens, left in open_calls.items() if left for token in tokens}
    counts.trees = asked - len(incomplete | spoiled)
    client_ids = {(span.trace, span.id) for span, _ in forest.calls}
    for call in calls:
        verdict = judge_traceparent(forest, call, client_ids)
        counts.arrived_right += verdict == RIGHT
        counts.arrived_strangers += verdict == STRANGER
    return counts


def wilson(hits, total, z=1.96):
    """The 95 % interval of a share."""
    if total == 0:
        return 0.0, 1.0
    share, square = hits / total, z * z / total
    middle = (share + square / 2) / (1 + square)
    reach = z * math.sqrt(share * (1 - share) / total + square / (4 * total)) / (1 + square)
    return (middle - reach if hits else 0.0), (middle + reach if hits < total else 1.0)


def ratio(part, whole):
    return part / whole if whole else None


def figures(counts):
    """Shares from counts; None where there is nothing to take a share of."""
    missed = counts.calls - counts.right - counts.strangers
    return SimpleNamespace(
        precision=ratio(counts.right, counts.right + counts.strangers),
        recall=ratio(counts.right, counts.calls), interval=wilson(counts.right, counts.calls),
        wrong=ratio(counts.strangers, counts.calls), trees=ratio(counts.trees, counts.asked),
        arrived_precision=ratio(counts.arrived_right,
                                counts.arrived_right + counts.arrived_strangers),
        arrived_recall=ratio(counts.arrived_right, counts.calls),
        link_recall=ratio(counts.linked, missed) if missed > 0 else None,
        mean_links=ratio(counts.links, counts.unparented))
