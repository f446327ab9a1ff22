/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bunny, the client of RabbitMQ: one thread reads, and those of a channel's pool call the program's
 * block. What a TracePoint of these two methods tells leaves nothing in them that can be seen:
 *
 * | bunny 2 | |
 * |---|---|
 * | DeliveryInfo#initialize, as it returns | a thread of the pool begins with this message |
 * | Channel#handle_frameset, as its block returns | and is done with it |
 */
#include "ruby.h"

#include <stddef.h>
#include <stdint.h>

#include "amqp.h"
#include "carrier.h"
#include "counters.h"
#include "hook.h"

typedef uintptr_t value; /* Ruby's VALUE: small integers are odd */

static struct {
    value (*rb_eval_string_protect)(const char *script, int *failed);
    int (*ruby_native_thread_p)(void);
    int (*ruby_thread_has_gvl_p)(void);
    void *(*rb_thread_call_with_gvl)(void *(*function)(void *), void *argument);
    value (*rb_proc_new)(value (*function)(value, value, int, const value *, value), value given);
    value (*rb_funcallv)(value self, uintptr_t name, int count, const value *arguments);
    uintptr_t (*rb_intern)(const char *name);
    value (*rb_protect)(value (*function)(value), value argument, int *failed);
    value (*rb_errinfo)(void);
    void (*rb_set_errinfo)(value error);
    void (*rb_gc_register_mark_object)(value object);
} rb;

static const char names[] = "rb_eval_string_protect\0ruby_native_thread_p\0ruby_thread_has_gvl_p\0"
                            "rb_thread_call_with_gvl\0rb_proc_new\0rb_funcallv\0rb_intern\0"
                            "rb_protect\0rb_errinfo\0rb_set_errinfo\0rb_gc_register_mark_object\0";

/* Answers what is to be kept, or a number: there is no bunny. An error in it is nobody's. */
static const char script[] =
    "lambda { |work, done|\n"
    "  next 0 if !Object.const_defined?(:Bunny) || Object.autoload?(:Bunny)\n"
    "  made = ::Bunny::DeliveryInfo.instance_method(:initialize)\n"
    "  told = ::Bunny::Channel.instance_method(:handle_frameset)\n"
    "  begins = TracePoint.new(:return) { |point|\n"
    "    begin\n"
    "      channel = point.self.channel\n"
    "      socket = channel.connection.transport.socket\n"
    "      work.call(socket.to_io.fileno, channel.number, point.self.delivery_tag.to_i)\n"
    "    rescue ::NoMethodError, ::IOError\n"
    "    end\n"
    "  }\n"
    "  ends = TracePoint.new(:b_return) { done.call }\n"
    "  ends.enable(target: told)\n"
    "  begins.enable(target: made)\n"
    "  [begins, ends]\n"
    "}";

static long number(value integer)
{
    return integer & 1 ? (long)((intptr_t)integer >> 1) : -1;
}

static value done(value nothing, value given, int count, const value *arguments, value block)
{
    carrier_done();
    return 0; /* false */
}

static value work(value nothing, value given, int count, const value *arguments, value block)
{
    long fd = number(arguments[0]), channel = number(arguments[1]), tag = number(arguments[2]);
    if (fd >= 0 && fd <= INT32_MAX && channel > 0 && channel <= UINT16_MAX && tag > 0)
        carrier_begin((int)fd, amqp_key((uint16_t)channel, (uint64_t)tag));
    else
        carrier_done();
    return 0;
}

static value follow(value lambda)
{
    value procs[] = {rb.rb_proc_new(work, 0), rb.rb_proc_new(done, 0)};
    rb.rb_gc_register_mark_object(procs[0]);
    rb.rb_gc_register_mark_object(procs[1]);
    value kept = rb.rb_funcallv(lambda, rb.rb_intern("call"), 2, procs);
    rb.rb_gc_register_mark_object(kept);
    if (number(kept) < 0)
        counter_add(COUNTER_CARRIER_RUBY, 1);
    return kept;
}

/* With the interpreter's lock. */
static void *enter(void *argument)
{
    int failed = 0;
    value error = rb.rb_errinfo(), lambda = rb.rb_eval_string_protect(script, &failed);
    if (!failed)
        rb.rb_protect(follow, lambda, &failed);
    if (failed)
        rb.rb_set_errinfo(error);
    return NULL;
}

bool bunny_install(void)
{
    if (!__atomic_load_n(&carrier_is_wanted, __ATOMIC_RELAXED))
        return false; /* no message was read yet */
    if (rb.rb_gc_register_mark_object == NULL && !hooks_find(names, &rb))
        return true;
    if (rb.rb_gc_register_mark_object == NULL || !rb.ruby_native_thread_p())
        return rb.rb_gc_register_mark_object == NULL;
    if (rb.ruby_thread_has_gvl_p())
        enter(NULL);
    else
        rb.rb_thread_call_with_gvl(enter, NULL);
    return true;
}
