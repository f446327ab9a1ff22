// SPDX-License-Identifier: Apache-2.0
// What a program sees of its executors, once a connection was accepted: the same under the library.
import java.lang.ref.WeakReference;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;

public class Behaves {
    static void say(String what, Object value) {
        System.out.println(what + ": " + value);
    }

    static String trace(Throwable error) {
        var text = new StringBuilder(error.toString());
        for (var frame : error.getStackTrace())
            text.append(" < ").append(frame.toString().replaceAll("0x[0-9a-f]+", ""));
        return text.toString();
    }

    static class Own extends ThreadPoolExecutor {
        final StringBuffer seen = new StringBuffer();
        final Runnable expected;
        Own(Runnable expected) {
            super(1, 1, 0, TimeUnit.SECONDS, new LinkedBlockingQueue<>());
            this.expected = expected;
        }
        @Override protected void beforeExecute(Thread thread, Runnable task) {
            seen.append("before ").append(task == expected).append(thread == Thread.currentThread());
        }
        @Override protected void afterExecute(Runnable task, Throwable thrown) {
            seen.append(" after ").append(task == expected).append(" ").append(thrown);
        }
        @Override protected void terminated() {
            seen.append(" terminated");
        }
    }

    public static void main(String[] arguments) throws Exception {
        try (var server = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"));
             var client = new Socket(server.getInetAddress(), server.getLocalPort());
             var accepted = server.accept()) {
            say("accepted", accepted.isConnected());
        }
        var thrown = new CompletableFuture<String>();
        var pool = new ThreadPoolExecutor(1, 1, 0, TimeUnit.SECONDS, new ArrayBlockingQueue<>(1));
        var gate = new CountDownLatch(1);
        Callable<Boolean> wait = () -> {
            gate.await();
            return true;
        };
        var first = pool.submit(wait);
        Runnable second = () -> {
            throw new IllegalStateException("of a task");
        };
        pool.setThreadFactory(task -> {
            var thread = new Thread(task);
            thread.setUncaughtExceptionHandler((t, error) -> thrown.complete(trace(error)));
            return thread;
        });
        pool.execute(second);
        say("the queue has what was given", pool.getQueue().peek() == second);
        try {
            pool.execute(() -> {});
        } catch (RejectedExecutionException error) {
            say("rejected", trace(error).replaceAll("@[0-9a-f]+", "@"));
        }
        say("removed", pool.remove(second));
        pool.setRejectedExecutionHandler(new ThreadPoolExecutor.CallerRunsPolicy());
        pool.execute(second);
        var caller = new StringBuffer();
        pool.execute(() -> caller.append(Thread.currentThread().getName()));
        say("the caller runs", caller);
        gate.countDown();
        say("got", first.get());
        while (pool.getActiveCount() > 0)
            Thread.sleep(1);
        var fails = Executors.newFixedThreadPool(1, task -> {
            var thread = new Thread(task, "fails");
            thread.setUncaughtExceptionHandler((t, error) -> thrown.complete(trace(error)));
            return thread;
        });
        fails.execute(second);
        say("thrown", thrown.get());
        say("a new worker", fails.submit(() -> "works").get());
        try {
            fails.submit(() -> Integer.parseInt("none")).get();
        } catch (ExecutionException error) {
            say("thrown by a callable", trace(error.getCause()));
        }
        var interrupted = new CompletableFuture<String>();
        var started = new CountDownLatch(1);
        var sleeps = fails.submit(() -> {
            started.countDown();
            try {
                Thread.sleep(60000);
            } catch (InterruptedException error) {
                interrupted.complete("interrupted " + Thread.currentThread().isInterrupted());
            }
        });
        started.await();
        say("cancelled", sleeps.cancel(true));
        say("task", interrupted.get());
        var block = new CountDownLatch(1);
        var blocks = new CountDownLatch(1);
        var shut = new CompletableFuture<String>();
        fails.execute(() -> {
            blocks.countDown();
            try {
                block.await();
            } catch (InterruptedException error) {
                shut.complete("now");
            }
        });
        blocks.await();
        Runnable left = () -> say("never", "runs");
        fails.execute(left);
        say("not run", fails.shutdownNow().get(0) == left);
        say("shut down", shut.get());
        say("ends", fails.awaitTermination(10, TimeUnit.SECONDS));
        Runnable mine = () -> {};
        var own = new Own(mine);
        own.execute(mine);
        own.shutdown();
        own.awaitTermination(10, TimeUnit.SECONDS);
        say("hooks", own.seen);

        var forks = new ForkJoinPool(4);
        say("sum", forks.invoke(new Sum(0, 100000)));
        say("parallel", java.util.stream.IntStream.range(0, 10000).parallel().sum());
        try {
            forks.submit((Runnable) second).get();
        } catch (ExecutionException error) {
            say("of a fork", error.getCause());
        }
        try {
            CompletableFuture.supplyAsync(() -> Integer.parseInt("none"), forks).thenApply(x -> x + 1).join();
        } catch (CompletionException error) {
            say("of a stage", error.getCause());
        }
        say("both", CompletableFuture.supplyAsync(() -> 1, forks)
            .thenCombineAsync(CompletableFuture.supplyAsync(() -> 2), Integer::sum).get());

        var timer = new ScheduledThreadPoolExecutor(2);
        var count = new AtomicInteger();
        var periodic = timer.scheduleAtFixedRate(() -> {
            if (count.incrementAndGet() == 3)
                throw new IllegalStateException("third");
        }, 0, 1, TimeUnit.MILLISECONDS);
        try {
            periodic.get();
        } catch (ExecutionException error) {
            say("periodic", error.getCause() + " " + count);
        }
        say("delayed", timer.schedule(() -> "late", 2, TimeUnit.MILLISECONDS).get());
        timer.shutdown();
        say("ends", timer.awaitTermination(10, TimeUnit.SECONDS));

        var references = new ArrayList<WeakReference<Runnable>>();
        var some = Executors.newFixedThreadPool(2);
        for (int i = 0; i < 1000; i++) {
            var bytes = new byte[1000];
            Runnable task = () -> bytes[0]++;
            references.add(new WeakReference<>(task));
            some.execute(task);
        }
        some.shutdown();
        some.awaitTermination(10, TimeUnit.SECONDS);
        System.gc();
        say("collected", references.stream().allMatch(each -> each.get() == null));
        System.exit(0);
    }

    static class Sum extends RecursiveTask<Long> {
        final int from, to;
        Sum(int from, int to) {
            this.from = from;
            this.to = to;
        }
        @Override protected Long compute() {
            if (to - from < 10)
                return java.util.stream.LongStream.range(from, to).sum();
            var half = new Sum(from, (from + to) / 2);
            half.fork();
            return new Sum((from + to) / 2, to).compute() + half.join();
        }
    }
}
