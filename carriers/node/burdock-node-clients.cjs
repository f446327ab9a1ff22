// SPDX-License-Identifier: Apache-2.0
// Clients of databases that send for one request while another one's code runs: a pool gives its
// connection to who has waited longest, a connection sends the next command of its queue, one write
// has the commands of many. Each command is marked with the context that it was made in, and of each
// of their sockets is known which commands are written. A client that is not in the table, or whose
// inside is another one than here, is not touched.
"use strict";

const { Socket } = require("net");
const { _cache } = module.constructor;

const BACKLOG_MAX = 1 << 16; // writes of a socket that are not told of

// The bytes that a socket has been given and not written yet: how many are whose.
class Outbox {
  constructor() {
    this.clear(false);
  }
  clear(isLost) {
    this.sizes = [];
    this.contexts = [];
    this.first = 0;
    this.isLost = isLost; // it has written what we know nothing of
  }
  put(piece, context = 0) {
    if (this.isLost) return;
    if (this.sizes.length - this.first > BACKLOG_MAX) return this.clear(true);
    this.sizes.push(typeof piece === "string" ? Buffer.byteLength(piece) : piece.byteLength);
    this.contexts.push(context);
  }
  // Whose the next `size` bytes are: a context, or several with where they end.
  take(size) {
    const parts = [];
    let end = 0;
    while (end < size && this.first < this.sizes.length) {
      const context = this.contexts[this.first];
      end += this.sizes[this.first++];
      if (parts.at(-1) === context) parts[parts.length - 2] = end;
      else parts.push(end, context);
    }
    if (this.isLost || end !== size) return void this.clear(true);
    if (this.first === this.sizes.length) this.clear(false);
    return parts.length === 2 ? parts[1] : parts;
  }
}

const sizes = {
  writeBuffer: (data) => data.byteLength,
  writeUtf8String: (data) => Buffer.byteLength(data),
  writeAsciiString: (data) => data.length,
  writeLatin1String: (data) => data.length,
  writeUcs2String: (data) => 2 * data.length,
  writev(chunks, areBuffers) {
    let size = 0;
    for (let i = 0; i < chunks.length; i += areBuffers ? 1 : 2)
      size += typeof chunks[i] === "string" ? Buffer.byteLength(chunks[i], chunks[i + 1])
        : chunks[i].byteLength;
    return size;
  },
};

module.exports = function clients({ wrap, run }, store) {
  const marks = new WeakMap(); // commands: contexts
  const sockets = new WeakMap(); // what tells whose a write is
  const here = () => store.getStore() ?? 0;
  const enter = (context) => store.enterWith(context);
  const get = () => store.getStore();
  const nothing = () => {};

  function mark(command) {
    if (!marks.has(command)) marks.set(command, here());
  }

  // What throws in here is a client that we do not know.
  const guarded = (hook) => (self, args, result) => {
    try {
      return hook(self, args, result);
    } catch {
      return undefined;
    }
  };

  function around(owner, name, before, after = nothing) {
    const property = Object.getOwnPropertyDescriptor(owner ?? {}, name);
    if (typeof property?.value !== "function" || !property.configurable) return;
    const value = wrap(property.value, name, guarded(before), guarded(after));
    if (value === undefined) return;
    Object.defineProperty(value, "length", { value: property.value.length, configurable: true });
    Object.defineProperty(owner, name, { ...property, value });
  }

  // Where a method is looked up, which leaves its place on the stack as it was.
  function atLookup(prototype, name, hook) {
    const { value: original, configurable, enumerable } =
      Object.getOwnPropertyDescriptor(prototype, name) ?? {};
    if (typeof original !== "function" || !configurable) return;
    const found = guarded(hook);
    Object.defineProperty(prototype, name, {
      configurable: true,
      enumerable,
      get() {
        found(this);
        return original;
      },
      set(value) {
        Object.defineProperty(this, name,
          { configurable: true, enumerable: true, writable: true, value });
      },
    });
  }

  // The callback that a pool is asked with comes back in the context that asked.
  function bindCallback(owner, name) {
    around(owner, name, (pool, args) => typeof args[0] === "function" &&
      [run.bind(undefined, get, enter, store.getStore(), args[0]), ...args.slice(1)]);
  }

  const known = (socket, tell) => socket && !sockets.has(socket) && sockets.set(socket, tell);

  // pg: a client's queries are sent one after the other.
  function pg({ prototype }) {
    atLookup(prototype, "_pulseQueryQueue", (client) => {
      const queue = "_queryQueue" in client ? client._queryQueue : client.queryQueue;
      for (let i = queue.length; i-- > 0 && !marks.has(queue[i]);) marks.set(queue[i], here());
      known(client.connection.stream, () => client.pipeline ? undefined :
        marks.get("_activeQuery" in client ? client._activeQuery : client.activeQuery));
    });
  }

  function mysql2({ prototype }) {
    around(prototype, "addCommand", (connection, [command]) => {
      mark(command);
      known(connection.stream, () => marks.get(connection._command));
    });
  }

  function mysql({ prototype }) {
    around(prototype, "_enqueue", (protocol, [sequence]) => {
      mark(sequence);
      known(protocol._connection._socket, () => marks.get(protocol._queue[0]));
    });
  }

  // undici's own pools: what waits in one is a request only when it is taken out. A handler that is
  // given twice is nobody's.
  function undici({ prototype }) {
    around(prototype, "dispatch", (dispatcher, [, handler]) => {
      const given = marks.get(handler);
      if (given === undefined || (given !== here() && dispatcher.constructor.name !== "Client"))
        marks.set(handler, given === undefined ? here() : 0);
    });
  }

  let handlerOf, ofPackage; // not fetch, which has no limit
  function creatorOf(request) {
    handlerOf ??= Object.getOwnPropertySymbols(request).find(
      ({ description }) => description === "handler");
    const handler = request[handlerOf];
    const context = marks.get(handler);
    if (handler !== undefined) marks.delete(handler);
    return context ?? (ofPackage?.has(request.constructor) ? 0 : store.getStore());
  }

  // Redis' clients write many commands at once.
  function outboxOf(socket) {
    let tell = sockets.get(socket);
    if (tell === undefined) {
      const outbox = new Outbox();
      tell = (size) => outbox.take(size);
      tell.outbox = outbox;
      sockets.set(socket, tell);
    }
    return tell.outbox;
  }

  function ioredis({ default: { prototype } }) {
    atLookup(prototype, "initPromise", mark);
    around(prototype, "toWritable", nothing, (command, [socket], piece) => {
      if (socket instanceof Socket && !socket.encrypted)
        outboxOf(socket).put(piece, marks.get(command));
    });
  }

  // node-redis keeps its socket to itself: it is who is asked for `write` while one of these writes.
  const writers = new WeakMap(); // their outboxes and sockets
  let writer;

  function learn(to) {
    const { prototype } = Socket;
    Object.defineProperty(prototype, "write", {
      configurable: true,
      get() {
        delete prototype.write;
        to.socket = this;
        if (!this.encrypted) sockets.set(this, (size) => to.outbox.take(size));
        return this.write;
      },
    });
  }

  function begin(self) {
    writer = writers.get(self);
    if (writer !== undefined && !writer.socket?.destroyed) return writer;
    writer = { outbox: new Outbox(), socket: undefined };
    writers.set(self, writer);
    if (!Object.hasOwn(Socket.prototype, "write")) learn(writer);
    return writer;
  }

  function end(self) {
    if (writer?.socket === undefined) {
      delete Socket.prototype.write;
      writers.delete(self);
    } else if (writer.socket.encrypted) writer.outbox.clear(true);
    writer = undefined;
  }

  const putAll = (outbox, pieces, context) => pieces.forEach((piece) => outbox.put(piece, context));

  const redis = {
    queue({ default: { prototype } }) {
      around(prototype, "addCommand", (queue, [command]) =>
        void marks.set(command, marks.has(command) ? 0 : here())); // twice: nobody's
    },
    encoder(exports) {
      around(exports, "default", nothing, (self, [command], pieces) => {
        const context = marks.get(command);
        marks.delete(command);
        if (writer !== undefined) putAll(writer.outbox, pieces, context);
        else marks.set(pieces, context ?? 0);
      });
    },
    socket({ default: { prototype } }) {
      around(prototype, "write", begin, end);
      around(prototype, "writeCommand", (self, [pieces]) => {
        const { outbox } = begin(self);
        putAll(outbox, pieces, marks.get(pieces));
      }, end);
    },
  };

  const table = [
    [/\/pg\/lib\/client\.js$/, pg],
    [/\/pg-pool\/index\.js$/, ({ prototype }) => bindCallback(prototype, "connect")],
    [/\/mysql2\/lib\/(base\/)?connection\.js$/, mysql2],
    [/\/mysql2\/lib\/(base\/)?pool\.js$/, ({ prototype }) => bindCallback(prototype, "getConnection")],
    [/\/mysql\/lib\/protocol\/Protocol\.js$/, mysql],
    [/\/mysql\/lib\/Pool\.js$/, ({ prototype }) => bindCallback(prototype, "getConnection")],
    [/\/undici\/lib\/dispatcher\/dispatcher-base\.js$/, undici],
    [/\/undici\/lib\/core\/request\.js$/, (type) => (ofPackage ??= new WeakSet()).add(type)],
    [/\/ioredis\/built\/[Cc]ommand\.js$/, ioredis],
    [/\/@redis\/client\/dist\/lib\/client\/commands-queue\.js$/, redis.queue],
    [/\/@redis\/client\/dist\/lib\/(client\/RESP2|RESP)\/encoder\.js$/, redis.encoder],
    [/\/@redis\/client\/dist\/lib\/client\/socket\.js$/, redis.socket],
  ];
  const done = new Set();

  return {
    // Programs load their clients when they like: asked for whenever a connection is made.
    look() {
      for (const file of Object.keys(_cache)) {
        if (done.has(file) || !_cache[file].loaded) continue;
        done.add(file);
        const put = table.find(([pattern]) => pattern.test(file))?.[1];
        try {
          put?.(_cache[file].exports);
        } catch {
          // another version than those we know
        }
      }
    },
    around,
    creatorOf, // of undici
    // Whose is what the socket writes: a context, parts, or undefined where that is not known.
    whose: (socket, name, data, areBuffers) =>
      sockets.get(socket)?.(sizes[name]?.(data, areBuffers)),
  };
};
