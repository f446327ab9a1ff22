# SPDX-License-Identifier: Apache-2.0
"""Programs in C and C++ of our own."""
from workloads import built, workload


def program(name, **how):
    return lambda stage: stage.program(name, **how)


workload("W1", "C, thread per connection", "fresh:2 kept:2 spawn:2 ahead:2 after:2 brief:2 cron:2", program("threads"))
POOL = ("worker-fifo:2 worker-lazy:2 io-fifo:2 io-lifo:2 io-lockfree:2 io-function:2 io-shared:2 "
        "io-reused:2")
workload("W19", "C++ pool", POOL, program("pool"), [built("pool")])
workload("W27", "C++ pool, --heap", POOL, program("pool", heap=True), [built("pool")])
workload("W20", "swapcontext", "own:2 shared:2 sleep:2", program("coroutines"),
         [built("coroutines")])
workload("W20", "boost.context", "own:2 shared:2 sleep:2", program("coroutines_boost"),
         [built("coroutines_boost")])
workload("W25", "C, epoll", "own:2 kept:2 queue:2 pipe:2 timer:2 put-off:2", program("loop"),
         [built("loop")])
workload("W26", "C, answers once it may write", "before:2 batch:2 when:2 split:2 streamed:2 mixed:2",
         program("writable"), [built("writable")])
workload("W28", "C, epoll + libcurl multi", "socket:2 few:2 perform:2 held:2 queue:2 mixed:2 cron:2 blocking:2 "
         "single:2",
         program("transfers"), [built("transfers")])
workload("W21", "libevent + hiredis", "http:2 redis:2:resp once:2:resp queue:2:resp mixed:2:resp",
         program("events"), [built("events")])
