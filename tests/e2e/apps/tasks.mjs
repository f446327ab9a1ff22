// SPDX-License-Identifier: Apache-2.0
// An ordinary Node service whose work waits in every way that Node has.
//   tasks.mjs PORT BACKEND [cluster|worker|quiet]; quiet: it makes no calls of its own
//   /<way>/<number> calls /<number>.0 of the backend, and .1 ..., and answers how often it did
//   tasks.mjs PORT: a backend, which answers after 1 to 12 ms
import cluster from "node:cluster";
import dns from "node:dns";
import fs from "node:fs";
import http from "node:http";
import { Worker, isMainThread, workerData } from "node:worker_threads";

const [port, backend, mode] = isMainThread ? process.argv.slice(2).map((text) =>
  Number(text) || text) : [...workerData, "worker"];
const base = `http://127.0.0.1:${backend}`;
const plenty = new http.Agent({ keepAlive: true, maxFreeSockets: 256 });
const scarce = new http.Agent({ keepAlive: true, maxSockets: 4 });

function get(path, options) {
  return new Promise((resolve, reject) => {
    http.get(`${base}/${path}`, { agent: plenty, ...options }, (answer) => {
      answer.resume().on("end", resolve);
    }).on("error", reject);
  });
}

const fetched = async (path, options) => (await fetch(`${base}/${path}`, options)).text();
const later = (start) => new Promise((resolve) => start(() => resolve()));

async function twice(number, call) {
  await call(`${number}.0`);
  await call(`${number}.1`);
  return 2;
}

// At most four calls at a time, by callbacks: whoever ends starts the next one.
const waiting = [];
let running = 0;
function startNext() {
  while (running < 4 && waiting.length > 0) {
    running += 1;
    waiting.shift()();
  }
}
const queued = (path) => new Promise((resolve, reject) => {
  waiting.push(() => get(path).then(resolve, reject).finally(() => {
    running -= 1;
    startNext();
  }));
  startNext();
});

async function* pieces() {
  yield "a";
  await later((done) => setTimeout(done, 2));
  yield "b";
}

const ways = {
  http: (number) => twice(number, get),
  fetch: (number) => twice(number, fetched),
  post: (number) => twice(number, (path) => fetched(path, { method: "POST", body: "{}" })),
  stream: (number) => twice(number, (path) =>
    fetched(path, { method: "POST", body: pieces(), duplex: "half" })),
  async all(number) {
    await Promise.all([0, 1, 2].map((k) => get(`${number}.${k}`)));
    await get(`${number}.3`);
    return 4;
  },
  agent: (number) => twice(number, (path) => get(path, { agent: scarce })),
  timer: (number) => twice(number, async (path) => {
    await later((done) => setTimeout(done, 3));
    await get(path);
  }),
  immediate: (number) => twice(number, async (path) => {
    await later(setImmediate);
    await get(path);
  }),
  fs: (number) => twice(number, async (path) => {
    await fs.promises.readFile("/etc/hostname");
    await get(path);
  }),
  dns: (number) => twice(number, (path) => get(path, {
    hostname: "localhost",
    lookup: (host, options, done) => dns.lookup(host, { ...options, family: 4 }, done),
  })),
  body: (number, request) => new Promise((resolve, reject) => {
    request.resume().on("end", () => twice(number, get).then(resolve, reject));
  }),
  async after(number, request, response) {
    await get(`${number}.0`);
    response.end("3");
    await get(`${number}.1`);
    setTimeout(() => get(`${number}.2`), 5);
    return 3;
  },
  queue: (number) => twice(number, queued),
  none: () => 0,
  // Not a number of calls: how many hooks Node has to call.
  hooks() {
    process.noDeprecation = true;
    const { async_hook_fields, constants } = process.binding("async_wrap");
    return async_hook_fields[constants.kTotals];
  },
};

function serve() {
  http.createServer(async (request, response) => {
    const [, way, number] = request.url.split("/");
    try {
      const calls = await ways[way](number, request, response);
      if (!response.writableEnded) response.end(String(calls));
    } catch (error) {
      response.statusCode = 500;
      response.end(String(error.stack));
    }
  }).listen(port, "127.0.0.1");
}

function answerSlowly() {
  http.createServer((request, response) => {
    request.resume();
    setTimeout(() => response.end("ok"), 1 + Math.random() * 11);
  }).listen(port, "127.0.0.1");
}

if (backend === undefined) answerSlowly();
else if (mode === "cluster" && cluster.isPrimary) {
  cluster.fork();
  cluster.fork();
} else if (mode === "worker" && isMainThread)
  new Worker(new URL(import.meta.url), { workerData: [port, backend] });
else {
  // What no request asked for: calls of its own, all the time.
  if (mode !== "quiet") setInterval(() => get("tick"), 5).unref();
  serve();
}
