# SPDX-License-Identifier: Apache-2.0
# A Rack application: /<cell>/<token> answers with the token after two calls to the backend.
require "net/http"
require "connection_pool"

HOST, PORT = "127.0.0.1", ENV["BACK_HTTP"].to_i

def get(client, token, k)
  client.get("/#{token}.#{k}").body
end

def kept
  Thread.current[:client] ||= Net::HTTP.new(HOST, PORT).start
end

FEW = ConnectionPool.new(size: 4, timeout: 60) { Net::HTTP.new(HOST, PORT).start }

# Threads that the first requests start, and that all give work.
JOBS, WORKERS = Queue.new, []

def hand_over(token)
  JOBS << [token, done = Queue.new]
  if WORKERS.size < 4
    WORKERS << Thread.new { while (job = JOBS.pop) do 2.times { |k| get(kept, job[0], k) }; job[1] << 1 end }
  end
  done.pop
end

CELLS = {
  "queue" => ->(token) { hand_over(token) },
  "fresh" => ->(token) { 2.times { |k| get(Net::HTTP.new(HOST, PORT), token, k) } },
  "kept" => ->(token) { 2.times { |k| get(kept, token, k) } },
  "pool" => ->(token) { 2.times { |k| FEW.with { |client| get(client, token, k) } } },
  "sleep" => ->(token) { 2.times { |k| sleep 0.003; get(kept, token, k) } },
  "thread" => ->(token) { 2.times { |k| Thread.new { get(Net::HTTP.new(HOST, PORT), token, k) }.join } },
  "after" => ->(token) { get(kept, token, 0) },
  "redis" => ->(token) { 2.times { |k| redis.get("#{token}.#{k}") } },
  "pg" => ->(token) { 2.times { |k| pg.exec(%(SELECT 1 AS "#{token}.#{k}")) } },
}

def redis
  require "redis"
  Thread.current[:redis] ||= Redis.new(host: HOST, port: ENV["BACK_RESP"].to_i)
end

def pg
  require "pg"
  Thread.current[:pg] ||= PG.connect(host: HOST, port: ENV["BACK_PG"].to_i, dbname: "x", user: "x", sslmode: "disable")
end

run lambda { |env|
  _, cell, token = env["PATH_INFO"].split("/")
  CELLS[cell].call(token)
  env["rack.after_reply"] << -> { get(kept, token, 1) } if cell == "after"
  [200, { "Content-Type" => "text/plain", "Content-Length" => token.size.to_s }, [token]]
}
