// SPDX-License-Identifier: Apache-2.0
// JettyTasks PORT BACK: Jetty, whose threads take turns at its selectors.
// /<way>/<n> calls the backend twice and answers.
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import javax.servlet.AsyncContext;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.handler.AbstractHandler;
import org.eclipse.jetty.util.thread.QueuedThreadPool;

public class JettyTasks extends AbstractHandler {
    static final ExecutorService pool = Executors.newFixedThreadPool(8);
    static final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    static QueuedThreadPool own;
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

    static void write(HttpServletResponse response, String path) {
        try {
            response.getOutputStream().write(path.getBytes());
        } catch (IOException failed) {
            failed.printStackTrace();
        }
    }

    static void answer(AsyncContext asked, String path) {
        call(path, 0, 2);
        write((HttpServletResponse) asked.getResponse(), path);
        asked.complete();
    }

    static final BlockingQueue<Runnable> items = new LinkedBlockingQueue<>();
    static int started;

    /* What works for all is started by whoever comes first. */
    static void startConsumer(String path) {
        Runnable consumer = () -> {
            try {
                while (!path.isEmpty())
                    items.take().run();
            } catch (InterruptedException end) {
                return;
            }
        };
        if (++started > 8)
            return;
        if (started % 2 == 0)
            pool.execute(consumer);
        else
            new Thread(consumer).start();
    }

    void answerOnce(HttpServletRequest request, HttpServletResponse response, String path) throws IOException {
        if (path.startsWith("/consumer/")) {
            AsyncContext asked = request.startAsync();
            synchronized (items) {
                startConsumer(path);
            }
            items.add(() -> answer(asked, path));
        } else if (path.startsWith("/start/") || path.startsWith("/pool/") || path.startsWith("/own/")) {
            AsyncContext asked = request.startAsync();
            Runnable work = () -> answer(asked, path);
            if (path.startsWith("/start/"))
                asked.start(work);
            else
                (path.startsWith("/pool/") ? pool : own).execute(work);
        } else if (path.startsWith("/dispatch/")) {
            if (request.getAttribute("again") == null) {
                request.setAttribute("again", "yes");
                AsyncContext asked = request.startAsync();
                pool.execute(() -> {
                    call(path, 0, 1);
                    asked.dispatch();
                });
            } else {
                call(path, 1, 2);
                write(response, path);
            }
        } else if (path.startsWith("/after/")) {
            call(path, 0, 1);
            response.setContentLength(path.length());
            write(response, path);
            response.flushBuffer();
            response.getOutputStream().close();
            call(path, 1, 2);
        } else if (path.startsWith("/client/")) {
            try {
                for (int k = 0; k < 2; k++)
                    client.send(HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + back + path + "." + k)).build(),
                            HttpResponse.BodyHandlers.ofString());
            } catch (InterruptedException failed) {
                failed.printStackTrace();
            }
            write(response, path);
        } else {
            call(path, 0, 2);
            write(response, path);
        }
    }

    @Override
    public void handle(String target, Request base, HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        base.setHandled(true);
        request.getInputStream().readAllBytes();
        answerOnce(request, response, base.getRequestURI());
    }

    public static void main(String[] arguments) throws Exception {
        back = arguments[1];
        own = new QueuedThreadPool(64);
        Server server = new Server(own);
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(arguments[0]));
        server.addConnector(connector);
        server.setHandler(new JettyTasks());
        server.start();
        server.join();
    }
}
