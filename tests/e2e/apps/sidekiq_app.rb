# SPDX-License-Identifier: Apache-2.0
# Sidekiq's jobs, and, as a program with a count, who sends them: `sidekiq_app.rb COUNT`.
# REDIS_URL: Sidekiq's own; BACK: the port of a service that each job calls; TOLD: a file.
require "net/http"
require "sidekiq"

class Work
  include Sidekiq::Worker
  sidekiq_options retry: 1
  sidekiq_retry_in { 0 }

  def perform(number)
    Net::HTTP.new("127.0.0.1", ENV["BACK"].to_i, nil).get("/echo/#{number}")
    File.open(ENV["TOLD"], "a") { |file| file.puts number }
  end
end

if $0 == __FILE__
  ARGV[0].to_i.times { |number| Work.perform_async(number) }
  Sidekiq::Client.push_bulk("class" => Work, "args" => (0...10).map { |n| ["bulk#{n}"] })
end
