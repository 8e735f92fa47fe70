/** The reason of every step of every kind of policy: its values imply the step that was taken. */

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";

import { kinds, Mobile } from "../src/index.js";
import { told, toldApart } from "../src/policies/reasons.js";
import { Go } from "../src/step.js";
import { bundles, casesOf, goldenOf, textOf } from "./support.js";
import { stepsOf, wayOf } from "./ways.js";

/** @typedef {import("../src/step.js").Walk} Walk */
/** @typedef {import("../mobile.js").PolicyStep} PolicyStep */
/** @typedef {Record<string, any>} Values */

/** Kind → what its numbers implied, and how often. @type {Map<string, Map<string, number>>} */
const implied = new Map();

/** The keys of the best values; several where they are equal.
 * @param {Record<string, number | null>} values
 * @param {(a: number, b: number) => boolean} better */
function bests(values, better) {
  const known = /** @type {[string, number][]} */ (
    Object.entries(values).filter(([, value]) => value !== null)
  );
  return known.filter(([, one]) => !known.some(([, other]) => better(other, one))).map(([k]) => k);
}

const highest = (/** @type {Values} */ values) => bests(values, (a, b) => a > b);
const lowest = (/** @type {Values} */ values) => bests(values, (a, b) => a < b);

/**
 * Whether numbers that decide between answering and going on do so as was done.
 *
 * @param {PolicyStep} step
 * @param {boolean} answers
 */
function answersIff({ next, why }, answers) {
  assert.equal(next === "answer", answers, why);
  return answers ? "answer" : "go on";
}

/** @param {PolicyStep} step */
function goesTo({ next }) {
  assert.notEqual(next, "answer");
  return /** @type {{tier: string, layer: number}} */ (next);
}

/** @type {(step: PolicyStep) => string} */
function sure(step) {
  const { confidence, threshold } = /** @type {Values} */ (step.values);
  return answersIff(step, confidence >= threshold);
}

/** @type {(step: PolicyStep) => string} */
function fixed(step) {
  assert.equal(goesTo(step).tier, step.values.tier);
  return "always";
}

/** The arm that is played is the best one, where each has had its reward.
 * @param {PolicyStep} step */
function arm({ values }) {
  const { played, indexes, means, samples } = /** @type {Values} */ (values);
  assert.equal(typeof samples, "number");
  if (!indexes) return "tried";
  assert.ok(highest(indexes).includes(played), played);
  for (const [name, mean] of Object.entries(means)) assert.ok(indexes[name] >= mean, name);
  return "best";
}

/** Kind → what the values of a step imply; "" of those steps that no numbers decide.
 * @type {Record<string, (step: PolicyStep, before: PolicyStep[]) => string>} */
const CHECKS = {
  centroid(step) {
    if (step.at) return "";
    const { distances, margin } = /** @type {Values} */ (step.values);
    const { tier } = goesTo(step);
    assert.ok(lowest(distances).includes(tier), step.why);
    const others = { ...distances, [tier]: null };
    const [next] = lowest(others);
    assert.equal(margin, next === undefined ? null : others[next] - distances[tier]);
    return `to ${tier}`;
  },
  tier: (step) => (step.at ? "" : fixed(step)),
  bert: (step) => (step.at ? "" : fixed(step)),
  neighbours(step) {
    if (step.at) return "";
    const { right, prices, utilities } = /** @type {Values} */ (step.values);
    const { tier } = goesTo(step);
    assert.ok(highest(utilities).includes(tier), step.why);
    for (const name of Object.keys(utilities)) {
      assert.ok(right[name] >= 0 && right[name] <= 1, name);
      assert.equal(utilities[name], right[name] - prices[name]);
    }
    return `to ${tier}`;
  },
  cascade(step) {
    const { choices, chosen } = /** @type {Values} */ (step.values);
    if (!choices) return "";
    const utilities = Object.fromEntries(
      Object.entries(choices).map(([name, { expected, cost, utility }]) => {
        assert.equal(utility, expected - cost, name);
        return [name, utility];
      }),
    );
    assert.ok(highest(utilities).includes(chosen), step.why);
    const { next } = step;
    assert.equal(next === "answer" ? next : `${next.tier} ${next.layer}`, chosen);
    return next === "answer" ? "answer" : "go on";
  },
  deebert(step) {
    if (!("threshold" in step.values)) return "";
    const { entropy, threshold } = /** @type {Values} */ (step.values);
    return answersIff(step, entropy < threshold);
  },
  pabee(step) {
    if (!("patience" in step.values)) return "";
    const { agreements, patience } = /** @type {Values} */ (step.values);
    return answersIff(step, agreements >= patience);
  },
  "uee-ucb"(step, before) {
    if (!step.at) return arm(step);
    const [{ values }] = before;
    return answersIff(step, `exit ${step.at.layer}` === values.played);
  },
  lee(step) {
    if (step.at) return "";
    assert.equal(step.values.played, `exit ${goesTo(step).layer}`);
    return arm(step);
  },
  dee(step) {
    if (!("promised" in step.values)) return "";
    const { confidence, cost, now, promised } = /** @type {Values} */ (step.values);
    assert.equal(now, confidence - cost);
    if (promised !== null) return answersIff(step, now >= promised);
    answersIff(step, false);
    return "tried";
  },
  ceebert(step, before) {
    if (!step.at) return arm(step);
    if (!("threshold" in step.values)) return "";
    assert.equal(`threshold ${step.values.threshold}`, before[0].values.played);
    return sure(step);
  },
  "max-softmax": (step) => ("threshold" in step.values ? sure(step) : ""),
  "max-softmax-tiers": (step) => ("threshold" in step.values ? sure(step) : ""),
  "exit-thresholds": (step) => ("threshold" in step.values ? sure(step) : ""),
  deferral(step) {
    if (!("gain" in step.values)) return "";
    const { right, rightAtLast, gain, price } = /** @type {Values} */ (step.values);
    assert.equal(gain, rightAtLast - right);
    return answersIff(step, gain <= price);
  },
  cats(step) {
    if (!("agreement" in step.values)) return "";
    const { agreement, threshold } = /** @type {Values} */ (step.values);
    return answersIff(step, agreement > threshold);
  },
};

/**
 * Steps that hang together, each implied by its values.
 *
 * @param {string} kind
 * @param {readonly PolicyStep[]} steps
 * @param {(place: {tier: string, layer: number}) => ArrayLike<number> | null} said by an exit
 */
function checkSteps(kind, steps, said) {
  const found = implied.get(kind) ?? new Map();
  implied.set(kind, found);
  steps.forEach((step, k) => {
    assert.deepEqual(step.at, k ? steps[k - 1].next : null);
    assert.ok(step.why.length > 5 && !/undefined|NaN|\[object/.test(step.why), step.why);
    assert.deepEqual(JSON.parse(JSON.stringify(step.values)), step.values, step.why);
    const seen = step.at && said(step.at);
    if (seen && "confidence" in step.values) {
      assert.equal(step.values.confidence, Math.max(...Array.from(seen)));
    }
    const what = CHECKS[kind](step, steps.slice(0, k));
    if (what) found.set(what, (found.get(what) ?? 0) + 1);
  });
  assert.equal(steps.at(-1)?.next, "answer");
}

test("there is a check of each kind", () => {
  assert.deepEqual(Object.keys(CHECKS).sort(), [...kinds].sort());
});

for (const folder of bundles()) {
  const golden = goldenOf(folder);
  test(`${path.basename(folder)} (${golden.policy.kind}): the reasons of an answer`, async () => {
    let /** @type {any} */ current = null;
    const infer = async (/** @type {import("../mobile.js").Question} */ { tier }) => {
      const exits = current.exits.filter((/** @type {any} */ exit) => exit.tier === tier);
      return Float32Array.from(exits.at(-1).probabilities);
    };
    const further = golden.tiers.slice(1);
    const clients = Object.fromEntries(further.map((/** @type {string} */ t) => [t, { infer }]));
    const mobile = await Mobile.open(folder, { clients });
    for (const input of golden.inputs) {
      current = input;
      const { path: way, distances, steps } = await mobile.predict(textOf(input));
      checkSteps(golden.policy.kind, steps, () => null);
      assert.equal(goesTo(steps[0]).tier, way[0].tier);
      if (golden.policy.kind === "centroid") assert.deepEqual(steps[0].values.distances, distances);
    }
    await mobile.close();
  });
}

for (const { name, policy, arrays, site, samples } of casesOf("policies.json")) {
  test(`${name}: the reasons of ${samples.length} ways`, () => {
    const steps = stepsOf(policy, arrays, site);
    const ways = samples.map((/** @type {any} */ sample) => {
      const { taken, walk } = wayOf(steps, sample, site);
      const again = () => toldSteps(taken, walk, site);
      return { told: again(), again, walk };
    });
    for (const { told: reasons, again, walk } of ways) {
      assert.deepEqual(again(), reasons, "what was learnt later has changed a reason");
      checkSteps(policy.kind, reasons, ({ tier, layer }) => {
        const same = (/** @type {any} */ look) => {
          return site.tiers[look.tier].name === tier && look.layer === layer;
        };
        return walk.looks.find(same)?.probabilities ?? assert.fail(`${tier} ${layer} was not seen`);
      });
    }
  });
}

test("the digits shown tell two numbers apart", () => {
  assert.deepEqual(toldApart(0.9, 0.5), ["0.9", "0.5"]);
  assert.deepEqual(toldApart(0.89999, 0.9), ["0.89999", "0.9"]);
  assert.deepEqual(toldApart(0.5, 0.5), ["0.5", "0.5"]);
  const [a, b] = toldApart(0.1 + 0.2, 0.3);
  assert.notEqual(a, b);
  assert.deepEqual([told(123.456), told(Infinity)], ["123", "none"]);
});

test("the random samples are taken each way by every kind", () => {
  const both = ["answer", "go on"];
  const decide = ["deebert", "pabee", "max-softmax", "max-softmax-tiers", "exit-thresholds"];
  for (const kind of [...decide, "deferral", "cats", "cascade", "uee-ucb", "ceebert", "dee"]) {
    const ways = [...(implied.get(kind)?.keys() ?? [])];
    for (const one of both) assert.ok(ways.includes(one), `${kind} never implied to ${one}`);
  }
  for (const kind of ["centroid", "neighbours"]) {
    assert.ok(Number(implied.get(kind)?.size) > 1, `${kind} went to one tier only`);
  }
  for (const kind of ["lee", "uee-ucb", "ceebert"]) {
    assert.ok(implied.get(kind)?.get("best"), `${kind} never played the best arm`);
  }
});

/**
 * Steps as an answer tells of them.
 *
 * @param {readonly import("../src/step.js").Step[]} taken
 * @param {Walk} walk
 * @param {any} site
 * @returns {PolicyStep[]}
 */
function toldSteps(taken, walk, site) {
  /** @param {{tier: number, layer: number}} place */
  const place = ({ tier, layer }) => ({ tier: site.tiers[tier].name, layer });
  return taken.map((step, k) => ({
    at: k ? place(walk.looks[k - 1]) : null,
    next: step instanceof Go ? place(step) : "answer",
    ...(step.telling?.() ?? assert.fail(`step ${k} tells no reason`)),
  }));
}
