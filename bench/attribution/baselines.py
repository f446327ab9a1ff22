# SPDX-License-Identifier: Apache-2.0
"""Rules of others, played on what recorder.c saw of a run of the same cell without Burdock.

- *thread*: a call is of the request that its thread read last (vPath).
- *fd and thread*: as DeepFlow's agent links messages, from its published source: what comes in gives
  its thread an identifier, a new one unless the one before on that socket came in, too; what goes out
  next takes it away. An answer's identifier leads back to whom its call was said to be of. For nginx
  alone a new socket keeps the identifier that its thread has, for the first message on it. This is
  that rule, played by us: not the product, which joins by more than identifiers.
- *first come*: the k-th call of a request goes to the request that came first of those that have not
  made it yet, in one process; it is told k, which no observer knows.

A rule's call is right, a stranger's, or missed as in score.py; what no request caused must be nobody's.
"""
import collections
import re
import struct
from types import SimpleNamespace

RECORD = struct.Struct("<7I8scB2xI")
RECORDS_MAX, BYTES = 1 << 21, 44 + 44 * (1 << 21)
READ, WROTE, SOCKET, CLOSED = 1, 2, 3, 4
SERVES, CALLS = 1, 2
MESSAGE = re.compile(rb"GET |POST|PUT |HEAD|DELE|HTTP|[*$+:-]|[A-Z1-9n]\0")  # HTTP, RESP, PostgreSQL
HTTP = re.compile(rb"GET |POST|PUT |HEAD|DELE")


def read(path):
    """Calls of the C library in their order: tokens as (kind, number, k)."""
    events = []
    with open(path, "rb") as file:
        count = min(struct.unpack("<I", file.read(RECORD.size)[:4])[0], RECORDS_MAX)
        data = file.read(count * RECORD.size)
    for is_whole, what, side, pid, tid, fd, is_more, start, kind, k, number in RECORD.iter_unpack(data):
        if not is_whole:
            continue
        token = [(kind.decode(), number, k - ord("0") if k else 0)] if kind != b"\0" else []
        if is_more and events:
            last = next(event for event in reversed(events) if (event.tid, event.fd) == (tid, fd))
            last.tokens += token
        else:
            events.append(SimpleNamespace(what=what, side=side, pid=pid, tid=tid, fd=fd, start=start,
                                          tokens=token))
    return events


def is_call(event):
    return event.what == WROTE and event.side == CALLS and event.tokens


def is_request(event):
    return event.what == READ and event.side == SERVES and event.tokens


def requested(event):
    return event.tokens[-1][:2]


def by_thread(events):
    last = {}
    for event in events:
        if is_request(event):
            last[event.tid] = requested(event)
        elif is_call(event):
            yield event, [last.get(event.tid)] * len(event.tokens)


def by_socket(events):
    threads, sockets = {}, {}
    for event in events:
        place = event.pid, event.fd
        if event.what in (SOCKET, CLOSED):
            sockets[place] = SimpleNamespace(direction=None, kept=None, calls=collections.deque())
            if event.what == SOCKET and event.start.startswith(b"nginx"):
                sockets[place].kept = threads.get(event.tid)
            continue
        if not MESSAGE.match(event.start):
            continue
        socket = sockets.setdefault(place, SimpleNamespace(direction=None, kept=None,
                                                           calls=collections.deque()))
        if event.what == READ:
            answered = socket.calls.popleft() if event.side == CALLS and socket.calls else None
            if event.side == SERVES and event.tokens:
                threads[event.tid] = requested(event)
            elif socket.direction != READ or event.tid not in threads:
                threads[event.tid] = answered
        else:
            owner = threads.pop(event.tid, None)
            if socket.kept is not None:
                owner, socket.kept = socket.kept, None
            if is_call(event):
                socket.calls.extend([owner] * (1 if HTTP.match(event.start) else len(event.tokens)))
                yield event, [owner] * len(event.tokens)
        socket.direction = event.what


def by_arrival(events):
    came, known = collections.defaultdict(list), set()
    given = collections.Counter()
    for event in events:
        if is_request(event) and (event.pid, requested(event)) not in known:
            known.add((event.pid, requested(event)))
            came[event.pid].append(requested(event))
        elif is_call(event):
            owners = []
            for kind, _, k in event.tokens:
                at = given[event.pid, k]
                is_there = kind != "b" and at < len(came[event.pid])
                given[event.pid, k] += is_there
                owners.append(came[event.pid][at] if is_there else None)
            yield event, owners


RULES = {"thread": by_thread, "fd and thread": by_socket, "first come": by_arrival}


def judge(rule, events, calls):
    """calls: of the backend's log."""
    counts = SimpleNamespace(calls=len(calls), right=0, strangers=0)
    left = collections.Counter(token for call in calls for token in call.tokens)
    for event, owners in rule(events):
        is_batch = len(event.tokens) > 1 and HTTP.match(event.start)
        for (kind, number, _), owner in zip(event.tokens, owners):
            if kind == "w" or owner is None:
                continue
            if owner != (kind, number):
                counts.strangers += 1
            elif not is_batch and left["u%dq" % number] > 0:
                left["u%dq" % number] -= 1
                counts.right += 1
    return counts


def score(path, calls):
    events = read(path)
    return {name: judge(rule, events, calls) for name, rule in RULES.items()}
