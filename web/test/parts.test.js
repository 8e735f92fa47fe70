/** Small parts, by worked cases. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { CorruptArtefactError } from "../src/errors.js";
import { bigramRow, shareBins, sidesOf } from "../src/exit0_rows.js";
import { ofHalf } from "../src/float16.js";
import { sha256 } from "../src/hashing.js";
import { argmax, roundHalfEven, sigmoid, softmax } from "../src/numbers.js";
import { agreements, entropy } from "../src/policies/exits.js";
import { bestArm } from "../src/policies/arms.js";
import { pointsOf } from "../src/policies/cascade.js";
import { featuresOf } from "../src/policies/features.js";
import { wayOf } from "../src/policies/walk.js";
import { promiseIn, toldPromise } from "../src/contract/promise.js";
import { arraysOf } from "../src/safetensors.js";
import { Site, siteOf } from "../src/site.js";
import { costOf } from "../src/tiers.js";
import { cut, pairSizes } from "../src/truncation.js";
import { Turns } from "../src/turns.js";
import { assertClose, paperTiers } from "./support.js";

test("halves are the numbers that the standard says", () => {
  /** @type {[number, number][]} */
  const known = [
    [0x3c00, 1],
    [0xc000, -2],
    [0x3555, 0.333251953125],
    [0x7bff, 65504],
    [0x0400, 2 ** -14],
    [0x0001, 2 ** -24],
    [0x83ff, -1023 * 2 ** -24],
    [0x0000, 0],
    [0x7c00, Infinity],
  ];
  for (const [bits, value] of known) assert.equal(ofHalf(bits), value, bits.toString(16));
  assert.ok(Object.is(ofHalf(0x8000), -0));
  assert.ok(Number.isNaN(ofHalf(0x7e00)));
});

test("a hash is SHA-256 of the bytes", async () => {
  const known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  assert.equal(await sha256(new TextEncoder().encode("abc")), known);
});

test("numbers: ties, halves, and sizes beyond an exponential", () => {
  assert.equal(argmax([0.2, 0.4, 0.4]), 1);
  assert.deepEqual([0.5, 1.5, -0.5, -1.5, 2.4].map(roundHalfEven), [0, 2, 0, -2, 2]);
  assert.deepEqual([sigmoid(0), sigmoid(800), sigmoid(-800)], [0.5, 1, 0]);
  assert.deepEqual(softmax([1000, 1000]), [0.5, 0.5]);
});

test("exit 0 looks up the rows that its definition names", () => {
  assert.deepEqual([bigramRow(7, 8, 16), bigramRow(8, 7, 16)], [26905, 17566]);
  assert.deepEqual(shareBins(1, 2, 2), [8, 13, 10]);
  const [first, second, both] = sidesOf([5, 6, 2, 6, 7, 2], [1, 2, 0, 2, 3, 0], 2);
  assert.deepEqual([[...first], [...second], [...both]], [[1], [3], [2]]);
});

test("of a pair the longer text is cut first, and an odd place is the longer one's", () => {
  assert.deepEqual(pairSizes(3, 4, 9), [3, 4]);
  assert.deepEqual(pairSizes(2, 9, 7), [2, 5]);
  assert.deepEqual(pairSizes(9, 2, 7), [5, 2]);
  assert.deepEqual(pairSizes(9, 8, 7), [4, 3]);
  assert.deepEqual(pairSizes(8, 8, 7), [3, 4]);
  assert.deepEqual(cut([1, 2, 3], 2, "right"), [1, 2]);
  assert.deepEqual(cut([1, 2, 3], 2, "left"), [2, 3]);
  assert.deepEqual(cut([1, 2, 3], 0, "left"), []);
});

test("a path costs its layers, its sendings and its visits", () => {
  const visit = { start: 0, payload: /** @type {"text"} */ ("text") };
  // λ_m·2; then o_e + λ_e·3; and o_c in vain.
  const path = [
    { ...visit, tier: 0, stop: 2 },
    { ...visit, tier: 1, stop: 3 },
  ];
  assert.equal(costOf(path, [], paperTiers), 3 + 2.5 + 3);
  assert.equal(costOf(path, [2], paperTiers), 3 + 2.5 + 3 + 3);
  // γ is charged by its share where the cloud stops early.
  assert.equal(costOf([{ ...visit, tier: 2, stop: 3 }], [], paperTiers), 3 + 6 / 2);
  assert.equal(costOf([{ ...visit, tier: 0, stop: 0 }], [], paperTiers), 0);
});

test("rules of early exit", () => {
  const said = [1, 1, 1, 0, 0].map((prediction) => ({ prediction }));
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((size) => agreements(said.slice(0, size))),
    [0, 1, 2, 0, 1],
  );
  assert.equal(entropy([0.5, 0.5]), Math.log(2));
  assert.deepEqual([entropy([1, 0]), entropy([1.0000001, 0])], [0, 0]);
});

test("a bandit plays what is good or little known, and of equals the first", () => {
  assert.equal(bestArm([0.5, 0.6], [10, 10], 1, 20), 1);
  assert.equal(bestArm([0.5, 0.6], [1, 100], 1, 101), 0);
  assert.equal(bestArm([0.5, 0.5], [3, 3], 1, 6), 0);
});

test("features of two and of three classes, worked by hand", () => {
  const sure = Math.log(0.75 / 0.25);
  const unsure = -(0.75 * Math.log(0.75) + 0.25 * Math.log(0.25));
  assertClose(featuresOf([7], [[0.25, 0.75]]), [7, sure, unsure, 1, sure, sure ** 2], "two", 1e-12);
  const top = Math.log(0.5 / 0.5);
  const spread = -(0.5 * Math.log(0.5) + 0.3 * Math.log(0.3) + 0.2 * Math.log(0.2));
  const three = [top, spread, Math.log(0.5 / 0.3), 0, 1, 0, top];
  const agreeing = featuresOf(
    [],
    [
      [0.3, 0.2, 0.5],
      [0.5, 0.3, 0.2],
    ],
  );
  assertClose(agreeing.slice(0, 7), three, "three", 1e-12);
  assert.deepEqual(agreeing.slice(-3), [0, top ** 2, top ** 2]); // they do not agree
});

test("the exits of a site are those of each tier's model", () => {
  const one = new Site(paperTiers, [0, 1, 2, 3, 6]);
  assert.deepEqual([one.exitsOf(2), one.exit0, one.layers], [[1, 2, 3, 6], true, 6]);
  const tiers = paperTiers.map((tier, k) => ({ ...tier, source: k < 2 ? "small" : "large" }));
  const own = new Site(tiers, [2, 3, 3, 6], ["small", "small", "large", "large"]);
  assert.deepEqual([own.exitsOf(0), own.exitsOf(2), own.exit0], [[2, 3], [3, 6], false]);
  /** @type {any} */
  const manifest = { tiers, segments: [2], files: new Map([["exit0.safetensors", {}]]) };
  const sources = ["small", "small", "large"];
  const told = siteOf({ ...manifest, provenance: { exits: [2, 3, 6], sources } });
  assert.deepEqual([told.exitsOf(0), told.exit0], [[2, 3], true]);
  assert.deepEqual(siteOf({ ...manifest, provenance: {} }).exits, [0, 2, 3, 6]);
  assert.throws(() => siteOf({ ...manifest, provenance: { exits: [2], sources } }), /2 exits/);
});

test("ways and points lead through the device's exits to the further tiers", () => {
  const site = new Site(paperTiers, [0, 1, 2, 3, 6]);
  const own = [
    [0, 1],
    [0, 2],
  ];
  assert.deepEqual(wayOf(site, { between: true, exit0: false }), [...own, [1, 3], [2, 6]]);
  assert.deepEqual(wayOf(site, { between: false, exit0: true }), [[0, 0], ...own, [2, 6]]);
  const points = pointsOf(new Site(paperTiers, [2, 3, 6]));
  assert.deepEqual(points, [
    [],
    [[0, 2]],
    [
      [0, 2],
      [1, 3],
    ],
    [
      [0, 2],
      [2, 6],
    ],
    [[1, 3]],
    [[2, 6]],
  ]);
});

test("what a policy promises is told as Python tells it", () => {
  const none = { max_accuracy_drop: null, max_disagreement: null, max_cost: null };
  const calibration = { different_bound: 0.02 };
  const told = (/** @type {object} */ one) => {
    return toldPromise(promiseIn({ contract: { ...none, calibration, ...one } }));
  };
  const drop = { max_accuracy_drop: 0.5, confidence: 0.95 };
  assert.equal(told(drop), "drop at most 0.5 points at 95 % confidence");
  const differ = { max_disagreement: 2, confidence: 0.9 };
  assert.equal(told(differ), "at most 2 % of answers differ, at 90 % confidence");
  const cost = { max_cost: 4, confidence: 0.995 };
  assert.equal(told(cost), "mean cost at most 4 lambda at 99.5 % confidence");
  assert.equal(toldPromise(promiseIn({})), null);
  for (const contract of [{ ...none, calibration, confidence: 0.9 }, { ...drop }, 7]) {
    assert.throws(() => promiseIn({ contract }), CorruptArtefactError);
  }
});

test("turns are taken in order, also after one that failed", async () => {
  const turns = new Turns();
  /** @type {string[]} */
  const log = [];
  const slow = turns.take(async () => {
    await new Promise((resolve) => setImmediate(resolve));
    log.push("slow");
    throw new Error("and failed");
  });
  const next = turns.take(async () => log.push("next"));
  await assert.rejects(slow, /and failed/);
  await next;
  assert.deepEqual(log, ["slow", "next"]);
});

test("a file of arrays gives them back, and what is none is refused", () => {
  const header = {
    __metadata__: { "dimec.kind": "policy", "dimec.format": "1", name: '"x"' },
    a: { dtype: "F64", shape: [2], data_offsets: [0, 16] },
    n: { dtype: "I64", shape: [1], data_offsets: [16, 24] },
  };
  const bytes = fileOf(header, [new Float64Array([0.5, -1]), new BigInt64Array([3n])]);
  const { arrays, metadata } = arraysOf(bytes, "policy", "x");
  assert.deepEqual([...(arrays.get("a")?.data ?? [])], [0.5, -1]);
  assert.deepEqual([...(arrays.get("n")?.data ?? [])], [3]);
  assert.deepEqual(metadata, { name: "x" });
  const refuses = (
    /** @type {Uint8Array<ArrayBuffer>} */ content,
    /** @type {RegExp} */ problem,
  ) => {
    assert.throws(
      () => arraysOf(content, "policy", "x"),
      (error) => {
        return error instanceof CorruptArtefactError && problem.test(error.message);
      },
    );
  };
  refuses(bytes.slice(0, -1), /another size/);
  refuses(bytes.slice(0, 5), /not a policy file/);
  refuses(fileOf({ ...header, a: { ...header.a, dtype: "F8" } }, []), /of the type F8/);
  refuses(fileOf({ ...header, __metadata__: {} }, []), /of the kind null/);
  assert.throws(() => arraysOf(bytes, "exit 0", "x"), /of the kind policy, expected exit 0/);
});

/**
 * @param {object} header
 * @param {ArrayBufferView[]} arrays
 */
function fileOf(header, arrays) {
  const told = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(told.length));
  const data = arrays.map((one) => Buffer.from(one.buffer));
  return Uint8Array.from(Buffer.concat([size, told, ...data]));
}
