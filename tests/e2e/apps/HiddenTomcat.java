// SPDX-License-Identifier: Apache-2.0
// HiddenTomcat JARS: Tomcat's executor by a loader that, as OSGi's do, finds nothing but the JDK's beside it.
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public class HiddenTomcat {
    static class Loader extends ClassLoader {
        final URLClassLoader jars;

        Loader(URL[] urls) {
            super(null);
            jars = new URLClassLoader(urls, null);
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolves) throws ClassNotFoundException {
            Class<?> known = findLoadedClass(name);
            if (known != null || name.startsWith("java."))
                return known != null ? known : Class.forName(name, false, null);
            try (InputStream in = jars.getResourceAsStream(name.replace('.', '/') + ".class")) {
                if (in == null)
                    throw new ClassNotFoundException(name);
                byte[] bytes = in.readAllBytes();
                return defineClass(name, bytes, 0, bytes.length);
            } catch (IOException failed) {
                throw new ClassNotFoundException(name, failed);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        String[] paths = arguments[0].split(":");
        URL[] urls = new URL[paths.length];
        for (int i = 0; i < paths.length; i++)
            urls[i] = new File(paths[i]).toURI().toURL();
        ExecutorService executor = (ExecutorService) new Loader(urls)
                .loadClass("org.apache.tomcat.util.threads.ThreadPoolExecutor")
                .getConstructor(int.class, int.class, long.class, TimeUnit.class, BlockingQueue.class)
                .newInstance(1, 1, 1L, TimeUnit.SECONDS, new LinkedBlockingQueue<Runnable>());
        executor.submit(() -> System.out.println("before")).get();
        try (ServerSocket server = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
                Socket client = new Socket(server.getInetAddress(), server.getLocalPort())) {
            server.accept().close();
        }
        for (int i = 0; i < 4; i++)
            executor.submit(() -> System.out.println("after")).get();
        executor.shutdown();
        System.out.println(executor.awaitTermination(5, TimeUnit.SECONDS));
    }
}
