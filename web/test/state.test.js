/** What a mobile keeps: one answer an id, what was learnt, sums, and what waits for room. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import {
  ConfigError,
  CorruptArtefactError,
  DataError,
  MismatchError,
  Mobile,
  StorageError,
  TierError,
} from "../src/index.js";
import { checkSumOf, crc32 } from "../src/state/check_sum.js";
import { MemoryStore } from "../src/state/store.js";
import { bundleOf, casesOf } from "./support.js";

/** @typedef {import("../mobile.js").Options} Options */

const learning = bundleOf("dimec-adaptive-paper");
const bandit = bundleOf("lee");
const texts = learning.golden.inputs.map((/** @type {any} */ input) => input.text);

/**
 * A mobile that is closed after the test.
 *
 * @param {import("node:test").TestContext} context
 * @param {string} folder
 * @param {Options} [options]
 */
async function opened(context, folder, options) {
  const mobile = await Mobile.open(folder, options);
  context.after(() => mobile.close());
  return mobile;
}

/** A client that answers so many classes by chance's opposite. */
function client(classes = 2) {
  const said = Float32Array.from({ length: classes }, (_, k) => (k ? 0 : 1));
  return { infer: async () => said };
}

/** A store that refuses for a while. */
class FullStore extends MemoryStore {
  full = false;

  /** @type {MemoryStore["transact"]} */
  async transact(work) {
    if (!this.full) return super.transact(work);
    return super.transact(async (transaction) => {
      await work(transaction);
      throw new StorageError("there is no room"); // as it is found at the end
    });
  }
}

test("an id has one answer, whatever comes with it, and nothing is learnt twice", async (context) => {
  const mobile = await opened(context, learning.folder);
  const first = await mobile.predict(texts[0], { id: "a" });
  assert.equal(first.id, "a");
  assert.equal(first.recorded, true);
  const memory = await mobile.memory();
  const again = await mobile.predict(texts[1], { id: "a" });
  const parts = Object.fromEntries(Object.keys(first.parts).map((name) => [name, 0]));
  assert.ok(first.steps.length > 0);
  // How it came about is told once.
  assert.deepEqual(again, { ...first, calls: [], steps: [], parts });
  assert.deepEqual(await mobile.memory(), memory);
  const [one, other] = await Promise.all([
    mobile.predict(texts[2], { id: "b" }),
    mobile.predict(texts[3], { id: "b" }),
  ]);
  assert.deepEqual(other.probabilities, one.probabilities);
  assert.equal((await mobile.ledger()).answers, 2);
  const made = await Promise.all([mobile.predict(texts[4]), mobile.predict(texts[4])]);
  assert.match(made[0].id, /^[0-9a-f]{32}$/);
  assert.notEqual(made[0].id, made[1].id);
});

test("what is no id is refused, and nothing is recorded", async (context) => {
  const mobile = await opened(context, learning.folder);
  for (const id of ["", "a\nb", "x".repeat(201), "\u202e", 7, null]) {
    await assert.rejects(mobile.predict("a film", { id: /** @type {any} */ (id) }), DataError);
  }
  await mobile.predict("a film", { id: "naïve 漢字 \u{1f600}" });
  assert.equal((await mobile.ledger()).answers, 1);
});

test("an input that fails is forgotten, and may come again", async (context) => {
  const cloud = {
    broken: true,
    async infer() {
      if (this.broken) throw new RangeError("of the client's own");
      return Float32Array.of(1, 0);
    },
  };
  const mobile = await opened(context, learning.folder, { clients: { cloud } });
  const before = await mobile.memory();
  const asked = await Promise.allSettled(
    texts.map((/** @type {string} */ text, /** @type {number} */ k) => {
      return mobile.predict(text, { id: `${k}` });
    }),
  );
  const failed = asked.flatMap(({ status }, k) => (status === "rejected" ? [k] : []));
  assert.ok(failed.length && failed.length < texts.length);
  const ledger = await mobile.ledger();
  assert.equal(ledger.answers, texts.length - failed.length);
  assert.equal(total(await mobile.memory()) - total(before), ledger.answers);
  cloud.broken = false;
  for (const k of failed) assert.equal((await mobile.predict(texts[k], { id: `${k}` })).id, `${k}`);
  assert.equal((await mobile.ledger()).answers, texts.length);
  assert.equal(total(await mobile.memory()) - total(before), texts.length);
});

/** Numbers in the pools. @param {import("../mobile.js").Learnt} memory */
function total(memory) {
  return memory.counts.data.reduce((sum, one) => sum + one, 0);
}

test("a state goes on with its answers and what was learnt", async () => {
  for (const { folder } of [learning, bandit]) {
    const store = new MemoryStore();
    const clients = folder === learning.folder ? { clients: { cloud: client() } } : {};
    const whole = await Mobile.open(folder, clients);
    const parts = [texts.slice(0, 7), texts.slice(7)];
    /** @type {any[]} */
    const answers = [];
    let memory;
    for (const some of parts) {
      const mobile = await Mobile.open(folder, { ...clients, state: store });
      if (memory) assert.deepEqual(await mobile.memory(), memory);
      for (const text of some) answers.push(await mobile.predict(text));
      memory = await mobile.memory();
      await mobile.close();
    }
    for (const [k, text] of texts.entries()) {
      const { route, path, cost, distances } = await whole.predict(text);
      const { route: r, path: p, cost: c, distances: d } = answers[k];
      assert.deepEqual([r, p, c, d], [route, path, cost, distances], text);
    }
    assert.deepEqual(await whole.memory(), memory);
    const { milliseconds, meanMilliseconds, ...sums } = await whole.ledger();
    const mobile = await Mobile.open(folder, { ...clients, state: store });
    const { milliseconds: m, meanMilliseconds: mean, ...again } = await mobile.ledger();
    assert.deepEqual(again, sums);
    assert.equal(sums.answers, texts.length);
    await Promise.all([whole.close(), mobile.close()]);
  }
});

test("a store that the browser closed, its answers still there, is opened again", async (context) => {
  const store = new MemoryStore();
  const mobile = await opened(context, learning.folder, { state: store });
  const first = await mobile.predict(texts[0], { id: "a" });
  const memory = await mobile.memory();
  store.open = false; // as IndexedDB says it in `onclose`
  const again = await mobile.predict(texts[1], { id: "a" });
  assert.deepEqual(
    [again.label, again.probabilities, again.recorded],
    [first.label, first.probabilities, true],
  );
  assert.deepEqual(await mobile.memory(), memory);
  assert.equal((await mobile.ledger()).answers, 1);
  store.open = false;
  assert.equal((await mobile.predict(texts[1])).recorded, true);
  assert.equal(total(await mobile.memory()), total(memory) + 1);
  assert.deepEqual((await mobile.ledger()).answers, 2);
});

test("another bundle's state and a damaged one are refused in a line", async () => {
  const store = new MemoryStore();
  const mobile = await Mobile.open(learning.folder, { state: store });
  for (const text of texts.slice(0, 3)) await mobile.predict(text);
  await mobile.close();
  await assert.rejects(Mobile.open(bandit.folder, { state: store }), MismatchError);
  const rest = /** @type {any} */ ((await store.load()).rest);
  const { learnt, sums } = rest;
  const counts = { shape: [2], data: Float64Array.of(-1, 2) };
  const wrong = [
    { format: 1 }, // of before there were check sums
    { format: 3 },
    { kind: "x" },
    { learnt: null },
    { learnt: { ...learnt, counts } },
    { learnt: { ...learnt, sums: { shape: [1], data: Float64Array.of(1) } } },
    { sums: { ...sums, answers: 2 } },
    { sums: { ...sums, routes: { mobile: 3, cloud: 1 } } },
    { sums: null },
    { watch: { line: 7 } },
  ].map((change) => ({ ...rest, ...change }));
  const flipped = structuredClone(rest);
  new Uint8Array(flipped.learnt.sums.data.buffer)[3] ^= 1; // a number like any other
  const damaged = [
    flipped,
    { ...rest, learnt: { counts: learnt.counts } },
    { ...rest, learnt: { ...learnt, counts: { ...learnt.counts, data: 7 } } },
    { ...rest, sums: { ...sums, costs: { ...sums.costs, mobile: sums.costs.mobile + 1 } } },
    { ...rest, due: rest.due + 1 },
    { ...rest, checkSum: undefined },
  ];
  for (const one of wrong) await isRefused(store, { ...one, checkSum: checkSumOf(one) }, "");
  for (const one of damaged) await isRefused(store, one, "its check sum differs");
  await store.transact(async (transaction) => transaction.put(rest));
  await (await Mobile.open(learning.folder, { state: store })).close();
});

/**
 * In one line, and as it is left.
 *
 * @param {MemoryStore} store
 * @param {any} rest what it holds
 * @param {string} problem
 */
async function isRefused(store, rest, problem) {
  await store.transact(async (transaction) => transaction.put(rest));
  await assert.rejects(Mobile.open(learning.folder, { state: store }), (error) => {
    assert.ok(error instanceof CorruptArtefactError, `${JSON.stringify(rest)}: ${error}`);
    assert.match(error.message, /name another state$/);
    assert.ok(error.message.includes(problem), error.message);
    assert.ok(!error.message.includes("\n"));
    return true;
  });
  assert.equal((await store.load()).rest, rest);
}

test("the check sum is that of zlib and Python, and of every part of what is summed", () => {
  const bytes = new TextEncoder().encode("123456789");
  assert.equal(crc32(bytes), 0xcbf43926); // the check value of CRC-32/ISO-HDLC
  assert.equal(crc32(bytes.subarray(4), crc32(bytes.subarray(0, 4))), 0xcbf43926);
  assert.equal(crc32(new Uint8Array()), 0);
  const learnt = { a: { shape: [2], data: Float64Array.of(1, 2) } };
  const sum = checkSumOf({ due: 1, learnt });
  assert.equal(checkSumOf({ due: 1, learnt: structuredClone(learnt), checkSum: 7 }), sum);
  const { data } = learnt.a;
  for (const other of [
    { due: 2, learnt },
    { due: 1, learnt: null },
    { due: 1, learnt: {} },
    { due: 1, learnt: { b: learnt.a } },
    { due: 1, learnt: { a: { shape: [1, 2], data } } },
    { due: 1, learnt: { a: { shape: [2], data: Float64Array.of(2, 1) } } },
  ]) {
    assert.notEqual(checkSumOf(other), sum);
  }
});

test("a store that refuses stops no answer, and has them all later", async (context) => {
  const warn = mock.method(console, "warn", () => undefined);
  context.after(() => warn.mock.restore());
  const store = new FullStore();
  const mobile = await opened(context, learning.folder, { state: store });
  await mobile.predict(texts[0], { id: "0" });
  store.full = true;
  for (const k of [1, 2, 3]) {
    assert.equal((await mobile.predict(texts[k], { id: `${k}` })).recorded, false);
  }
  const { answers, waiting, lost } = await mobile.ledger();
  assert.deepEqual([answers, waiting, lost], [1, 3, 0]);
  assert.equal(warn.mock.callCount(), 1);
  assert.match(String(warn.mock.calls[0].arguments[0]), /not recorded for now: there is no room/);
  const waits = await mobile.predict("another", { id: "2" });
  assert.equal(waits.recorded, false);
  const memory = await mobile.memory();
  store.full = false;
  assert.equal((await mobile.predict(texts[4], { id: "4" })).recorded, true);
  assert.equal((await mobile.predict("another", { id: "2" })).recorded, true);
  assert.deepEqual((await mobile.ledger()).answers, 5);
  assert.equal(total(await mobile.memory()), total(memory) + 1);
  await mobile.close();
  const again = await opened(context, learning.folder, { state: store });
  assert.equal(total(await again.memory()), total(memory) + 1);
  const { answers: all, learnt } = await again.ledger();
  assert.deepEqual([all, learnt], [5, 5]);
});

test("no text is stored", async (context) => {
  const store = new MemoryStore();
  const secret = "a very secret sentence";
  const infer = async () => {
    throw new TierError("cloud", "refused", `HTTP 400: cannot read ${secret}`, true);
  };
  const mobile = await opened(context, bundleOf("all-cloud").folder, {
    state: store,
    clients: { cloud: { infer } },
  });
  const { calls } = await mobile.predict(secret, { id: "x" });
  assert.ok(calls[0].detail?.includes(secret));
  const found = await store.find("x");
  // What Python's rows hold; the path tells what ran, and the ledger is added up already.
  assert.deepEqual(Object.keys(found).sort(), [
    ...["answeredBy", "cost", "distances", "fallbackReason", "id", "label", "margin"],
    ...["milliseconds", "path", "probabilities", "probability", "route", "safe", "tried"],
  ]);
  assert.ok(!JSON.stringify(found).includes(secret));
});

test("the ledger is Python's on the same texts", async (context) => {
  for (const { system, inputs, ledger } of casesOf("ledgers.json")) {
    const mobile = await opened(context, bundleOf(system).folder);
    for (const { id, text } of inputs) await mobile.predict(text, { id });
    const { milliseconds, meanMilliseconds, ...found } = await mobile.ledger();
    assert.ok(Number(meanMilliseconds) > 0 && milliseconds.mobile > 0);
    for (const [name, value] of Object.entries(ledger)) {
      const got = /** @type {Record<string, unknown>} */ (found)[name];
      if (typeof value === "number") assert.ok(Math.abs(Number(got) - value) < 1e-9, name);
      else assert.deepEqual(got, value, `${system}: ${name}`);
    }
    assert.deepEqual(Object.keys(found).sort(), Object.keys(ledger).sort());
  }
});

test("the parts of an answer's time are told, and what a mobile is", async (context) => {
  const mobile = await opened(context, learning.folder, { clients: { cloud: client() } });
  for (const text of texts.slice(0, 5)) {
    const { parts, milliseconds } = await mobile.predict(text);
    assert.deepEqual(Object.keys(parts).sort(), [
      ...["decide", "embed", "layers", "record", "tiers", "tokenise"],
    ]);
    const { record, ...before } = parts;
    assert.ok(record > 0);
    assert.ok(Object.values(before).reduce((sum, one) => sum + one, 0) <= milliseconds);
    assert.ok(before.embed > 0);
  }
  const info = await mobile.info();
  assert.equal(info.state, ":memory:");
  assert.equal(info.adaptive, true);
  assert.equal(info.safe, false);
  assert.equal(info.cached, false);
  assert.ok(info.startMilliseconds > 0 && info.bytes > 1000);
});

test("a mobile that is closed answers what was asked, and nothing more", async () => {
  const mobile = await Mobile.open(learning.folder, { clients: { cloud: client() } });
  const asked = texts.map((/** @type {string} */ text) => mobile.predict(text));
  const closing = mobile.close();
  await assert.rejects(mobile.predict("a film"), ConfigError);
  assert.equal((await Promise.all(asked)).length, texts.length);
  await closing;
  await mobile.close();
  await assert.rejects(mobile.decide("a film"), ConfigError);
  await assert.rejects(Mobile.open(learning.folder, { state: "named" }), /no IndexedDB here/);
  await assert.rejects(Mobile.open(learning.folder, { state: "" }), /state must be the name/);
});
