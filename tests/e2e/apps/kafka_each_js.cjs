// SPDX-License-Identifier: Apache-2.0
// A consumer by kafkajs, whose place is the first argument, that works on each message, by a call of HTTP
// with its key as the path: as kafka_each_py.py.
//
//   each   eachMessage                        batch  eachBatch
//   some   only each third makes a call       pair   two partitions at once
//   async  what is called is not waited for   fail   now and then it throws, and is called again
const http = require('http');

const [place, how, bootstrap, topic, count, port] = process.argv.slice(2);
const { Kafka, logLevel } = require(place);
const kafka = new Kafka({ clientId: 'stock', brokers: [bootstrap], logLevel: logLevel.NOTHING,
  retry: { retries: 30, maxRetryTime: 2000, initialRetryTime: 50 } });
const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const literal = (bytes) => "b'" +
  Array.from(bytes, (byte) => '\\x' + byte.toString(16).padStart(2, '0')).join('') + "'";

function tell({ offset, key, value, headers }) {
  const told = Object.entries(headers).map(([name, content]) => `('${name}', ${literal(content)})`);
  console.log(`(${offset}, ${literal(key)}, ${literal(value)}, [${told.map((one) => one + ',').join('')}])`);
}

async function call(key) {
  await sleep(Math.random());
  await new Promise((resolve, reject) => http.get({ port, host: '127.0.0.1', path: '/' + key, agent },
    (answer) => answer.resume().on('end', resolve)).on('error', reject));
}

const failed = new Set();
async function main() {
  const consumer = kafka.consumer({ groupId: `g${process.pid}`, maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  let left = Number(count), over;
  const calls = [];
  async function work(message) {
    if (how === 'fail' && message.key % 10 === 3 && !failed.has(`${message.key}`)) {
      failed.add(`${message.key}`);
      throw new Error('again');
    }
    tell(message);
    if (how === 'async') calls.push(call(message.key));
    else if (how !== 'some' || message.key % 3 === 0) await call(message.key);
    if (--left === 0) over();
  }
  const done = new Promise((resolve) => { over = resolve; });
  await consumer.run(how === 'batch' ? {
    eachBatch: async ({ batch }) => { for (const message of batch.messages) await work(message); },
  } : { eachMessage: ({ message }) => work(message),
    partitionsConsumedConcurrently: how === 'pair' ? 2 : 1 });
  await done;
  await Promise.all(calls);
  await consumer.disconnect();
}

main().then(() => process.exit(), (error) => { console.error(error); process.exit(1); });
