// SPDX-License-Identifier: Apache-2.0
// A consumer by amqplib, whose place is the first argument: amqp_worker.cjs AMQPLIB PORT COUNT PREFETCH
// each|first|last|none promise|callback|queue HTTP_PORT: asks for /echo?ID twice while it works on ID, with
// waits in between; or as the tasks of a queue of its own, of which two are at work at a time. What
// came is printed, one line a message, and then the promises that were rejected.
"use strict";
const http = require("http");
const { createHash } = require("crypto");
const [place, port, total, prefetch, ack, how, httpPort] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });
const count = Number(total);

const get = (path) => new Promise((resolve, reject) => http.get({ agent, host: "127.0.0.1",
  port: httpPort, path }, (answer) => answer.resume().on("end", resolve)).on("error", reject));
const waits = [async () => {}, () => new Promise(setImmediate), () => new Promise((resolve) =>
  setTimeout(resolve, 1)), () => new Promise((resolve) => setTimeout(resolve, 5))];

const waiting = [];
let atWork = 0;
function begin() {
  for (; atWork < 2 && waiting.length > 0; atWork++)
    waiting.shift()().then(() => {
      atWork--;
      begin();
    });
}

async function main() {
  const connection = await require(place).connect(`amqp://127.0.0.1:${port}`);
  const channel = await connection.createChannel();
  await channel.prefetch(Number(prefetch));
  const lines = [];
  let finish;
  const finished = new Promise((resolve) => { finish = resolve; });
  process.on("unhandledRejection", ({ message }) => lines.push(message));

  async function work(message) {
    const id = Number(message.properties.messageId);
    await waits[id % 4]();
    await get(`/echo?${id}`);
    await waits[(id >> 2) % 4]();
    await get(`/echo?${id}`);
    lines.push(`${id} ${createHash("sha256").update(message.content).digest("hex")}`);
    if (ack === "each") channel.ack(message);
    if (lines.filter((line) => !line.startsWith("no")).length === count) finish();
    if (id % 10 === 0) throw new Error(`no ${id}`);
  }

  function onMessage(message) {
    if (ack === "first") channel.ack(message);
    if (how === "promise") return work(message);
    if (how === "callback") return void work(message);
    waiting.push(() => work(message).catch(() => {}));
    begin();
  }
  await channel.consume("work", onMessage, { noAck: ack === "none" });
  await finished;
  await new Promise(setImmediate);
  if (ack === "last") channel.ackAll();
  lines.sort().forEach((line) => console.log(line));
  await channel.close();
  await connection.close();
  agent.destroy();
}

main();
