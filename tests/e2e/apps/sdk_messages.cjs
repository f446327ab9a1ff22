// SPDX-License-Identifier: Apache-2.0
// As sdk_messages.py, by clients of Node: amqplib, kafkajs. NODE_PATH says where those are.
const [client, role, how, address, name, total] = process.argv.slice(2);
const count = Number(total);

const bodyOf = (number) => Buffer.from(`body ${number} \0\xff`, 'latin1');
const ownHeaders = (number) => (number % 2 ? { n: `${number}` } : {});
const literal = (bytes) => "b'" +
  Array.from(Buffer.from(bytes), (byte) => '\\x' + byte.toString(16).padStart(2, '0')).join('') + "'";
const tuples = (all) => '[' + all.map((one) => `(${one.join(', ')},), `).join('') + ']';

function tell(number, body, headers) {
  const sorted = Object.entries(headers || {}).sort((a, b) => (a[0] < b[0] ? -1 : 1));
  console.log(`('message', ${number}, ${literal(body)}, ` +
    `${tuples(sorted.map(([key, value]) => [`'${key}'`, literal(value)]))})`);
}

function instrument() {
  const { NodeTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } =
    require('@opentelemetry/sdk-trace-node');
  const { registerInstrumentations } = require('@opentelemetry/instrumentation');
  const [module, instrumentation] = { amqplib: ['amqplib', 'AmqplibInstrumentation'],
    kafkajs: ['kafkajs', 'KafkaJsInstrumentation'] }[client];
  const found = require(`@opentelemetry/instrumentation-${module}`);
  const exporter = new InMemorySpanExporter();
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  provider.register();
  registerInstrumentations({ tracerProvider: provider, instrumentations: [new found[instrumentation]()] });
  return [exporter, provider];
}

async function tellSpans([exporter, provider]) {
  const { SpanKind } = require('@opentelemetry/api');
  await provider.forceFlush();
  for (const span of exporter.getFinishedSpans()) {
    const { traceId, spanId } = span.spanContext();
    const parent = span.parentSpanContext ? span.parentSpanContext.spanId : '';
    const links = span.links.map(({ context }) => [`'${context.traceId}'`, `'${context.spanId}'`]);
    console.log(`('span', '${span.name}', '${SpanKind[span.kind]}', '${traceId}', '${spanId}', ` +
      `'${parent}', ${tuples(links)})`);
  }
}

async function amqplib() {
  const connection = await require('amqplib').connect(`amqp://127.0.0.1:${address}`);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(name, { durable: false });
  if (role === 'send')
    for (let number = 0; number < count; number++)
      await new Promise((resolve, reject) => channel.publish('', name, bodyOf(number),
        { messageId: `${number}`, headers: ownHeaders(number) },
        (error) => (error ? reject(error) : resolve())));
  else {
    let left = count;
    await channel.prefetch(1);
    await new Promise((resolve) => channel.consume(name, (message) => {
      tell(message.properties.messageId, message.content, message.properties.headers);
      channel.ack(message);
      if (--left === 0)
        resolve();
    }));
  }
  await channel.close();
  await connection.close();
}

async function kafkajs() {
  const { Kafka, logLevel } = require('kafkajs');
  const kafka = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING });
  if (role === 'send') {
    const producer = kafka.producer({ allowAutoTopicCreation: true });
    await producer.connect();
    for (let number = 0; number < count; number++)
      await producer.send({ topic: name, messages: [{ key: `${number}`, value: bodyOf(number),
        partition: 0, headers: ownHeaders(number) }] });
    await producer.disconnect();
    return;
  }
  const consumer = kafka.consumer({ groupId: `group-${process.pid}`, maxBytesPerPartition: 1 });
  let left = count;
  await consumer.connect();
  await consumer.subscribe({ topics: [name], fromBeginning: true });
  await new Promise((resolve) => consumer.run({ eachMessage: async ({ message }) => {
    tell(message.key.toString(), message.value, message.headers);
    if (--left === 0)
      resolve();
  } }));
  await consumer.disconnect();
}

async function main() {
  const spans = how === 'sdk' ? instrument() : null;
  await { amqplib, kafkajs }[client]();
  if (spans)
    await tellSpans(spans);
}

main().catch((error) => { console.error(error); process.exit(1); });
