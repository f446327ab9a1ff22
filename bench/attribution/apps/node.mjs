// SPDX-License-Identifier: Apache-2.0
// A Node service; /<cell>/<token> answers with the token after calls to the backend.
import dns from "node:dns";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";

const { APP_PORT, BACK_HTTP, BACK_RESP, BACK_PG, APP_MODULES } = process.env;
const back = `http://127.0.0.1:${BACK_HTTP}`;
const plenty = new http.Agent({ keepAlive: true, maxFreeSockets: 256 });
const closing = new http.Agent();
const scarce = new http.Agent({ keepAlive: true, maxSockets: 4 });
const modules = createRequire(`${APP_MODULES || "."}/`);

function once(make) {
  let made;
  return () => (made ??= make());
}

const undiciPool = once(() => new (modules("undici").Pool)(back, { connections: 4 }));
const pgPool = (max) => once(() => new (modules("pg").Pool)({
  host: "127.0.0.1", port: BACK_PG, user: "app", database: "app", max }));
const wide = pgPool(300), narrow = pgPool(4);
const redis = (options) => once(() => new (modules("ioredis"))(
  { host: "127.0.0.1", port: BACK_RESP, ...options }));
const shared = redis({}), pipelined = redis({ enableAutoPipelining: true });
const nodeRedis = once(async () => {
  const client = modules("redis").createClient({ url: `redis://127.0.0.1:${BACK_RESP}` });
  await client.connect();
  return client;
});

function get(token, k, agent = plenty, hostname = "127.0.0.1", lookup = undefined) {
  return new Promise((resolve, reject) => {
    const options = { hostname, port: BACK_HTTP, path: `/${token}.${k}`, agent, lookup };
    http.get(options, (answer) => {
      answer.resume();
      answer.on("end", resolve);
    }).on("error", reject);
  });
}

const fetched = async (token, k) => (await fetch(`${back}/${token}.${k}`)).text();
const twice = async (token, call) => {
  await call(token, 0);
  await call(token, 1);
};
const sql = async (token, k, pool) => pool().query(`SELECT 1 AS ${token}_${k}`);

// An application's own limit of four calls at a time: whoever ends starts the next one's callback.
const waiting = [];
let running = 0;
function queued(token, k) {
  return new Promise((resolve, reject) => {
    waiting.push(() => get(token, k).then(resolve, reject).finally(() => {
      running -= 1;
      startNext();
    }));
    startNext();
  });
}
function startNext() {
  if (running < 4 && waiting.length) {
    running += 1;
    waiting.shift()();
  }
}

const cells = {
  http: (token) => twice(token, get),
  fetch: (token) => twice(token, fetched),
  all: async (token) => {
    await Promise.all([0, 1, 2].map((k) => get(token, k)));
    await get(token, 3);
  },
  agent: (token) => twice(token, (t, k) => get(t, k, scarce)),
  undici: (token) => twice(token, async (t, k) => {
    const { body } = await undiciPool().request({ path: `/${t}.${k}`, method: "GET" });
    await body.text();
  }),
  pg: (token) => twice(token, (t, k) => sql(t, k, wide)),
  pgfew: (token) => twice(token, (t, k) => sql(t, k, narrow)),
  redis: (token) => twice(token, (t, k) => shared().get(`${t}:${k}`)),
  pipeline: (token) => twice(token, (t, k) => pipelined().get(`${t}:${k}`)),
  noderedis: (token) => twice(token, async (t, k) => (await nodeRedis()).get(`${t}:${k}`)),
  timer: (token) => twice(token, (t, k) => new Promise((resolve, reject) =>
    setTimeout(() => get(t, k).then(resolve, reject), 3))),
  immediate: (token) => twice(token, (t, k) => new Promise((resolve, reject) =>
    setImmediate(() => get(t, k).then(resolve, reject)))),
  fs: (token) => twice(token, async (t, k) => {
    await fs.promises.readFile("/etc/hostname");
    await get(t, k);
  }),
  dns: (token) => twice(token, (t, k) => get(t, k, closing, "localhost",
    (host, options, done) => dns.lookup(host, { ...options, family: 4 }, done))),
  after: async (token, response) => {
    await get(token, 0);
    response.end(token);
    await get(token, 1);
    setTimeout(() => get(token, 2), 5);
  },
  // One call while the other is put off.
  both: (token) => Promise.all([get(token, 0), new Promise((resolve, reject) =>
    setTimeout(() => get(token, 1).then(resolve, reject), 3))]),
  cron: (token) => twice(token, get),
  queue: (token) => twice(token, queued),
  batch: (token) => loader.load(token),
};

// Merges what is asked for in a tick into one call for all (DataLoader's way).
const loader = {
  keys: [],
  load(token) {
    return new Promise((resolve, reject) => {
      this.keys.push({ token, resolve, reject });
      if (this.keys.length === 1) setTimeout(() => this.dispatch(), 2);
    });
  },
  dispatch() {
    const keys = this.keys.splice(0);
    get(keys.map(({ token }) => token).join(","), 0).then(
      () => keys.forEach(({ resolve }) => resolve()),
      (error) => keys.forEach(({ reject }) => reject(error)));
  },
};

let ticks = 0;
if (process.env.APP_CELL === "cron") setInterval(() => get(`b${ticks++}q`, 0), 5);

http.createServer(async (request, response) => {
  const [, cell, token] = request.url.split("/");
  try {
    await cells[cell](token, response);
    if (!response.writableEnded) response.end(token);
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error));
  }
}).listen(APP_PORT, "127.0.0.1");
