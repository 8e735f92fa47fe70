/** Every bundle against its golden vectors, which Python is held against too. */

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";

import { openBundle } from "../src/bundle.js";
import { coreOf } from "../src/core.js";
import { Mobile } from "../src/index.js";
import { loaderOf } from "../src/loader.js";
import { assertClose, bundles, goldenOf, textOf } from "./support.js";

for (const folder of bundles()) {
  const golden = goldenOf(folder);
  const named = `${path.basename(folder)} (${golden.policy.kind})`;
  const learns = golden.learns !== "never";

  test(`${named}: token ids, embeddings and exits`, async () => {
    const core = await coreOf(await openBundle(await loaderOf(folder)));
    for (const input of golden.inputs) await compareGraphs(core, input, golden);
    await core.release();
  });

  test(`${named}: every way, as fitted`, () => {
    return compareWays(folder, golden, "alone", learns ? { adaptive: false } : {});
  });

  if (learns) {
    test(`${named}: every way, learning`, () =>
      compareWays(folder, golden, "learning", { adaptive: true }));
  }
}

/**
 * @param {import("../src/core.js").Core} core
 * @param {any} input
 * @param {any} golden
 */
async function compareGraphs(core, input, golden) {
  const where = `${input.of}: ${JSON.stringify(textOf(input)).slice(0, 60)}`;
  const [device] = golden.tiers;
  const encoding = core.tokenise(textOf(input));
  assert.deepEqual(encoding.ids, input.input_ids, where);
  if (input.token_type_ids) assert.deepEqual(encoding.types, input.token_type_ids, where);
  const embedded = await core.embed(encoding);
  const exact = golden.precisions[device] === "fp32";
  if (exact) assertClose(embedded.pooled, input.embedding, where);
  const exits = input.exits.filter((/** @type {any} */ exit) => exit.tier === device);
  assert.deepEqual(
    exits.map((/** @type {any} */ exit) => exit.layer),
    core.exit0 ? [0, ...core.exits] : core.exits,
  );
  for (const { layer, probabilities } of exits) {
    const said = await core.run(embedded, layer);
    if (exact) assertClose(said, probabilities, `${where}, layer ${layer}`);
  }
}

/**
 * @param {string} folder
 * @param {any} golden
 * @param {"alone" | "learning"} which
 * @param {import("../mobile.js").Options} options
 */
async function compareWays(folder, golden, which, options) {
  let /** @type {any} */ current = null;
  const infer = async (/** @type {import("../mobile.js").Question} */ { tier, text, inputs }) => {
    assert.deepEqual(text, textOf(current));
    assert.deepEqual([...inputs.input_ids].map(Number), current.input_ids);
    const exits = current.exits.filter((/** @type {any} */ exit) => exit.tier === tier);
    return Float32Array.from(exits.at(-1).probabilities);
  };
  const [, ...further] = golden.tiers;
  const clients = Object.fromEntries(further.map((/** @type {string} */ t) => [t, { infer }]));
  const mobile = await Mobile.open(folder, { ...options, clients });
  assert.deepEqual(mobile.tiers, golden.tiers);
  assert.deepEqual(mobile.labels, golden.labels);
  assert.equal(mobile.policy, golden.policy.name);
  assert.equal(mobile.adaptive, which === "learning");
  let compared = 0;
  for (const input of golden.inputs) {
    current = input;
    const choice = await mobile.decide(textOf(input));
    const answer = await mobile.predict(textOf(input));
    if (!input[which].clear) continue;
    compareWay(choice, answer, input[which], golden, input.of);
    compared += 1;
  }
  assert.ok(
    compared >= golden.inputs.length / 2,
    `${compared} of ${golden.inputs.length} are clear`,
  );
  await mobile.close();
}

/**
 * @param {import("../mobile.js").Choice} choice
 * @param {import("../mobile.js").Prediction} answer
 * @param {any} way
 * @param {any} golden
 * @param {string} where
 */
function compareWay(choice, answer, way, golden, where) {
  const { first } = way;
  assert.equal(choice.tierName, first.tier, where);
  assert.equal(answer.route, first.tier, where);
  for (const scores of [choice.scores, answer.distances]) {
    const told = Object.entries(scores);
    const expected = first.scores.map((/** @type {any} */ one, /** @type {number} */ k) => [
      golden.tiers[k],
      one,
    ]);
    assert.deepEqual(
      told.map(([tier]) => tier),
      expected.map((/** @type {any[]} */ [tier]) => tier),
      where,
    );
    const number = (/** @type {any} */ [, one]) => one ?? -1; // null is infinitely far
    assertClose(told.map(number), expected.map(number), where);
  }
  assertClose([answer.margin ?? -1], [first.margin ?? -1], where);
  assert.deepEqual(answer.path, way.path, where);
  assert.equal(answer.answeredBy, way.answered_by[0], where);
  assert.equal(answer.label, way.label, where);
  assertClose([answer.cost], [way.cost], where, 1e-9);
  assert.deepEqual([answer.tried, answer.fallbackReason], [[], null], where);
}
