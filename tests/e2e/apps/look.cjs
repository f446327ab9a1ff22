// SPDX-License-Identifier: Apache-2.0
// Prints what a program can see of who else is in it: before its first request, inside it, and in a
// worker and a child.
"use strict";
const loaded = process.moduleLoadList.join(" ");
const childProcess = require("child_process");
const http = require("http");
const Module = require("module");
const { Worker, isMainThread } = require("worker_threads");

const ours = /^(LD_PRELOAD|BURDOCK_\w+|OTEL_\w+|_)$/;

function look(where) {
  const { env, execArgv, argv } = process;
  const entries = Object.entries(env).filter(([name]) => !ours.test(name));
  const names = entries.map(([name]) => name).join();
  console.log(where, JSON.stringify({
    env: entries.sort().join("\n"),
    order: isMainThread && names, // a worker's is any
    execArgv,
    argv: argv.length,
    preloaded: process._preload_modules,
    cache: Object.keys(require.cache),
    paths: Object.values(Module._pathCache).filter((path) => !path.endsWith("look.cjs")),
    children: module.children.map(({ id }) => id),
    handles: process._getActiveHandles().map((handle) => handle.constructor.name).sort(),
    requests: process._getActiveRequests().length,
    globals: Object.getOwnPropertyNames(globalThis),
    listeners: process.eventNames().map(String),
  }));
}

function ask(port, path, options = {}) {
  return new Promise((resolve) => {
    http.get({ port, path, host: "127.0.0.1", ...options }, (answer) => {
      let body = "";
      answer.on("data", (chunk) => (body += chunk)).on("end", () => resolve(body));
    });
  });
}

async function main() {
  console.log(loaded);
  look("first");
  const server = http.createServer((request, response) => {
    if (request.url === "/inner") return response.end("inner");
    look("request");
    console.log(new Error("where").stack.split("\n").slice(1).map((line) => line.trim()).join("; "));
    console.log(Object.getOwnPropertySymbols(response).map(String).join(),
      Object.keys(request).join(), Object.keys(request.socket._handle).join());
    ask(server.address().port, "/inner").then((text) => response.end(text));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const agent = new http.Agent({ keepAlive: true });
  console.log(await ask(server.address().port, "/", { agent }));
  console.log(await ask(server.address().port, "/again", { agent }));
  agent.destroy();
  server.close();
  await new Promise((resolve) => server.once("close", resolve));
  try {
    const child = childProcess.spawnSync(process.execPath, ["-p", "process.env.NODE_OPTIONS"]);
    console.log("child", child.status, String(child.stdout), String(child.stderr));
    await new Promise((resolve) => new Worker(__filename).on("exit", resolve));
  } catch (error) {
    console.log(error.code);
  }
}

if (isMainThread) main();
else look("worker");
