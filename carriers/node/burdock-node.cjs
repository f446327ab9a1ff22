// SPDX-License-Identifier: Apache-2.0
// What Node requires first. Puts NODE_OPTIONS back, leaves no trace of itself, and waits for the
// first request that a server of the program's gets, or message of a consumer: until then there is
// nothing to carry, and nothing more is loaded or changed, but by consumers' libraries that connect.
//
// The context of a request travels as a number in a store of AsyncLocalStorage; 0 or none: nobody's.
// It is entered by enterWith, in the event of a channel of Node's own, so that no frame of ours
// stands on the program's stack. Before bytes leave, and before a connection is made, the library
// is told whose code runs. While no request makes a call nothing is carried, until one does.
"use strict";

function restore() {
  const given = process.env.NODE_OPTIONS ?? "";
  const [option, path] = given.split(" ", 2);
  if (option !== "--require" || !path.endsWith("/burdock-node.cjs")) return; // a worker's: as it was
  const rest = given.slice(option.length + 1 + path.length);
  if (rest === "") delete process.env.NODE_OPTIONS;
  else process.env.NODE_OPTIONS = rest.slice(1);
}

function hide(file) {
  const { _cache, _pathCache } = module.constructor; // to require it would load much more
  delete _cache[file];
  for (const key of Object.keys(_pathCache))
    if (_pathCache[key] === file) delete _pathCache[key];
  const property = Object.getOwnPropertyDescriptor(process, "_preload_modules");
  if (Array.isArray(property?.value)) {
    const value = property.value.filter((name) => !name.endsWith("/burdock-node.cjs"));
    Object.defineProperty(process, "_preload_modules", { ...property, value });
  }
}

// Deprecated, but silent unless one asks to hear of it.
function bindings() {
  const { execArgv, env } = process;
  const asked = [...execArgv, env.NODE_OPTIONS].join(" ");
  if (env.NODE_PENDING_DEPRECATION === "1" || /--pending[-_]deprecation/.test(asked)) return [];
  return [process.binding("tcp_wrap").TCP.prototype, process.binding("pipe_wrap").Pipe.prototype];
}

// `before` is called before bytes leave, and before a connection is made; `after` if it answers true.
function wrap(prototype, name, before, after) {
  const property = Object.getOwnPropertyDescriptor(prototype, name);
  const original = property?.value;
  if (typeof original !== "function" || !property.configurable) return;
  const { [name]: value } = {
    [name](a, b, c) {
      if (!before(this, name, b, c)) return original.call(this, a, b, c);
      try {
        return original.call(this, a, b, c);
      } finally {
        after();
      }
    },
  };
  Object.defineProperty(prototype, name, { ...property, value });
}

const told = ["connect", "connect6", "writev", "writeBuffer", "writeAsciiString",
  "writeUtf8String", "writeUcs2String", "writeLatin1String"];

function wrapAll(prototypes, before, after) {
  const done = new Set([null, Object.prototype]);
  for (let prototype of prototypes)
    for (; !done.has(prototype); prototype = Object.getPrototypeOf(prototype)) {
      done.add(prototype);
      for (const name of told) wrap(prototype, name, before, after);
    }
}

// What clients and consumers do, which is needed only now; forgotten like this file.
function requireOurs(name) {
  const file = __filename.replace(/node\.cjs$/, `node-${name}.cjs`);
  const loaded = require(file);
  hide(file);
  return loaded;
}

const IDLE_MAX = 256; // requests in a row without a call of anybody's, before nothing is carried
const IDLE_GROWTH = 16; // times as many, each time that this was too soon
const STRAYED_MAX = 64; // requests until those are over that began while nothing was carried
const SURE = 2 ** 30; // addon.c
const SOCKETS_MAX = 8;

function carry(handle, addon, subscribe, store, clients) {
  const { take, enter, guess, parts } = addon;
  const { executionAsyncResource } = require("async_hooks");
  const { creatorOf, look, whose } = clients;

  let idle = 0;
  let idleMax = IDLE_MAX;
  let isAsleep = false;
  let strayed = 0;
  function wake() {
    isAsleep = false;
    idleMax *= IDLE_GROWTH;
    strayed = STRAYED_MAX;
  }

  // undici, which is fetch: a request that had to wait is sent by whoever ends another one's call.
  // It is sent as its own, also when its body follows later; who sent it goes on as before.
  const creator = Symbol("burdock");
  const undicis = new WeakSet();
  let interrupted;
  subscribe("undici:request:create", ({ request }) => {
    Object.defineProperty(request, creator, { value: creatorOf(request) });
  });
  subscribe("undici:client:sendHeaders", ({ request, socket }) => {
    const context = store.getStore();
    if (socket) undicis.add(socket);
    if (isAsleep || context === request[creator]) return;
    interrupted = { context, resource: executionAsyncResource() };
    store.enterWith(request[creator]);
  });

  // Whose a write is the table of clients knows; else it is of whose code runs, if Node's own HTTP
  // makes it. Whatever else queues, as most clients do, writes for anybody.
  const owner = Object.getOwnPropertySymbols(handle).find(
    ({ description }) => description === "owner_symbol");
  const brokers = new WeakSet(); // what is written there is seldom a call
  const isCall = (socket, name) => name.startsWith("connect") ||
    (socket && !socket.server && !socket._isStdio && !brokers.has(socket));
  function noteCall() {
    idle = 0;
    if (isAsleep) wake();
  }
  // A context is a number, or knows of itself how sure that is.
  const numberOf = (context, isOthers) =>
    typeof context === "object" ? context.tell(isOthers) : context ?? 0;
  let sure = 0; // what is written now
  function enterContext(context) {
    const number = numberOf(context);
    sure = number >= SURE ? number : 0;
    enter(number);
  }
  // Nobody's for certain, unless it may be a request's that was not carried.
  function enterOurs(context) {
    if (context === undefined && strayed > 0) guess(0);
    else enterContext(context);
  }
  function guessContext(context) {
    if (typeof context === "object") enter(context.tell(true));
    else guess(context ?? 0);
  }
  function written() {
    parts();
    if (sure) enter(-sure); // what follows may be another's
    sure = 0;
  }
  let isLooked = false;
  function lookAround() {
    isLooked = true;
    look();
  }
  function tell(handle, name, data, areBuffers) {
    const socket = handle[owner];
    if (isCall(socket, name)) noteCall();
    else if (isAsleep) return false;
    if (!isLooked || name.startsWith("connect")) lookAround();
    const context = whose(socket, name, data, areBuffers);
    if (Array.isArray(context)) {
      parts(context.map((part) => numberOf(part)));
      return true;
    }
    if (context !== undefined) enterContext(context);
    else if (socket?._httpMessage || undicis.has(socket) || name.startsWith("connect"))
      enterOurs(store.getStore());
    else guessContext(store.getStore());
    if (interrupted === undefined) return sure !== 0;
    if (interrupted.resource === executionAsyncResource()) store.enterWith(interrupted.context);
    interrupted = undefined;
    return sure !== 0;
  }
  wrapAll([Object.getPrototypeOf(handle), ...bindings()], tell, written);

  // What a connection's parser calls later, as with the rest of a body, finds the request's context
  // with it. Once the answer is written it must not: an upgrade may follow, which no channel tells.
  const parsers = new WeakMap();
  subscribe("http.server.response.finish", ({ socket }) => {
    const parser = parsers.get(socket);
    if (parser !== undefined) parser[store.kResourceStore] = undefined;
  });
  function begin() {
    if (isAsleep) return false;
    if (++idle > idleMax) {
      isAsleep = true;
      store.disable(); // enterWith enables it again
      return false;
    }
    if (strayed > 0) strayed -= 1;
    return true;
  }
  function onRequest({ request, socket }) {
    if (!begin()) return;
    const isBehindAnother = Boolean(socket._httpMessage); // which the library read last, or not
    const context = isBehindAnother ? undefined : take(socket._handle?.fd ?? -1);
    store.enterWith(context);
    if (context === undefined) return;
    const parser = executionAsyncResource();
    if (store.kResourceStore in parser) {
      if (parsers.get(socket) !== parser) parsers.set(socket, parser);
    } else if (hasBody(request)) enterOnPush(request, () => store.enterWith(context));
  }
  function onMessage(socket) {
    if (socket) brokers.add(socket);
    if (!isLooked) lookAround(); // before the first is handed on
    return begin();
  }
  return { noteCall, onMessage, onRequest };
}

// From Node 24 on a store lasts as long as the event, so each piece of a body enters it again: where
// its parser looks for the function that takes the piece, which leaves no frame of ours either.
const hasBody = ({ headers }) => "content-length" in headers || "transfer-encoding" in headers;

function enterOnPush(request, enter) {
  let { push } = request;
  Object.defineProperty(request, "push", {
    configurable: true,
    get() {
      enter();
      return push;
    },
    set(value) {
      push = value;
    },
  });
}

// By default the major of which Node's own tests were run; others where they are asked for.
function isKnown() {
  const [major] = process.versions.node.split(".");
  const isAsked = process.env.BURDOCK_CARRIERS?.split(/[, ]+/).includes("node");
  return major === "20" || (isAsked && ["18", "22", "24"].includes(major));
}

// Unless the program has asked for it, it is not among what was loaded.
function requireUnseen(name) {
  const { moduleLoadList } = process;
  const count = moduleLoadList.length;
  const loaded = require(name);
  moduleLoadList.length = count;
  return loaded;
}

const consumersOf = (file) => file.endsWith("/amqplib/lib/channel.js") ? "amqplib" :
  file.endsWith("/kafkajs/src/consumer/runner.js") ? "kafkajs" : undefined;

function start() {
  const addon = { exports: {} };
  process.dlopen(addon, "burdock:node");
  if (!addon.exports.enter) return;
  const diagnostics = requireUnseen("diagnostics_channel");
  const channels = []; // without a reference older ones are forgotten
  function subscribe(name, listener) {
    channels.push(diagnostics.channel(name));
    channels.at(-1).subscribe(listener);
  }
  let clients, store;
  function prepare() {
    const { AsyncLocalStorage } = require("async_hooks");
    store = new AsyncLocalStorage();
    clients = requireOurs("clients")(addon.exports, store);
  }
  let carrier;
  function begin(handle) {
    if (carrier !== undefined || !handle) return carrier;
    carrier = null; // where it fails, for good
    if (clients === undefined) prepare();
    carrier = carry(handle, addon.exports, subscribe, store, clients);
    return carrier;
  }
  subscribe("http.server.request.start", (message) =>
    begin(message.socket._handle)?.onRequest(message));

  // A consumer's library is there before it connects.
  const consumers = new Set();
  const { _cache } = module.constructor;
  let count = 0; // of files that were looked at
  let messages;
  const sockets = new Set(); // the last ones that connected: any tells what handles are like
  const handleOf = () => [...sockets].find(({ _handle }) => _handle)?._handle;
  function lookForConsumers() {
    const files = Object.keys(_cache);
    if (files.length === count) return;
    count = files.length;
    for (const file of files.filter(consumersOf)) {
      if (consumers.has(file)) continue;
      consumers.add(file);
      if (clients === undefined) prepare();
      messages ??= requireOurs("messages")(addon.exports, store, clients.around, begin, handleOf);
      messages[consumersOf(file)](_cache[file].exports);
    }
  }
  function keep(socket) {
    if (carrier !== undefined || messages === undefined) return sockets.clear();
    sockets.add(socket);
    if (sockets.size > SOCKETS_MAX) sockets.delete(sockets.values().next().value);
  }
  subscribe("net.client.socket", ({ socket }) => {
    try {
      lookForConsumers();
      keep(socket);
    } catch {
      // another version than those we know
    }
  });
}

restore();
try {
  hide(__filename);
  if (isKnown()) start();
} catch {
  // addons are not permitted, or this is a Node that we do not know
}
