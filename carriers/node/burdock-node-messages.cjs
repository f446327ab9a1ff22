// SPDX-License-Identifier: Apache-2.0
// Consumers of amqplib and kafkajs, which read many messages at once and call their program's function
// with one after the other: what the function does, and what it awaits, is that message's. kafkajs may
// call it with a batch as well, which is one span then.
//
// A message of amqplib is at work until it is settled and the promise that the function has answered is, too.
// While several are, contexts are believed only after a trial, since a queue of the program's own
// calls functions in the context of whoever emptied it: then messages are over without a call of
// their own, or settled in the context of others. Before, a call of one of several is a root.
"use strict";

const { Socket } = require("net");

const TRIAL = 16; // messages in a row that have made calls of their own, before they are believed
const DISTRUST = 200; // the same, after one that had not
const WINDOW = 64; // of those at work when the first one is over, before all of these are
const SURE = 2 ** 30; // addon.c

class Trial {
  passed = 0;
  needed = TRIAL;
  waiting = undefined; // messages that are to be over
  get isOver() {
    return this.passed >= this.needed && this.waiting.size === 0;
  }
  judge({ hasCalled }, atWork) {
    if (!hasCalled) return this.fail();
    this.passed += 1;
    this.waiting ??= new Set([...atWork].filter(({ trial }) => trial === this).slice(0, WINDOW));
  }
  fail() {
    Object.assign(this, { passed: 0, needed: DISTRUST, waiting: undefined });
  }
}

const VALUE_MAX = 512; // characters of a header's value: longer ones do not go on
const LINKS_MAX = 1024; // messages of a batch that are looked into

module.exports = function messages(addon, store, around, begin, handleOf) {
  const { takeMessage, worked, isPending, handOut, done } = addon;
  const channels = new WeakMap(); // their trials, and messages to be settled
  const atWork = new Set();
  let handed; // what the program's function, which has not returned, was called with

  class Message {
    hasCalled = false;
    isInHand = true; // not settled, and somebody will
    promise = undefined; // that is pending
    hasPromised = false;
    constructor(number, trial, isJudged) {
      Object.assign(this, { number, trial, isJudged });
    }
    get isPending() {
      if (this.promise !== undefined && !isPending(this.promise)) this.promise = undefined;
      return this === handed?.message || this.promise !== undefined;
    }
    get isAtWork() {
      return this.isPending || this.isInHand;
    }
    // Its number as the addon takes it. What a client may write for others is not sure.
    tell(isOthers = false) {
      this.hasCalled ||= !isOthers;
      if (!isOthers && this !== handed?.message) judge(this);
      if (!this.trial.isOver) lookOn();
      const isAtWork = !isOthers && this.isAtWork;
      if (isAtWork && (this === handed?.message || this.trial.isOver)) return this.number + SURE;
      if (areOthersThan(this)) return -this.number - SURE;
      return isAtWork ? this.number : -this.number;
    }
  }

  function judge(message) {
    if (!message.isJudged) message.trial.judge(message, atWork);
    message.isJudged = true;
    message.trial.waiting?.delete(message);
  }

  // Is it over? Of a promise nobody has told.
  function look(message) {
    if (message === undefined) return;
    if (message.hasPromised && message.hasCalled && !message.isPending) judge(message);
    if (message.isAtWork) return;
    atWork.delete(message);
    judge(message);
  }

  function areOthersThan(message) {
    for (const other of atWork) {
      look(other);
      if (other !== message && atWork.has(other)) return true;
    }
    return false;
  }

  let rest = atWork.values();
  function lookOn() {
    const { done, value } = rest.next();
    if (done) rest = atWork.values();
    look(value);
  }

  function of(channel) {
    if (!channels.has(channel)) channels.set(channel, { trial: new Trial(), unsettled: new Map() });
    return channels.get(channel);
  }

  function leave(result) {
    if (handed.told === undefined) return leaveRecord(result);
    const { message, told, unsettled, before, isCarried } = handed;
    handed = undefined;
    if (worked(...told, message.number) !== true) {
      message.isInHand = false; // nobody acknowledges it
      unsettled.delete(told[2]);
    }
    if (isCarried) store.enterWith(before);
    if (isPending(result)) {
      message.promise = result;
      message.hasPromised = true;
    }
    if (!message.isAtWork && !message.hasCalled) message.isJudged = true; // there was nothing to do
    look(message);
  }

  function hand(channel, [fields, given]) {
    if (handed !== undefined) leave(); // the function has thrown
    const { stream } = channel.connection;
    const handle = stream instanceof Socket && !stream.encrypted && given !== null && stream._handle;
    const carrier = handle && begin(handle);
    if (!carrier) return;
    const isCarried = carrier.onMessage(stream);
    const told = [handle.fd, channel.ch, fields.deliveryTag];
    const number = takeMessage(...told);
    if (number === undefined) return;
    lookOn();
    lookOn();
    const own = of(channel);
    const message = new Message(number, own.trial, !isCarried);
    const { unsettled } = own;
    handed = { message, told, unsettled, before: store.getStore(), isCarried };
    atWork.add(message);
    unsettled.set(fields.deliveryTag, message);
    if (isCarried) store.enterWith(message);
  }

  function settle(message, isNamed) {
    const here = store.getStore();
    message.isInHand = false;
    if (isNamed && here instanceof Message && here !== message) message.trial.fail();
    look(message);
  }

  // Of acknowledgements, and of these alone, what is sent has a delivery tag.
  function send(channel, [, fields]) {
    const { deliveryTag, multiple } = fields;
    const unsettled = deliveryTag === undefined ? undefined : channels.get(channel)?.unsettled;
    if (unsettled === undefined) return;
    const tags = multiple ? [...unsettled.keys()].filter((tag) => tag <= (deliveryTag || tag))
      : [deliveryTag];
    for (const tag of tags) {
      const message = unsettled.get(tag);
      unsettled.delete(tag);
      if (message !== undefined) settle(message, tag === deliveryTag);
    }
  }

  // kafkajs awaits what its program's function has answered, so that it may be waited for here, too.
  const { then } = Promise.prototype;
  function leaveRecord(result) {
    const { message, before, isCarried } = handed;
    handed = undefined;
    addon.enter(0);
    if (isCarried) store.enterWith(before);
    message.isInHand = false;
    const over = () => {
      done(message.number);
      look(message);
    };
    if (!isPending(result)) {
      if (!message.hasCalled) message.isJudged = true;
      return over();
    }
    message.promise = result;
    message.hasPromised = true;
    then.call(result, over, over);
  }

  function headersOf({ headers }, isOne) {
    const told = isOne ? Object.entries(headers ?? {}) : [["traceparent", headers?.traceparent]];
    return told.filter(([, value]) => value?.length <= VALUE_MAX && !Array.isArray(value))
      .flatMap(([name, value]) => [name, value.toString()]);
  }

  function handRecords(runner, { topic, partition }, messages) {
    if (handed !== undefined) leave(); // the function has thrown
    const carrier = messages.length > 0 && begin(handleOf());
    if (!carrier) return;
    const isCarried = carrier.onMessage();
    const [{ key, offset }] = messages;
    const isOne = messages.length === 1;
    const number = handOut([topic, isOne && key?.length <= VALUE_MAX ? key.toString() : "",
      runner.consumerGroup.groupId, partition + 1, Number(offset), messages.length,
      ...messages.slice(0, LINKS_MAX).flatMap((message) => headersOf(message, isOne))]);
    if (number === undefined) return;
    lookOn();
    lookOn();
    const message = new Message(number, of(runner).trial, !isCarried);
    handed = { message, before: store.getStore(), isCarried };
    atWork.add(message);
    if (isCarried) store.enterWith(message);
  }

  function kafkajs(Runner) {
    const { prototype } = Runner;
    const wrapped = new WeakSet();
    const places = [["processEachMessage", "eachMessage", (payload) => [payload, [payload.message]]],
      ["processEachBatch", "eachBatch", ({ batch }) => [batch, batch.messages]]];
    if (!places.every(([name]) => prototype[name]?.length === 1)) return; // another version
    for (const [name, callback, of] of places)
      around(prototype, name, (runner) => {
        if (wrapped.has(runner)) return;
        wrapped.add(runner);
        around(runner, callback, (_, [payload]) => void handRecords(runner, ...of(payload)),
          (_, args, result) => void (handed !== undefined && leave(result)));
      });
  }

  function amqplib({ BaseChannel: { prototype: base }, Channel: { prototype } }) {
    const places = [[base, "dispatchMessage", 2], [prototype, "sendImmediately", 2],
      [prototype, "sendMessage", 3]];
    if (Object.getPrototypeOf(base) !== prototype || !places.every(([owner, name, length]) =>
      Object.hasOwn(owner, name) && owner[name].length === length)) return; // another version
    around(base, "dispatchMessage", hand, (channel, args, result) =>
      void (handed !== undefined && leave(result)));
    around(prototype, "sendImmediately", send);
    around(prototype, "sendMessage", () => void begin()?.noteCall());
  }
  return { amqplib, kafkajs };
};
