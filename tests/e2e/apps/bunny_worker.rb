# SPDX-License-Identifier: Apache-2.0
# bunny_worker.rb PORT COUNT REDIS PREFETCH ACK THREADS CHANNELS: consumers that know nothing of traces.
# Each message's block asks Redis for "m:ID". ACK: first, each, fail (as each, and the block fails), none.
require "bunny"
require "digest"
require "socket"

port, count, redis, prefetch = ARGV[0, 4].map(&:to_i)
ack, threads, channels = ARGV[4], *ARGV[5, 2].map(&:to_i)
connection = Bunny.new(host: "127.0.0.1", port: port, log_level: :fatal).start
done, lock, came = Queue.new, Mutex.new, []

ask = lambda do |key|
  socket = Thread.current[:redis] ||= TCPSocket.new("127.0.0.1", redis)
  socket.write("*2\r\n$3\r\nGET\r\n$#{key.bytesize}\r\n#{key}\r\n")
  abort "no answer" if socket.readpartial(100) != "$-1\r\n"
end

all = Array.new(channels) { connection.create_channel(nil, threads) }
queues = all.map { |channel| channel.queue("work") }
all.zip(queues).each do |channel, queue|
  channel.prefetch(prefetch)
  channel.on_uncaught_exception { |error, _| abort error.message if error.message != "as asked" }
  queue.subscribe(manual_ack: ack != "none") do |info, properties, body|
    channel.ack(info.delivery_tag) if ack == "first"
    ask.call("m:#{properties.message_id}")
    channel.ack(info.delivery_tag) if %w[each fail].include?(ack)
    lock.synchronize do
      came << [properties.message_id.to_i, Digest::SHA256.hexdigest(body)]
      done << 1 if came.size == count
    end
    raise "as asked" if ack == "fail"
  end
end
done.pop
connection.close
puts came.sort.map { |line| line.join(" ") }
puts [Bunny::Consumer.instance_method(:call), Bunny::DeliveryInfo.instance_method(:initialize)].inspect
