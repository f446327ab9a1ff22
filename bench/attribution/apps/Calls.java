// SPDX-License-Identifier: Apache-2.0
// The JDK's own server and clients; /<cell>/<token> answers with the token after two calls.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

public class Calls {
    static final String BACK = "http://127.0.0.1:" + System.getenv("BACK_HTTP") + "/";
    static final ExecutorService second = Executors.newFixedThreadPool(16);
    static final ScheduledExecutorService timer = Executors.newScheduledThreadPool(16);
    static final HttpClient client =
        HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    static void call(String token, int k) {
        try (var answer = new URL(BACK + token + "." + k).openStream()) {
            answer.readAllBytes();
        } catch (IOException error) {
            throw new RuntimeException(error);
        }
    }

    static void twice(String token) {
        call(token, 0);
        call(token, 1);
    }

    static void reply(HttpExchange exchange, String token) {
        try {
            byte[] body = token.getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        } catch (IOException error) {
            throw new RuntimeException(error);
        }
    }

    static CompletableFuture<HttpResponse<String>> send(String token, int k) {
        var request = HttpRequest.newBuilder(URI.create(BACK + token + "." + k)).build();
        return client.sendAsync(request, HttpResponse.BodyHandlers.ofString());
    }

    static void handle(HttpExchange exchange) throws IOException {
        String[] parts = exchange.getRequestURI().getPath().split("/");
        String token = parts[2];
        Runnable work = () -> {
            twice(token);
            reply(exchange, token);
        };
        switch (parts[1]) {
            case "sync" -> work.run();
            case "pool" -> second.execute(work);
            case "submit" -> {
                try {
                    second.submit(() -> twice(token)).get();
                } catch (Exception error) {
                    throw new IOException(error);
                }
                reply(exchange, token);
            }
            case "scheduled" -> timer.schedule(work, 3, TimeUnit.MILLISECONDS);
            case "supply" -> CompletableFuture.supplyAsync(() -> {
                twice(token);
                return token;
            }).thenAccept(answer -> reply(exchange, answer));
            case "async" -> send(token, 0).thenCompose(first -> send(token, 1))
                .thenAccept(last -> reply(exchange, token));
        }
    }

    public static void main(String[] arguments) throws IOException {
        System.setProperty("http.maxConnections", "64");
        int port = Integer.parseInt(System.getenv("APP_PORT"));
        var server = HttpServer.create(
            new InetSocketAddress(InetAddress.getByName("127.0.0.1"), port), 1024);
        server.createContext("/", Calls::handle);
        server.setExecutor(Executors.newFixedThreadPool(64));
        server.start();
    }
}
