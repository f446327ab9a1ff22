# SPDX-License-Identifier: Apache-2.0
"""A producer and a consumer of messages, with or without OpenTelemetry's SDK and its instrumentation of
the client:

  sdk_messages.py CLIENT send|take bare|sdk ADDRESS NAME COUNT

Of each message that came, in order: ("message", number, body, headers), but for AMQP's empty ones; then of
each span of the SDK's, in order: ("span", name, kind, trace, id, parent, links). With
OUTER=traceparent|tracestate|baggage the SDK is at work on a request that carried these.
"""
import asyncio
import importlib
import os
import sys

CLIENT, ROLE, HOW, ADDRESS, NAME, COUNT = sys.argv[1:]
COUNT = int(COUNT)
PATIENCE = 60
INSTRUMENTORS = {"pika": ("pika", "PikaInstrumentor"), "kafka": ("kafka", "KafkaInstrumentor"),
                 "aiokafka": ("aiokafka", "AIOKafkaInstrumentor"),
                 "confluent": ("confluent_kafka", "ConfluentKafkaInstrumentor")}


def body_of(number):
    return b"body %d \0\xff" % number


def own_headers(number):
    return [("n", b"%d" % number)] if number % 2 else []


def tell(number, body, headers):
    print(("message", int(number), body, headers), flush=True)


def instrument():
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    module, name = INSTRUMENTORS[CLIENT]
    if "OUTER" in os.environ:
        from opentelemetry import context, propagate
        context.attach(propagate.extract(dict(zip(
            ("traceparent", "tracestate", "baggage"), os.environ["OUTER"].split("|")))))
    found = importlib.import_module("opentelemetry.instrumentation." + module)
    getattr(found, name)().instrument(tracer_provider=provider)
    return exporter


def tell_spans(exporter):
    for span in exporter.get_finished_spans():
        print(("span", span.name, span.kind.name, "%032x" % span.context.trace_id,
               "%016x" % span.context.span_id, "%016x" % span.parent.span_id if span.parent else "",
               [("%032x" % link.context.trace_id, "%016x" % link.context.span_id)
                for link in span.links]), flush=True)


def pika():
    import pika
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(ADDRESS)))
    channel = connection.channel()
    channel.queue_declare(NAME)

    def send():
        channel.confirm_delivery()
        for number in range(COUNT):
            headers = {name: value.decode() for name, value in own_headers(number)} or None
            channel.basic_publish("", NAME, body_of(number), pika.BasicProperties(
                message_id=str(number), headers=headers))

    def take():
        left = COUNT

        def on_message(channel, method, properties, body):
            nonlocal left
            tell(properties.message_id, body, sorted((properties.headers or {}).items()))
            channel.basic_ack(method.delivery_tag)
            left -= 1
            if left == 0:
                channel.stop_consuming()

        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(NAME, on_message)
        channel.start_consuming()

    {"send": send, "take": take}[ROLE]()
    connection.close()


def kafka():
    import kafka

    def send():
        producer = kafka.KafkaProducer(bootstrap_servers=ADDRESS)
        for number in range(COUNT):
            producer.send(NAME, body_of(number), b"%d" % number, own_headers(number), 0).get(PATIENCE)
        producer.close()

    def take():
        consumer = kafka.KafkaConsumer(bootstrap_servers=ADDRESS, auto_offset_reset="earliest",
                                       max_partition_fetch_bytes=1)  # a message at a time
        consumer.assign([kafka.TopicPartition(NAME, 0)])
        for _ in range(COUNT):
            message = next(consumer)
            tell(message.key, message.value, sorted(message.headers))
        consumer.close()

    {"send": send, "take": take}[ROLE]()


def aiokafka():
    import aiokafka

    async def send():
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=ADDRESS)
        await producer.start()
        for number in range(COUNT):
            await producer.send_and_wait(NAME, body_of(number), b"%d" % number, 0,
                                         headers=own_headers(number))
        await producer.stop()

    async def take():
        consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=ADDRESS, auto_offset_reset="earliest",
                                             max_partition_fetch_bytes=1)
        consumer.assign([aiokafka.TopicPartition(NAME, 0)])
        await consumer.start()
        for _ in range(COUNT):
            message = await consumer.getone()
            tell(message.key, message.value, sorted(message.headers))
        await consumer.stop()

    asyncio.run({"send": send, "take": take}[ROLE]())


def confluent():
    import confluent_kafka

    def send():
        producer = confluent_kafka.Producer({"bootstrap.servers": ADDRESS})
        for number in range(COUNT):
            producer.produce(NAME, body_of(number), key=b"%d" % number, partition=0,
                             headers=own_headers(number))
        assert producer.flush(PATIENCE) == 0

    def take():
        consumer = confluent_kafka.Consumer({"bootstrap.servers": ADDRESS, "group.id": "takers",
                                             "auto.offset.reset": "earliest"})
        consumer.assign([confluent_kafka.TopicPartition(NAME, 0, 0)])
        for _ in range(COUNT):
            message = consumer.poll(PATIENCE)
            tell(message.key(), message.value(), sorted(message.headers() or []))
        consumer.close()

    {"send": send, "take": take}[ROLE]()


spans = instrument() if HOW == "sdk" else None
globals()[CLIENT]()
if spans:
    tell_spans(spans)
