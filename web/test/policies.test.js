/** Every kind of policy against Python's steps, on random samples that take it everywhere. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { assertClose, casesOf } from "./support.js";
import { stepsOf, wayOf } from "./ways.js";

for (const { name, policy, arrays, learns, site, samples } of casesOf("policies.json")) {
  test(`${name}: ${samples.length} ways`, () => {
    const steps = stepsOf(policy, arrays, site);
    assert.equal(steps.learns, learns);
    const reach = new Set(steps.reach.map((step) => `${step.tier}:${step.layer}`));
    samples.forEach((/** @type {any} */ sample, /** @type {number} */ k) => {
      const where = `sample ${k}`;
      const { first, walk, answer } = wayOf(steps, sample, site);
      assert.deepEqual([first.tier, first.layer], sample.first, where);
      const number = (/** @type {number | null} */ one) => one ?? Infinity;
      const finite = (/** @type {number} */ one) => (one === Infinity ? -1 : one);
      assertClose(first.scores.map(finite), sample.scores.map(number).map(finite), where, 1e-9);
      const seen = walk.looks.map((look) => [look.tier, look.layer]);
      assert.deepEqual(seen, sample.seen, where);
      assert.deepEqual([answer.tier, answer.layer], sample.answer, where);
      for (const [tier, layer] of seen) assert.ok(reach.has(`${tier}:${layer}`), where);
    });
  });
}
