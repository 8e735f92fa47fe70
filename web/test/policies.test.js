/** Every kind of policy against Python's steps, on random samples that take it everywhere. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { makeOf } from "../src/policies/kinds.js";
import { arraysOf } from "../src/safetensors.js";
import { Site } from "../src/site.js";
import { Go, Walk } from "../src/step.js";
import { assertClose, casesOf } from "./support.js";

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

/**
 * @param {any} stored
 * @param {string | null} file
 * @param {any} site
 */
function stepsOf(stored, file, { tiers, exits, sources }) {
  const root = String(process.env.DIMEC_BUNDLES);
  const content = file && Uint8Array.from(readFileSync(path.join(root, file)));
  return makeOf(
    stored.kind,
    stored.format,
    "policy.json",
  )({
    settings: stored.settings,
    arrays: content ? arraysOf(content, "policy", String(file)).arrays : new Map(),
    site: new Site(tiers.map(tierOf), exits, sources),
    adaptive: null,
  });
}

/**
 * @param {any} told
 * @returns {import("../src/tiers.js").Tier}
 */
function tierOf({
  layer_price: layerPrice,
  send_price: sendPrice,
  visit_price: visitPrice,
  ...rest
}) {
  return { ...rest, layerPrice, sendPrice, visitPrice };
}

/**
 * The way of a sample, from which the policy learns if it does.
 *
 * @param {import("../src/step.js").Steps} steps
 * @param {any} sample
 * @param {any} site
 */
function wayOf(steps, sample, { tiers, exits, sources }) {
  const embedding = Float32Array.from(sample.embedding);
  const walk = new Walk({ embedding, tokens: sample.tokens });
  const first = steps.begin(walk.signal);
  assert.ok(first instanceof Go);
  if (steps.learns === "deciding") steps.learn?.(walk, first);
  let step = /** @type {import("../src/step.js").Step} */ (first);
  while (step instanceof Go) {
    walk.go(step, tiers);
    const { tier, layer } = step;
    const column = exits.findIndex((/** @type {number} */ exit, /** @type {number} */ k) => {
      return exit === layer && sources[k] === tiers[tier].source;
    });
    walk.see(Float32Array.from(sample.said[column]));
    step = steps.after(walk);
  }
  if (steps.learns === "answered") steps.learn?.(walk, first);
  return { first, walk, answer: walk.answer(step) };
}
