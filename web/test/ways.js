/** Policies of the cases, and the ways of samples by them. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";

import { makeOf } from "../src/policies/kinds.js";
import { arraysOf } from "../src/safetensors.js";
import { Site } from "../src/site.js";
import { Go, Walk } from "../src/step.js";

/**
 * The steps of a case's policy.
 *
 * @param {any} stored
 * @param {string | null} file
 * @param {any} site
 */
export function stepsOf(stored, file, { tiers, exits, sources }) {
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
export function wayOf(steps, sample, { tiers, exits, sources }) {
  const embedding = Float32Array.from(sample.embedding);
  const walk = new Walk({ embedding, tokens: sample.tokens });
  const first = steps.begin(walk.signal);
  assert.ok(first instanceof Go);
  if (steps.learns === "deciding") steps.learn?.(walk, first);
  let step = /** @type {import("../src/step.js").Step} */ (first);
  const taken = [step];
  while (step instanceof Go) {
    walk.go(step, tiers);
    const { tier, layer } = step;
    const column = exits.findIndex((/** @type {number} */ exit, /** @type {number} */ k) => {
      return exit === layer && sources[k] === tiers[tier].source;
    });
    walk.see(Float32Array.from(sample.said[column]));
    step = steps.after(walk);
    taken.push(step);
  }
  if (steps.learns === "answered") steps.learn?.(walk, first);
  return { first, walk, answer: walk.answer(step), taken };
}
