# SPDX-License-Identifier: Apache-2.0
# Drivers of Ruby, as driver.py: driver.rb NAME PORT plain|tls|compressed [HTTP_PORT]
require "socket"

NAME, PORT, HOW = ARGV[0], ARGV[1].to_i, ARGV[2]
TLS = HOW == "tls"
require NAME

def connect
  case NAME
  when "pg"
    PG.connect(host: "127.0.0.1", port: PORT, user: "postgres", dbname: "postgres",
               sslmode: TLS ? "require" : "disable")
  when "mysql2"
    Mysql2::Client.new(host: "127.0.0.1", port: PORT, username: "app", password: "correcthorse",
                       database: "shop", **(TLS ? { sslcipher: "" } : {}))
  else
    Redis.new(url: "redis#{"s" if TLS}://127.0.0.1:#{PORT}",
              ssl_params: { verify_mode: OpenSSL::SSL::VERIFY_NONE })
  end
end

def ask(c, n)
  case NAME
  when "pg"
    c.exec("SELECT 7 AS r#{n}_a").to_a
    c.exec_params("SELECT $1::int AS r#{n}_b", [7]).to_a
    c.exec_params("SELECT $1::int AS r#{n}_c", [7]).to_a
  when "mysql2"
    c.query("select 7 as r#{n}_a").to_a
    c.query("select 8 as r#{n}_b").to_a
    c.query("select 9 as r#{n}_c", stream: true, cache_rows: false).each { }
  else
    c.incr("r#{n}_a")
    c.pipelined { |p| p.set("r#{n}_b", "v"); p.get("r#{n}_c") }
  end
end

def refused
  yield
  abort "was not refused"
rescue StandardError
end

def play_pg(c)
  c.exec("CREATE TEMP TABLE things (a int, b text)")
  c.prepare("in", "INSERT INTO things VALUES ($1, $2)")
  100.times { |i| c.exec_prepared("in", [i, "it's"]) }
  refused { c.exec("SELECT 1/0") }
  refused { c.exec_params("SELECT nothing FROM nowhere", []) }
  c.copy_data("COPY things FROM STDIN") { 5000.times { c.put_copy_data("1\tcopied\n") } }
  c.copy_data("COPY things TO STDOUT") { nil while c.get_copy_data }
  c.send_query("SELECT a FROM things")
  c.set_single_row_mode
  rows = c.get_result.stream_each.count
  abort "rows: #{rows}" if rows != 5100
  nil while c.get_result
  c.enter_pipeline_mode
  300.times { |i| c.send_query_params("SELECT $1::int AS piped_#{i}", [i]) }
  c.pipeline_sync
  nil until c.get_result&.result_status == PG::PGRES_PIPELINE_SYNC
  c.exit_pipeline_mode
  c.transaction { c.exec("UPDATE things SET a = 3 WHERE a = 4") }
  c.exec("LISTEN news; NOTIFY news")
  c.wait_for_notify(10) or abort "no notice"
  c.finish
end

def play_mysql2(c)
  c.query("select n, s from t where s = 'one'").to_a
  insert = c.prepare("insert into t values (?, ?)")
  50.times { |i| insert.execute(i + 4, "it's") }
  refused { c.query("select nonsense from t") }
  c.query("select n from t", stream: true, cache_rows: false).each { }
  c.query("delete from t where n > 3")
  c.query("select 1 as later", async: true)
  c.async_result.to_a
  c.close
end

def play_redis(c)
  c.set("k", "v")
  c.hset("h", "f", "v")
  c.select(1)
  c.pipelined { |p| 300.times { p.incr("n") } }
  c.multi { |m| m.incr("n"); m.get("n") }
  refused { c.lpush("n", "x") }
  c.blpop("nothing", timeout: 1)
  c.set("big", "x" * 3_000_000)
  c.get("big")
end

unless ARGV[3]
  send("play_#{NAME}", connect)
  exit
end

pool = Queue.new
16.times { pool << connect }
server = TCPServer.new("127.0.0.1", ARGV[3].to_i)
server.listen(256)
loop do
  Thread.new(server.accept) do |client|
    while (head = client.gets)
      nil until client.gets == "\r\n"
      c = pool.pop
      ask(c, head[%r{/r/(\d+)}, 1])
      pool << c
      client.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    end
  end
end
