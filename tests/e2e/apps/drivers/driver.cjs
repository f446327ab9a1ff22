// SPDX-License-Identifier: Apache-2.0
// Drivers of Node, as driver.py: driver.cjs NAME PORT plain|tls|compressed [HTTP_PORT]
// As a service in a worker or in two processes of a cluster, by DRIVER_IN.
const http = require("http");
const cluster = require("cluster"), { Worker, isMainThread } = require("worker_threads");
const [name, port, how, web] = process.argv.slice(2);
const { DRIVER_IN } = process.env;
const host = "127.0.0.1", tls = how === "tls" ? { rejectUnauthorized: false } : undefined;
const mysql = { host, port: +port, user: "app", password: "correcthorse", database: "shop",
  ssl: tls, connectionLimit: web ? 16 : 1 };
const call = (object, method, ...rest) => new Promise((done, fail) => object[method](...rest,
  (error, result) => error ? fail(error) : done(result)));

const drivers = {
  pg: {
    connect() {
      const { Pool } = require("pg");
      return new Pool({ host, port: +port, user: "postgres", database: "postgres", ssl: tls, max: 16 });
    },
    async ask(pool, n) {
      for (const part of "abc") await pool.query(`SELECT $1::int AS r${n}_${part}`, [7]);
    },
    async play(pool) {
      const c = await pool.connect();
      await c.query("CREATE TEMP TABLE things (a int, b text)");
      for (let i = 0; i < 50; i++)
        await c.query({ name: "in", text: "INSERT INTO things VALUES ($1, $2)", values: [i, "it's"] });
      await refused(() => c.query("SELECT 1/0"));
      await refused(() => c.query("SELECT nothing FROM nowhere WHERE a = $1", [1]));
      await Promise.all(Array.from({ length: 50 }, (_, i) => c.query(`SELECT $1::int AS q_${i}`, [i])));
      await c.query("SELECT 1 AS one; SELECT 2 AS two");
      const heard = new Promise((done) => c.on("notification", done));
      await c.query("LISTEN news");
      await c.query("NOTIFY news");
      await heard;
      c.release();
      await pool.end();
    },
  },
  mysql: {
    connect: () => require("mysql").createPool(mysql),
    async ask(pool, n) {
      for (const part of "abc") await call(pool, "query", `select ? as r${n}_${part}`, [7]);
    },
    async play(pool) {
      const c = await call(pool, "getConnection");
      await Promise.all(Array.from({ length: 20 }, (_, i) =>
        call(c, "query", "select n from t where n = ?", [i])));
      await refused(() => call(c, "query", "select nonsense from t"));
      await call(c, "query", "call two()");
      c.release();
      await call(pool, "end");
    },
  },
  mysql2: {
    connect: () => require("mysql2/promise").createPool({ ...mysql, compress: how === "compressed" }),
    async ask(pool, n) {
      await pool.query(`select ? as r${n}_a`, [7]);
      await pool.execute(`select ? as r${n}_b`, [7]);
      await pool.execute(`select ? as r${n}_c`, [7]);
    },
    async play(pool) {
      for (let i = 4; i < 54; i++) await pool.execute("insert into t values (?, ?)", [i, "it's"]);
      await Promise.all(Array.from({ length: 5 }, async () => {
        const c = await pool.getConnection();
        c.release();
      }));
      await refused(() => pool.query("select nonsense from t"));
      await pool.query("call two()");
      await pool.query("delete from t where n > 3");
      await pool.end();
    },
  },
  mariadb: {
    connect: () => require("mariadb").createPool({ ...mysql, compress: how === "compressed" }),
    async ask(pool, n) {
      await pool.query(`select ? as r${n}_a`, [7]);
      await pool.execute(`select ? as r${n}_b`, [7]);
      await pool.query(`select ? as r${n}_c`, [7]);
    },
    async play(pool) {
      const c = await pool.getConnection();
      await c.batch("insert into t values (?, ?)", Array.from({ length: 50 }, (_, i) => [i + 4, "it's"]));
      await Promise.all(Array.from({ length: 50 }, (_, i) => c.query("select n from t where n = ?", [i])));
      await refused(() => c.query("select nonsense from t"));
      await c.query("delete from t where n > 3");
      await c.release();
      await pool.end();
    },
  },
  redis: {
    async connect() {
      const c = require("redis").createClient({ socket: { host, port: +port, ...(tls && { tls: true, ...tls }) } });
      return c.connect().then(() => c);
    },
    async ask(c, n) {
      await c.incr(`r${n}_a`);
      await Promise.all([c.set(`r${n}_b`, "v"), c.get(`r${n}_c`)]);
    },
    async play(c) {
      await c.set("k", "v");
      await c.select(1);
      await Promise.all(Array.from({ length: 300 }, () => c.incr("n")));
      await c.multi().incr("n").get("n").exec();
      await c.set("big", "x".repeat(3000000));
      await c.get("big");
      await refused(() => c.lPush("n", "x"));
      await c.quit();
    },
  },
  ioredis: {
    connect() {
      const Redis = require("ioredis");
      return new Redis({ host, port: +port, tls });
    },
    async ask(c, n) {
      await c.incr(`r${n}_a`);
      await c.pipeline().set(`r${n}_b`, "v").get(`r${n}_c`).exec();
    },
    async play(c) {
      await c.set("k", "v");
      const p = c.pipeline();
      for (let i = 0; i < 300; i++) p.incr("n");
      await p.exec();
      await c.multi().incr("n").get("n").exec();
      await c.set("big", "x".repeat(3000000));
      await c.get("big");
      await refused(() => c.lpush("n", "x"));
      await c.quit();
    },
  },
};

async function refused(action) {
  try {
    await action();
  } catch {
    return;
  }
  throw new Error("was not refused");
}

(async () => {
  if (web && DRIVER_IN === "worker" && isMainThread)
    return new Worker(__filename, { argv: process.argv.slice(2) });
  if (web && DRIVER_IN === "cluster" && cluster.isPrimary) return [1, 2].forEach(() => cluster.fork());
  const driver = drivers[name], c = await driver.connect();
  if (!web) return driver.play(c);
  http.createServer(async (request, response) => {
    await driver.ask(c, request.url.match(/\d+/)[0]);
    response.end("ok");
  }).listen({ port: +web, host, backlog: 256 });
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
