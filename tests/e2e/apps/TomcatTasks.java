// SPDX-License-Identifier: Apache-2.0
// TomcatTasks PORT BACK: Tomcat, whose requests are answered by others than the threads that read them.
// /<way>/<n> calls the backend twice and answers.
import jakarta.servlet.AsyncContext;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.catalina.Context;
import org.apache.catalina.Wrapper;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;

public class TomcatTasks extends HttpServlet {
    static final ExecutorService pool = Executors.newFixedThreadPool(8);
    static String back;

    static void answer(AsyncContext asked, String path) {
        try {
            for (int k = 0; k < 2; k++)
                try (InputStream got = new URL("http://127.0.0.1:" + back + path + "." + k).openStream()) {
                    got.readAllBytes();
                }
            asked.getResponse().getOutputStream().write(path.getBytes());
        } catch (IOException failed) {
            failed.printStackTrace();
        }
        asked.complete();
    }

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) {
        String path = request.getRequestURI();
        AsyncContext asked = request.startAsync();
        Runnable work = () -> answer(asked, path);
        if (path.startsWith("/start/"))
            asked.start(work);
        else
            pool.execute(work);
    }

    public static void main(String[] arguments) throws Exception {
        back = arguments[1];
        String place = System.getenv("BURDOCK_DIR"); // it is removed
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(place);
        Connector connector = new Connector();
        connector.setPort(Integer.parseInt(arguments[0]));
        connector.setProperty("address", "127.0.0.1");
        connector.setProperty("maxKeepAliveRequests", "-1");
        tomcat.setConnector(connector);
        Context context = tomcat.addContext("", place);
        Wrapper servlet = Tomcat.addServlet(context, "tasks", new TomcatTasks());
        servlet.setAsyncSupported(true);
        context.addServletMappingDecoded("/*", "tasks");
        tomcat.start();
        tomcat.getServer().await();
    }
}
