// SPDX-License-Identifier: Apache-2.0
// RabbitTasks.java publish PORT COUNT WAY...
// RabbitTasks.java consume PORT COUNT BACKEND WAY...
// Of each way COUNT messages, of which each is a call at its start and one at its end; prints the ways.
import com.rabbitmq.client.*;
import com.rabbitmq.client.impl.ForgivingExceptionHandler;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URL;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;

public class RabbitTasks {
    static final ConnectionFactory factory = new ConnectionFactory();
    static final ExecutorService own = Executors.newFixedThreadPool(3);
    static String backend;

    static void ask(String id, String what) {
        try {
            HttpURLConnection call = (HttpURLConnection) new URL(backend + id + "." + what).openConnection();
            call.getInputStream().readAllBytes();
        } catch (IOException error) {
            throw new RuntimeException(error);
        }
    }

    static int prefetchOf(String way) {
        String digits = way.replaceAll("[^0-9]", "");
        return digits.isEmpty() ? 10 : Integer.parseInt(digits);
    }

    static class One extends DefaultConsumer {
        final String way;
        final CountDownLatch left;

        One(Channel channel, String way, CountDownLatch left) {
            super(channel);
            this.way = way;
            this.left = left;
        }

        void settle(long tag) {
            try {
                if (!way.startsWith("auto") && !way.startsWith("throws") && !way.startsWith("early"))
                    getChannel().basicAck(tag, false);
            } catch (IOException error) {
                throw new RuntimeException(error);
            }
            left.countDown();
        }

        void finish(String id, long tag) {
            ask(id, "last");
            settle(tag);
        }

        @Override
        public void handleDelivery(String name, Envelope envelope, AMQP.BasicProperties properties, byte[] body)
                throws IOException {
            String id = properties.getMessageId();
            long tag = envelope.getDeliveryTag();
            if (way.startsWith("early"))
                getChannel().basicAck(tag, false);
            ask(id, "first");
            if (way.startsWith("nack") && !envelope.isRedeliver())
                getChannel().basicNack(tag, false, true);
            else if (way.startsWith("pool"))
                own.execute(() -> finish(id, tag));
            else if (way.startsWith("thread"))
                new Thread(() -> finish(id, tag)).start();
            else
                finish(id, tag);
            if (way.startsWith("throws"))
                throw new IllegalStateException("as it should");
        }
    }

    static void consume(String way, int count) throws Exception {
        boolean isMany = way.startsWith("many");
        if (way.startsWith("later")) // it serves somebody before it has a channel
            try (ServerSocket server = new ServerSocket(0);
                    Socket client = new Socket("127.0.0.1", server.getLocalPort());
                    Socket accepted = server.accept()) {
                client.getOutputStream().write("GET / HTTP/1.1\r\n\r\n".getBytes());
                accepted.getInputStream().read();
            }
        CountDownLatch left = new CountDownLatch(count);
        List<Connection> connections = new ArrayList<>();
        for (int i = 0; i < (isMany ? 2 : 1); i++) {
            Connection connection = factory.newConnection();
            connections.add(connection);
            for (int j = 0; j < (isMany ? 3 : 1); j++) {
                Channel channel = connection.createChannel();
                channel.basicQos(prefetchOf(way));
                boolean isAuto = way.startsWith("auto") || way.startsWith("throws");
                channel.basicConsume(way, isAuto, new One(channel, way, left));
            }
        }
        left.await(60, TimeUnit.SECONDS);
        for (Connection connection : connections)
            connection.close();
        System.out.println(way + " " + left.getCount());
    }

    static void publish(String way, int count) throws Exception {
        try (Connection connection = factory.newConnection(); Channel channel = connection.createChannel()) {
            channel.confirmSelect();
            channel.queueDeclare(way, false, false, false, null);
            for (int i = 0; i < count; i++)
                channel.basicPublish("", way, new AMQP.BasicProperties.Builder().messageId(way + "-" + i).build(),
                        new byte[10 + i * 7 % 3000]);
            channel.waitForConfirmsOrDie(20000);
        }
    }

    public static void main(String[] arguments) throws Exception {
        boolean consumes = arguments[0].equals("consume");
        int count = Integer.parseInt(arguments[2]);
        factory.setPort(Integer.parseInt(arguments[1]));
        factory.setHost("127.0.0.1");
        factory.setExceptionHandler(new ForgivingExceptionHandler() {
            @Override
            public void handleConsumerException(Channel channel, Throwable error, Consumer consumer, String tag,
                    String method) {
            }
        });
        if (consumes)
            backend = "http://127.0.0.1:" + arguments[3] + "/";
        for (int i = consumes ? 4 : 3; i < arguments.length; i++)
            if (consumes)
                consume(arguments[i], count);
            else
                publish(arguments[i], count);
        System.out.println("done");
        System.exit(0);
    }
}
