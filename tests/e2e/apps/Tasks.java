// SPDX-License-Identifier: Apache-2.0
// /<way>/<number> makes its calls, to /<way>/<number>.<k>, on threads of executors, and answers how
// many they are.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URL;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RecursiveAction;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

public class Tasks {
    static String back;
    static final ExecutorService pool = Executors.newFixedThreadPool(8);
    static final ScheduledExecutorService timer = Executors.newScheduledThreadPool(8);
    static final ForkJoinPool forks = new ForkJoinPool(8);
    // A class of its own that tells nothing to the one above it.
    static final ExecutorService own = new ThreadPoolExecutor(
        8, 8, 0, TimeUnit.SECONDS, new LinkedBlockingQueue<>()) {
        @Override protected void beforeExecute(Thread thread, Runnable task) {}
        @Override protected void afterExecute(Runnable task, Throwable thrown) {}
    };
    static final Queue<CompletableFuture<Void>> waiting = new ConcurrentLinkedQueue<>();
    static final Queue<Runnable> mailbox = new ConcurrentLinkedQueue<>();
    static final AtomicBoolean busy = new AtomicBoolean(), ticks = new AtomicBoolean();
    // Works for whoever has put something there, as one object for all.
    static final Runnable postman = new Runnable() {
        @Override public void run() {
            for (Runnable work; (work = mailbox.poll()) != null;)
                work.run();
            busy.set(false);
            if (!mailbox.isEmpty())
                call_postman();
        }
    };

    static final ExecutorService virtual = virtual();
    static final Semaphore turns = new Semaphore(4);

    static ExecutorService virtual() {
        try { // from 21 on
            return (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor")
                .invoke(null);
        } catch (ReflectiveOperationException error) {
            return null;
        }
    }

    static void call_postman() {
        if (busy.compareAndSet(false, true))
            pool.execute(postman);
    }

    static void call(String path) {
        try (var answer = new URL(back + path).openStream()) {
            answer.readAllBytes();
        } catch (IOException error) {
            throw new RuntimeException(error);
        }
    }

    static void reply(HttpExchange exchange, int count) {
        try {
            byte[] body = Integer.toString(count).getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        } catch (IOException error) {
            throw new RuntimeException(error);
        }
    }

    static class Fork extends RecursiveAction {
        final String path;
        final int from, to;
        Fork(String path, int from, int to) {
            this.path = path;
            this.from = from;
            this.to = to;
        }
        @Override protected void compute() {
            if (to - from == 1)
                call(path + from);
            else
                invokeAll(new Fork(path, from, (from + to) / 2), new Fork(path, (from + to) / 2, to));
        }
    }

    static void handle(HttpExchange exchange) throws IOException {
        String way = exchange.getRequestURI().getPath().split("/")[1];
        String path = exchange.getRequestURI().getPath().substring(1) + ".";
        Runnable work = () -> {
            call(path + 0);
            call(path + 1);
            reply(exchange, 2);
        };
        switch (way) {
            case "pool" -> pool.execute(work);
            case "own" -> own.execute(work);
            case "submit" -> {
                try {
                    pool.submit(() -> call(path + 0)).get();
                } catch (Exception error) {
                    throw new IOException(error);
                }
                reply(exchange, 1);
            }
            case "scheduled" -> timer.schedule(work, 3, TimeUnit.MILLISECONDS);
            case "supply" -> CompletableFuture.runAsync(work);
            case "stages" -> CompletableFuture.runAsync(() -> call(path + 0), pool)
                .thenRunAsync(() -> call(path + 1), forks).thenRun(() -> reply(exchange, 2));
            case "forks" -> {
                forks.invoke(new Fork(path, 0, 4));
                reply(exchange, 4);
            }
            case "handed" -> { // the future of one request is completed by another
                var own = new CompletableFuture<Void>();
                own.thenRun(() -> call(path + 0)).thenRun(() -> reply(exchange, 2));
                waiting.add(own);
                pool.execute(() -> {
                    call(path + 1);
                    waiting.poll().complete(null);
                });
            }
            case "mailbox" -> {
                mailbox.add(work);
                call_postman();
            }
            case "virtual" -> virtual.execute(() -> { // who lets go wakes who waits
                for (int i = 0; i < 2; i++) {
                    turns.acquireUninterruptibly();
                    call(path + i);
                    turns.release();
                }
                reply(exchange, 2);
            });
            case "background" -> {
                pool.execute(() -> {
                    try {
                        Thread.sleep(20);
                    } catch (InterruptedException error) {
                        return;
                    }
                    call(path + 0);
                });
                reply(exchange, 1);
            }
            case "ticks" -> {
                if (!ticks.getAndSet(true))
                    timer.scheduleAtFixedRate(() -> call("tick"), 5, 5, TimeUnit.MILLISECONDS);
                pool.execute(work);
            }
        }
    }

    public static void main(String[] arguments) throws IOException {
        back = "http://127.0.0.1:" + arguments[1] + "/";
        var server = HttpServer.create(
            new InetSocketAddress(InetAddress.getByName("127.0.0.1"), Integer.parseInt(arguments[0])),
            1024);
        server.createContext("/", Tasks::handle);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
    }
}
