// SPDX-License-Identifier: Apache-2.0
// Drivers of Java, as driver.py: Driver NAME PORT plain|tls|compressed [HTTP_PORT]
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.sql.*;
import java.util.concurrent.*;

public class Driver {
    interface Use { void with(Object connection) throws Exception; }

    static String name, port, how;

    static Object connect() throws Exception {
        boolean tls = how.equals("tls");
        if (name.equals("postgresql"))
            return DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + port
                + "/postgres?user=postgres&sslmode=" + (tls ? "require" : "disable"));
        if (name.equals("mariadb"))
            return DriverManager.getConnection("jdbc:mariadb://127.0.0.1:" + port
                + "/shop?user=app&password=correcthorse&useServerPrepStmts=true"
                + (tls ? "&useSsl=true&trustServerCertificate=true" : "")
                + (how.equals("compressed") ? "&useCompression=true" : ""));
        return Class.forName("redis.clients.jedis.Jedis").getConstructor(String.class, int.class)
            .newInstance("127.0.0.1", Integer.parseInt(port));
    }

    static Object call(Object o, String method, String... words) throws Exception {
        Class<?>[] types = new Class<?>[words.length];
        java.util.Arrays.fill(types, String.class);
        return o.getClass().getMethod(method, types).invoke(o, (Object[]) words);
    }

    static void ask(Object o, String n) throws Exception {
        if (name.equals("jedis")) {
            call(o, "incr", "r" + n + "_a");
            Object p = o.getClass().getMethod("pipelined").invoke(o);
            call(p, "set", "r" + n + "_b", "v");
            call(p, "get", "r" + n + "_c");
            call(p, "sync");
            return;
        }
        for (String part : "a b c".split(" "))
            try (PreparedStatement s = ((Connection) o).prepareStatement(
                     "SELECT " + (name.equals("mariadb") ? "?" : "?::int") + " AS r" + n + "_" + part)) {
                s.setInt(1, 7);
                s.executeQuery().next();
            }
    }

    static void refused(Callable<?> action) throws Exception {
        try {
            action.call();
        } catch (SQLException expected) {
            return;
        }
        throw new Exception("was not refused");
    }

    static void play(Object o) throws Exception {
        if (name.equals("jedis")) {
            call(o, "set", "k", "v");
            Object p = o.getClass().getMethod("pipelined").invoke(o);
            for (int i = 0; i < 300; i++)
                call(p, "incr", "n");
            call(p, "sync");
            call(o, "set", "big", "x".repeat(3000000));
            call(o, "get", "big");
            return;
        }
        Connection c = (Connection) o;
        boolean pg = name.equals("postgresql");
        if (pg)
            c.createStatement().execute("CREATE TEMP TABLE t (n int, s text)");
        PreparedStatement insert = c.prepareStatement("INSERT INTO t VALUES (?, ?)");
        for (int i = 4; i < 54; i++) {
            insert.setInt(1, i);
            insert.setString(2, "it's");
            insert.execute();
        }
        for (int i = 54; i < 104; i++) {
            insert.setInt(1, i);
            insert.setString(2, "it's");
            insert.addBatch();
        }
        insert.executeBatch();
        refused(() -> c.createStatement().executeQuery("SELECT nothing FROM nowhere"));
        c.setAutoCommit(false);
        PreparedStatement select = c.prepareStatement("SELECT n FROM t WHERE n > ?");
        select.setFetchSize(10);
        select.setInt(1, 3);
        int rows = 0;
        for (ResultSet r = select.executeQuery(); r.next();)
            rows++;
        if (rows != 100)
            throw new Exception(rows + " rows");
        c.commit();
        c.createStatement().execute("DELETE FROM t WHERE n > 3");
        c.rollback();
        c.createStatement().execute("DELETE FROM t WHERE n > 3");
        c.commit();
        c.setAutoCommit(true);
        if (pg) {
            Object copy = c.getClass().getMethod("getCopyAPI").invoke(c);
            copy.getClass().getMethod("copyIn", String.class, java.io.InputStream.class).invoke(copy,
                "COPY t FROM STDIN", new java.io.ByteArrayInputStream("1\tx\n".repeat(5000).getBytes()));
            copy.getClass().getMethod("copyOut", String.class, java.io.OutputStream.class).invoke(copy,
                "COPY t TO STDOUT", new java.io.ByteArrayOutputStream());
        }
        c.close();
    }

    public static void main(String[] arguments) throws Exception {
        name = arguments[0];
        port = arguments[1];
        how = arguments[2];
        if (arguments.length < 4) {
            play(connect());
            return;
        }
        BlockingDeque<Object> pool = new LinkedBlockingDeque<>();
        for (int i = 0; i < 16; i++)
            pool.push(connect());
        HttpServer server = HttpServer.create(
            new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[3])), 256);
        server.setExecutor(Executors.newFixedThreadPool(64));
        server.createContext("/r/", exchange -> {
            String path = exchange.getRequestURI().getPath();
            try {
                Object c = pool.takeFirst();
                ask(c, path.substring(3));
                pool.putFirst(c);
                exchange.sendResponseHeaders(200, 2);
                exchange.getResponseBody().write("ok".getBytes());
            } catch (Exception error) {
                error.printStackTrace();
            }
            exchange.close();
        });
        server.start();
    }
}
