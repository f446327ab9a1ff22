# SPDX-License-Identifier: Apache-2.0
# EventMachine, by select: loop_eventmachine.rb PORT. /fresh/N and /kept/N call $TARGET with the same path twice, by
# a connection for each call and by those of a pool.
require "eventmachine"
require "uri"

TARGET = URI(ENV["TARGET"])
IDLE = []

class Call < EM::Connection
  def ask(path, &done)
    @done, @answer = done, +""
    send_data("GET #{path} HTTP/1.1\r\nHost: x\r\n\r\n")
  end

  def receive_data(data)
    @answer << data
    head = @answer.index("\r\n\r\n") or return
    return if @answer.size < head + 4 + @answer[/content-length: (\d+)/i, 1].to_i
    done, @done = @done, nil
    done.call(self)
  end
end

class Server < EM::Connection
  def receive_data(data)
    (@asked ||= +"") << data
    while (head = @asked.index("\r\n\r\n"))
      work(@asked.slice!(0, head + 4).split(" ")[1], 2)
    end
  end

  def work(path, calls)
    return send_data("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") if calls == 0
    is_kept = path.start_with?("/kept")
    call = (IDLE.pop if is_kept) || EM.connect(TARGET.host, TARGET.port, Call)
    call.ask(path) do |done|
      is_kept ? IDLE.push(done) : done.close_connection
      work(path, calls - 1)
    end
  end
end

EM.run { EM.start_server("127.0.0.1", ARGV[0].to_i, Server) }
