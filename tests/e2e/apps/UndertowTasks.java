// SPDX-License-Identifier: Apache-2.0
// UndertowTasks PORT BACK: Undertow, which reads in its loops and answers in its workers.
// /<way>/<n> calls the backend twice and answers.
import io.undertow.Undertow;
import io.undertow.server.HttpServerExchange;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

public class UndertowTasks {
    static final ExecutorService pool = Executors.newFixedThreadPool(8);
    static String back;

    static void call(String path, int first, int end) {
        try {
            for (int k = first; k < end; k++)
                try (InputStream got = new URL("http://127.0.0.1:" + back + path + "." + k).openStream()) {
                    got.readAllBytes();
                }
        } catch (IOException failed) {
            failed.printStackTrace();
        }
    }

    static void answer(HttpServerExchange exchange) {
        String path = exchange.getRequestPath();
        boolean isAfter = path.startsWith("/after/");
        call(path, 0, isAfter ? 1 : 2);
        exchange.getResponseSender().send(path);
        if (isAfter)
            call(path, 1, 2);
    }

    static void blocking(HttpServerExchange exchange) throws IOException {
        exchange.startBlocking();
        exchange.getInputStream().readAllBytes();
        String path = exchange.getRequestPath();
        call(path, 0, 2);
        exchange.getOutputStream().write(path.getBytes());
        exchange.getOutputStream().close();
    }

    static void handle(HttpServerExchange exchange) {
        String path = exchange.getRequestPath();
        if (path.startsWith("/loop/"))
            answer(exchange);
        else if (path.startsWith("/pool/"))
            exchange.dispatch(pool, () -> answer(exchange));
        else if (path.startsWith("/blocking/"))
            exchange.dispatch(UndertowTasks::blocking);
        else
            exchange.dispatch(() -> answer(exchange));
    }

    public static void main(String[] arguments) {
        back = arguments[1];
        Undertow.builder().addHttpListener(Integer.parseInt(arguments[0]), "127.0.0.1")
                .setHandler(UndertowTasks::handle).build().start();
    }
}
