/** Who is asked where a tier fails. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Course, fallbackOrder } from "../src/course.js";
import { ConfigError, TierError } from "../src/errors.js";
import { ANSWER, Go, Walk } from "../src/step.js";
import { paperTiers } from "./support.js";

const SAID = Float32Array.of(0.25, 0.75);
const OTHERWISE = Float32Array.of(0.625, 0.375);

/** @param {Go} first */
function courseTo(first) {
  const walk = new Walk({ embedding: new Float32Array(4), tokens: 9 });
  return new Course(walk, first, fallbackOrder(first.tier, "accuracy", paperTiers), paperTiers);
}

/** @param {string} tier */
function timeout(tier) {
  return new TierError(tier, "timeout", "no answer within 1 s", true);
}

test("the deepest of the others is asked, or the dearest of those that are cheaper", () => {
  const orders = [0, 1, 2].map((tier) => fallbackOrder(tier, "accuracy", paperTiers));
  assert.deepEqual(orders, [[0], [1, 2, 0], [2, 1, 0]]);
  const cheaper = [0, 1, 2].map((tier) => fallbackOrder(tier, "cost", paperTiers));
  assert.deepEqual(cheaper, [[0], [1, 0], [2, 1, 0]]);
  const other = /** @type {any} */ ("luck");
  assert.throws(() => fallbackOrder(1, other, paperTiers), ConfigError);
});

test("where nothing has spoken, the others are asked in turn, the device last", () => {
  const course = courseTo(new Go(1, 3));
  course.failed(timeout("edge"));
  assert.deepEqual([course.tier, course.layer, course.reason], [2, 6, "edge: timeout"]);
  course.failed(timeout("cloud"));
  assert.deepEqual([course.tier, course.layer, course.answer], [0, 2, null]);
  course.see(SAID, () => assert.fail("the policy is not asked again"));
  assert.equal(course.answer?.prediction, 1);
  assert.deepEqual(course.path, [{ tier: 0, start: 0, stop: 2, payload: null }]);
  assert.equal(course.reason, "edge: timeout; cloud: timeout");
});

test("where an exit has spoken, what it said is the answer", () => {
  const course = courseTo(new Go(0, 2));
  course.see(OTHERWISE, () => new Go(2, 6));
  assert.equal(course.tier, 2);
  course.failed(timeout("cloud"));
  assert.deepEqual([course.answer?.tier, course.answer?.prediction], [0, 0]);
  assert.deepEqual(course.path, [{ tier: 0, start: 0, stop: 2, payload: null }]);
});

test("a longer stay at a tier goes on where it was, and a text to another begins anew", () => {
  const course = courseTo(new Go(0, 1));
  course.see(SAID, () => new Go(0, 2));
  course.see(SAID, () => new Go(1, 3));
  course.see(SAID, () => ANSWER);
  assert.deepEqual(course.path, [
    { tier: 0, start: 0, stop: 2, payload: null },
    { tier: 1, start: 0, stop: 3, payload: "text" },
  ]);
});

test("a step that leads nowhere, or back, is refused", () => {
  const course = courseTo(new Go(1, 3));
  for (const step of [new Go(0, 2), new Go(1, 3), new Go(2, 0), new Go(3, 6)]) {
    assert.throws(() => course.see(SAID, () => step), ConfigError);
  }
  assert.throws(() => courseTo(new Go(1, 3, { payload: "hidden" })), /no hidden states/);
});
