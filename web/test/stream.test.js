/** Streams: in order, bounded, each input answered once. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ConfigError, DataError, Mobile } from "../src/index.js";
import { MemoryStore } from "../src/state/store.js";
import { AHEAD } from "../src/stream.js";
import { bundleOf } from "./support.js";

/** @typedef {import("../mobile.js").Input} Input */
/** @typedef {import("../mobile.js").Prediction} Prediction */

const { folder, golden } = bundleOf("dimec-adaptive-paper");
/** @type {string[]} */
const texts = golden.inputs.map((/** @type {any} */ input) => input.text);
const named = texts.map((text, k) => ({ text, id: `${k}` }));

/** A cloud that answers when it is let. */
class Cloud {
  /** @type {((said: Float32Array) => void)[]} */
  asked = [];
  most = 0;
  free = true;

  async infer() {
    if (this.free) return Float32Array.of(0.25, 0.75);
    return new Promise((/** @type {(said: Float32Array) => void} */ resolve) => {
      this.asked.push(resolve);
      this.most = Math.max(this.most, this.asked.length);
    });
  }

  /** Answer the one that was asked last. */
  answer() {
    this.asked.pop()?.(Float32Array.of(0.25, 0.75));
  }
}

/** @param {AsyncIterable<Prediction>} stream */
async function all(stream) {
  const found = [];
  for await (const one of stream) found.push(one);
  return found;
}

/** What does not depend on the clock. @param {Prediction} prediction */
function plain({ id, label, route, distances, answeredBy, cost }) {
  return { id, label, route, distances, answeredBy, cost };
}

test("a stream is what one text after the other is, and its order is that of the texts", async () => {
  const cloud = new Cloud();
  const one = await Mobile.open(folder, { clients: { cloud } });
  /** @type {Prediction[]} */
  const right = [];
  for (const { text, id } of named) right.push(await one.predict(text, { id }));
  for (const workers of [1, 4]) {
    const mobile = await Mobile.open(folder, { clients: { cloud } });
    const found = await all(mobile.predictMany(named, { workers }));
    assert.deepEqual(found.map(plain), right.map(plain));
    assert.deepEqual(await mobile.memory(), await one.memory());
    assert.deepEqual(await all(mobile.predictMany(named)), found.map(stored));
    assert.equal((await mobile.ledger()).answers, texts.length);
    await mobile.close();
  }
  await one.close();
});

/** As it comes out of a state. @param {Prediction} prediction */
function stored({ parts, ...rest }) {
  const none = Object.fromEntries(Object.keys(parts).map((name) => [name, 0]));
  return { ...rest, parts: none, steps: [], calls: [] };
}

test("answers that come out of order leave in order, and so many are asked at once", async () => {
  const cloud = new Cloud();
  cloud.free = false;
  const mobile = await Mobile.open(bundleOf("all-cloud").folder, { clients: { cloud } });
  /** @type {string[]} */
  const order = [];
  const done = (async () => {
    for await (const { id } of mobile.predictMany(named.slice(0, 9), { workers: 3 }))
      order.push(id);
  })();
  let over = false;
  void done.finally(() => (over = true));
  while (!over) {
    cloud.answer();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await done;
  assert.deepEqual(order, ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
  assert.ok(cloud.most > 1 && cloud.most <= 3, `${cloud.most}`);
  await mobile.close();
});

test("no more inputs are taken than there is room, and each when the one before is there", async () => {
  const cloud = new Cloud();
  const mobile = await Mobile.open(bundleOf("all-cloud").folder, { clients: { cloud } });
  let taken = 0;
  async function* source() {
    for (;;) {
      taken += 1;
      yield "a film";
    }
  }
  let given = 0;
  for await (const _ of mobile.predictMany(source())) {
    given += 1;
    assert.ok(taken <= given + AHEAD + 1, `${taken} taken, ${given} given`);
    if (given === 3 * AHEAD) break;
  }
  assert.equal((await mobile.ledger()).answers >= given, true);
  // A source that is slow holds up no answer.
  /** @type {() => void} */
  let more = () => {};
  async function* slow() {
    yield "first";
    await new Promise((resolve) => (more = () => resolve(null)));
    yield "second";
  }
  const stream = mobile.predictMany(slow());
  assert.ok(!(await stream.next()).done);
  more();
  assert.ok(!(await stream.next()).done);
  assert.ok((await stream.next()).done);
  // Nor does one that never goes on keep anybody from leaving.
  for await (const _ of mobile.predictMany(slow())) break;
  await mobile.close();
});

test("an input that is none comes behind the answers to those before it", async () => {
  const mobile = await Mobile.open(folder, { clients: { cloud: new Cloud() } });
  /** @type {any[]} */
  const inputs = ["one", "two", 7, "three"];
  const found = [];
  await assert.rejects(async () => {
    for await (const one of mobile.predictMany(inputs)) found.push(one);
  }, DataError);
  assert.equal(found.length, 2);
  for (const none of ["a text", 7, null]) {
    await assert.rejects(mobile.predictMany(/** @type {any} */ (none)).next(), DataError);
  }
  await assert.rejects(mobile.predictMany([], { workers: 0 }).next(), ConfigError);
  async function* broken() {
    yield "one";
    throw new RangeError("of the caller's own");
  }
  const stream = mobile.predictMany(broken());
  assert.ok(!(await stream.next()).done);
  await assert.rejects(stream.next(), RangeError);
  await mobile.close();
});

test("a client's own error ends the stream, and the rest is forgotten", async () => {
  let asked = 0;
  const infer = async () => {
    asked += 1;
    if (asked === 3) throw new RangeError("of the client's own");
    return Float32Array.of(1, 0);
  };
  const mobile = await Mobile.open(folder, { clients: { cloud: { infer } } });
  const before = pools(await mobile.memory());
  const found = [];
  await assert.rejects(async () => {
    for await (const one of mobile.predictMany(named)) found.push(one.id);
  }, RangeError);
  assert.ok(found.length >= 2 && found.length < texts.length);
  assert.equal((await mobile.ledger()).answers, found.length);
  assert.equal(pools(await mobile.memory()), before + found.length);
  const again = await all(mobile.predictMany(named));
  assert.deepEqual(
    again.map(({ id }) => id),
    named.map(({ id }) => id),
  );
  assert.equal(pools(await mobile.memory()), before + texts.length);
  await mobile.close();
});

/** @param {import("../mobile.js").Learnt} memory */
function pools({ counts }) {
  return counts.data.reduce((sum, one) => sum + one, 0);
}

test("an id twice in a stream has one answer", async () => {
  const mobile = await Mobile.open(folder, { clients: { cloud: new Cloud() } });
  const inputs = [named[0], named[1], { text: "another", id: "0" }, named[1], named[2]];
  const found = await all(mobile.predictMany(inputs, { workers: 2 }));
  assert.deepEqual(
    found.map(({ id }) => id),
    ["0", "1", "0", "1", "2"],
  );
  assert.deepEqual(found[2].probabilities, found[0].probabilities);
  assert.equal((await mobile.ledger()).answers, 3);
  await mobile.close();
});

test("who leaves a stream, or closes the mobile, leaves nothing half done", async () => {
  const mobile = await Mobile.open(folder, { clients: { cloud: new Cloud() } });
  const before = pools(await mobile.memory());
  for await (const { id } of mobile.predictMany(named)) if (id === "2") break;
  const { answers } = await mobile.ledger();
  assert.ok(answers >= 3);
  assert.equal(pools(await mobile.memory()), before + answers);
  const stream = mobile.predictMany(named.map(({ text }) => text));
  await stream.next();
  const waiting = stream.next();
  await mobile.close();
  await assert.rejects(async () => {
    await waiting;
    for (;;) if ((await stream.next()).done) return;
  }, /closed while a stream was running|is closed/);
});

/** A store that says when so many answers are in it. */
class CountingStore extends MemoryStore {
  #answers = 0;
  #full = () => {};

  /** @param {number} most */
  constructor(most) {
    super();
    this.most = most;
    /** @type {Promise<void>} */
    this.full = new Promise((resolve) => (this.#full = () => resolve()));
  }

  /** @type {MemoryStore["transact"]} */
  async transact(work) {
    const done = await super.transact(work);
    this.#answers = (await this.load()).answers;
    if (this.#answers === this.most) this.#full();
    return done;
  }
}

test("answers are recorded as they come, however slow their reader is", async () => {
  const cloud = new Cloud();
  cloud.free = false;
  const store = new CountingStore(3);
  const { folder: all } = bundleOf("all-cloud");
  const mobile = await Mobile.open(all, { clients: { cloud }, state: store });
  const stream = mobile.predictMany(named.slice(0, 3), { workers: 3 });
  const first = stream.next(); // and nothing more is asked of it
  const asked = async () => {
    while (cloud.asked.length < 3) await new Promise((resolve) => setImmediate(resolve));
  };
  await asked();
  for (let k = 0; k < 3; k += 1) cloud.answer();
  await store.full;
  assert.equal((await first).value?.id, "0");
  assert.equal((await mobile.ledger()).answers, 3);
  // Those that nobody has taken are there for whoever comes again.
  await stream.return();
  assert.equal((await mobile.ledger()).answers, 3);
  assert.equal((await mobile.predict("another", { id: "2" })).route, "cloud");
  assert.equal((await mobile.ledger()).answers, 3);
  await mobile.close();
});

test("a stream that fails lets go of its other inputs before anybody asks it again", async () => {
  /** @type {{resolve: (said: Float32Array) => void, reject: (error: Error) => void}[]} */
  const asked = [];
  const infer = () => {
    return new Promise((/** @type {(said: Float32Array) => void} */ resolve, reject) => {
      asked.push({ resolve, reject });
    });
  };
  const until = async (/** @type {number} */ most) => {
    while (asked.length < most) await new Promise((resolve) => setImmediate(resolve));
  };
  const clients = { cloud: { infer } };
  const mobile = await Mobile.open(bundleOf("all-cloud").folder, { clients });
  const stream = mobile.predictMany(named.slice(0, 3), { workers: 3 });
  const first = stream.next(); // and nothing more is asked of it for now
  await until(3);
  const said = Float32Array.of(0.25, 0.75);
  asked[1].reject(new RangeError("of the client's own"));
  asked[0].resolve(said);
  const other = mobile.predict(texts[2], { id: "2" }); // which the stream has claimed
  await until(4);
  asked[3].resolve(said);
  assert.equal((await other).id, "2");
  // What was recorded before the failure is given before it.
  assert.equal((await first).value?.id, "0");
  await assert.rejects(stream.next(), RangeError);
  assert.ok((await stream.next()).done);
  asked[2].resolve(said);
  assert.equal((await mobile.ledger()).answers, 2);
  await mobile.close();
});

/** A source that never goes on behind its first inputs. @param {string[]} some */
async function* endless(some) {
  yield* some;
  await new Promise(() => undefined);
}

test("a stream is left while its source never goes on, whoever waits for its next answer", async () => {
  const mobile = await Mobile.open(folder, { clients: { cloud: new Cloud() } });
  const stream = mobile.predictMany(endless(["one"]));
  assert.ok(!(await stream.next()).done);
  const waiting = stream.next();
  assert.deepEqual(await stream.return(), { done: true, value: undefined });
  assert.ok((await waiting).done);
  assert.ok((await stream.next()).done);
  const thrown = mobile.predictMany(endless([]));
  const nothing = thrown.next();
  await assert.rejects(thrown.throw(new RangeError("of the caller's own")), RangeError);
  assert.ok((await nothing).done);
  await mobile.predictMany(endless([])).return(); // which has not begun
  let left = false;
  const source = {
    [Symbol.asyncIterator]: () => source,
    next: async () => ({ done: false, value: "a film" }),
    return: async () => {
      left = true;
      return { done: true, value: undefined };
    },
  };
  for await (const _ of mobile.predictMany(/** @type {any} */ (source))) break;
  assert.ok(left);
  assert.equal((await mobile.ledger()).answers >= 2, true);
  await mobile.close();
});
