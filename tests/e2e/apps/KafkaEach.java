// SPDX-License-Identifier: Apache-2.0
// A consumer by the Java client that works on each record, by a call of HTTP with its key as the path:
// HOW BOOTSTRAP TOPIC COUNT PORT. It prints each record.
//
//   each    for (record : records)             forEach  records.forEach
//   stream  a stream's forEachOrdered          topic    records.records(topic)
//   lists   records.records(partition)         one      one a poll()
//   ahead   hasNext() before each is worked on break    the first of each poll(), of one
//   commit  each, committed one by one         some     only each third makes a call
//   gather  ten by ten, called when there are  pool     each in a pool of threads
//   wait    the same, waited for               pair     two consumers, a partition and a thread each
//   mix     now this, now that, some nothing   bytes    keys that are bytes
//   count   none makes a call, or is printed
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.StreamSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

public class KafkaEach {
    static String how, topic, port;
    static Map<String, Object> settings;
    static List<Thread> threads = new ArrayList<>();
    static ExecutorService pool = Executors.newFixedThreadPool(4);

    static String key(ConsumerRecord<?, String> record) {
        return record.key() instanceof byte[] ? new String((byte[]) record.key()) : (String) record.key();
    }

    static void call(ConsumerRecord<?, String> record) {
        try {
            var connection = (HttpURLConnection) new URL("http://127.0.0.1:" + port + "/" + key(record)).openConnection();
            try (InputStream answer = connection.getInputStream()) {
                answer.readAllBytes();
            }
        } catch (Exception error) {
            throw new RuntimeException(error);
        }
    }

    static void mix(ConsumerRecord<?, String> record) {
        switch (key(record).hashCode() % 5) {
        case 0:
            call(record);
            break;
        case 1:
            pool.execute(() -> call(record));
            break;
        case 2:
            CompletableFuture.runAsync(() -> call(record), pool).thenRun(() -> call(record));
            break;
        case 3:
            var thread = new Thread(() -> call(record));
            threads.add(thread);
            thread.start();
        }
    }

    static synchronized void tell(ConsumerRecord<?, String> record) {
        var headers = new StringBuilder();
        for (Header header : record.headers())
            headers.append("('" + header.key() + "', b'" + new String(header.value()) + "'),");
        System.out.println("(" + record.offset() + ", b'" + key(record) + "', b'" +
            record.value().replace("\0", "\\x00") + "', [" + headers + "])");
    }

    static class Consumer extends Thread {
        final List<ConsumerRecord<Object, String>> gathered = new ArrayList<>();
        KafkaConsumer<Object, String> consumer;
        final int partition;
        int left;

        Consumer(int count, int partition) {
            left = count;
            this.partition = partition;
        }

        void take(ConsumerRecord<Object, String> record) {
            left--;
            if (how.equals("count"))
                return;
            tell(record);
            switch (how) {
            case "gather":
                gathered.add(record);
                if (gathered.size() == 10) {
                    gathered.forEach(KafkaEach::call);
                    gathered.clear();
                }
                break;
            case "pool":
                pool.execute(() -> call(record));
                break;
            case "wait":
                try {
                    pool.submit(() -> call(record)).get();
                } catch (Exception error) {
                    throw new RuntimeException(error);
                }
                break;
            case "mix":
                mix(record);
                break;
            case "some":
                if (Integer.parseInt(key(record)) % 3 == 0)
                    call(record);
                break;
            default:
                call(record);
            }
            if (how.equals("commit"))
                consumer.commitSync();
        }

        void take(ConsumerRecords<Object, String> records) {
            switch (how) {
            case "forEach":
                records.forEach(this::take);
                break;
            case "stream":
                StreamSupport.stream(records.spliterator(), false).forEachOrdered(this::take);
                break;
            case "topic":
                for (var record : records.records(topic))
                    take(record);
                break;
            case "lists":
                for (TopicPartition one : records.partitions())
                    for (var record : records.records(one))
                        take(record);
                break;
            case "break":
                for (var record : records) {
                    take(record);
                    break;
                }
                break;
            case "ahead":
                Iterator<ConsumerRecord<Object, String>> iterator = records.iterator();
                while (iterator.hasNext()) {
                    var record = iterator.next();
                    iterator.hasNext();
                    take(record);
                }
                break;
            default:
                for (var record : records)
                    take(record);
            }
        }

        @SuppressWarnings("unchecked")
        public void run() {
            var keys = (Deserializer<Object>) (Object) (
                how.equals("bytes") ? new ByteArrayDeserializer() : new StringDeserializer());
            consumer = new KafkaConsumer<>(settings, keys, new StringDeserializer());
            if (partition < 0)
                consumer.subscribe(List.of(topic));
            else
                consumer.assign(List.of(new TopicPartition(topic, partition)));
            while (left > 0)
                take(consumer.poll(Duration.ofSeconds(1)));
            consumer.close();
        }
    }

    public static void main(String[] what) throws Exception {
        how = what[0];
        topic = what[2];
        port = what[4];
        int count = Integer.parseInt(what[3]);
        settings = new HashMap<>(Map.of("bootstrap.servers", what[1], "client.id", "stock",
            "auto.offset.reset", "earliest", "group.id", "g" + ProcessHandle.current().pid()));
        if (how.equals("one") || how.equals("break"))
            settings.put("max.poll.records", 1);
        if (how.equals("pair")) {
            Thread[] both = {new Consumer((count + 1) / 2, 0), new Consumer(count / 2, 1)};
            for (Thread one : both)
                one.start();
            for (Thread one : both)
                one.join();
        } else
            new Consumer(count, -1).run();
        for (Thread thread : threads)
            thread.join();
        pool.shutdown();
        pool.awaitTermination(1, TimeUnit.MINUTES);
    }
}
