// SPDX-License-Identifier: Apache-2.0
// A producer and a consumer by the Java client: as kafka_aio.py.
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class KafkaJava {
    public static void main(String[] what) throws Exception {
        int count = Integer.parseInt(what[3]);
        var settings = new HashMap<String, Object>(Map.of("bootstrap.servers", what[1], "client.id", "shop",
            "group.id", what[4], "auto.offset.reset", "earliest"));
        String[] security = System.getenv().getOrDefault("KAFKA_SECURITY", "PLAINTEXT").split(":");
        settings.put("security.protocol", security[0]);
        if (security.length > 1) {
            settings.put("sasl.mechanism", security[1]);
            settings.put("sasl.jaas.config", "org.apache.kafka.common.security." +
                (security[1].equals("PLAIN") ? "plain.Plain" : "scram.Scram") +
                "LoginModule required username=alice password=wonder;");
        }
        if (System.getenv("KAFKA_CODEC") != null)
            settings.put("compression.type", System.getenv("KAFKA_CODEC"));
        if (what[4].equals("wide"))
            settings.putAll(Map.of("batch.size", 200000, "linger.ms", 200));
        if (what[0].equals("send"))
            send(settings, what[2], count, what[4]);
        else
            take(settings, what[2], count);
    }

    static void send(Map<String, Object> settings, String topic, int count, String how) throws Exception {
        boolean isWide = how.equals("wide");
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < count; i++) {
                var record = new ProducerRecord<String, String>(topic, isWide ? i % 2 : 0, "" + i,
                    "value " + i + (isWide ? ".".repeat(300) : ""));
                if (i % 2 == 1)
                    record.headers().add("n", ("" + i).getBytes());
                var sent = producer.send(record);
                if (!how.equals("batch") && !isWide)
                    sent.get();
                if (how.equals("told"))
                    System.out.println(i);
            }
        }
    }

    static void take(Map<String, Object> settings, String topic, int count) {
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            while (count > 0)
                for (ConsumerRecord<String, String> message : consumer.poll(Duration.ofSeconds(1))) {
                    var headers = new StringBuilder();
                    for (Header header : message.headers())
                        headers.append("('" + header.key() + "', b'" + new String(header.value()) + "'),");
                    System.out.println("(" + message.offset() + ", b'" + message.key() + "', b'" +
                        message.value().replace("\0", "\\x00") + "', [" + headers + "])");
                    count--;
                }
        }
    }
}
