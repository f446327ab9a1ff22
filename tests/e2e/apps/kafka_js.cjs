// SPDX-License-Identifier: Apache-2.0
// A producer and a consumer by kafkajs, whose place is the first argument: as kafka_aio.py, but that a
// batch is one call.
const fs = require('fs');

const [place, what, bootstrap, topic, count, group] = process.argv.slice(2);
const { Kafka, CompressionTypes, logLevel } = require(place);
const [protocol, mechanism] = (process.env.KAFKA_SECURITY || 'PLAINTEXT').split(':');
const settings = { clientId: what === 'send' ? 'shop' : 'stock', brokers: [bootstrap],
  logLevel: logLevel.NOTHING, retry: { retries: 30, maxRetryTime: 2000 } };
if (mechanism)
  settings.sasl = { mechanism: mechanism.toLowerCase(), username: 'alice', password: 'wonder' };
if (protocol.endsWith('SSL'))
  settings.ssl = { ca: [fs.readFileSync(process.env.KAFKA_CA)] };
const compression = process.env.KAFKA_CODEC === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None;
const kafka = new Kafka(settings);

const message = (i) => ({ key: `${i}`, value: `value ${i} \0`, partition: group === 'pair' ? i % 2 : 0,
  headers: i % 2 ? { n: `${i}` } : undefined });
const literal = (bytes) => "b'" +
  Array.from(bytes, (byte) => '\\x' + byte.toString(16).padStart(2, '0')).join('') + "'";

async function send() {
  const producer = kafka.producer({ allowAutoTopicCreation: true, idempotent: group === 'told',
    maxInFlightRequests: 1 });
  await producer.connect();
  const all = Array.from({ length: Number(count) }, (_, i) => message(i));
  const calls = group === 'batch' ? [all] : all.map((one) => [one]);
  for (const [i, messages] of calls.entries()) {
    await producer.send({ topic, messages, compression });
    if (group === 'told')
      console.log(i);
  }
  await producer.disconnect();
}

async function take() {
  const consumer = kafka.consumer({ groupId: `${group}-${process.pid}` });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  let left = Number(count);
  await new Promise((resolve) => consumer.run({ eachMessage: async ({ message: came }) => {
    if (left <= 0)
      return;
    const headers = Object.entries(came.headers).map(([name, value]) => `('${name}', ${literal(value)})`);
    console.log(`(${came.offset}, ${literal(came.key)}, ${literal(came.value)}, ` +
      `[${headers.map((one) => one + ',').join('')}])`);
    if (--left === 0)
      resolve();
  } }));
  await consumer.disconnect();
}

(what === 'send' ? send() : take()).catch((error) => { console.error(error); process.exit(1); });
