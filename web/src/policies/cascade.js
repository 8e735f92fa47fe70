/** The cascade: at each point the step of the highest expected utility. */

import { dot, sigmoid } from "../numbers.js";
import { required, rowsOf } from "../safetensors.js";
import { ANSWER, Go } from "../step.js";
import { featuresOf } from "./features.js";
import { bestOf, named, plainly } from "./reasons.js";

/** @typedef {import("../safetensors.js").Arrays} Arrays */
/** @typedef {import("../site.js").Site} Site */
/** @typedef {import("../step.js").Signal} Signal */
/** @typedef {import("../step.js").Walk} Walk */
/** @typedef {readonly [number, number]} Exit a tier and a layer */

/**
 * What is expected of each choice at a point: to answer, where an exit has spoken, and then each of
 * the steps that lead on.
 *
 * @typedef {object} Chooser
 * @property {readonly Exit[]} seen the exits whose answers are known, in order
 * @property {readonly Go[]} goes where it can go on to
 * @property {readonly Choice[]} choices
 */

/**
 * @typedef {object} Choice
 * @property {Float64Array} weights (F,) of the features
 * @property {number} bias
 * @property {boolean} logistic whether the value is a probability
 * @property {number} cost taken off it
 */

/** What was seen at each point of a site, each after those that lead to it.
 * @param {Site} site
 * @returns {Exit[][]} */
export function pointsOf(site) {
  const own = site.exitsOf(0).filter((layer) => layer <= site.tiers[0].layer);
  /** @type {Exit[]} */
  const here = [...(site.exit0 ? [0] : []), ...own].map((layer) => [0, layer]);
  /** @type {Exit[]} */
  const further = site.tiers.slice(1).map((tier, k) => [k + 1, tier.layer]);
  /** @type {Exit[][]} */
  const points = site.exit0 ? [] : [[]];
  here.forEach((_, j) => {
    const passed = here.slice(0, j + 1);
    points.push(passed, ...further.map((exit) => [...passed, exit]));
  });
  return site.exit0 ? points : [...points, ...further.map((exit) => [exit])];
}

const EXIT0_FIRST = plainly("exit 0 runs no layer, and is asked first");
const NOWHERE = plainly("no step leads on from here");

class CascadeSteps {
  /** @type {import("../step.js").Learns} */
  learns = "never";
  #choosers;
  #first;
  #mean;
  #axes;
  #tiers;

  /**
   * @param {readonly Chooser[]} choosers of each point
   * @param {Float64Array} mean (D,) of the embeddings
   * @param {readonly Float64Array[]} axes (P, D)
   * @param {readonly string[]} tiers their names
   */
  constructor(choosers, mean, axes, tiers) {
    this.#first = choosers[0];
    this.#choosers = new Map(choosers.map((one) => [keyOf(one.seen), one]));
    this.#axes = axes;
    this.#tiers = tiers;
    this.#mean = axes.map((axis) => dot(mean, axis));
    const begin = this.#first.seen.map(([tier, layer]) => new Go(tier, layer));
    this.reach = [...begin, ...choosers.flatMap((one) => one.goes)];
  }

  /** @param {Signal} signal */
  begin(signal) {
    const [exit0] = this.#first.seen;
    if (exit0) return new Go(...exit0, { telling: EXIT0_FIRST });
    const { chosen, telling } = this.#best(this.#first, featuresOf(this.#about(signal), []));
    return this.#first.goes[chosen].because(telling);
  }

  /** @param {Walk} walk */
  after(walk) {
    // Beyond the device it knows the device's exits, and the present tier's.
    const looks = walk.looks.filter((look) => look.tier === 0);
    if (walk.last.tier) looks.push(walk.last);
    const chooser = this.#choosers.get(keyOf(looks.map(({ tier, layer }) => [tier, layer])));
    if (!chooser) throw new Error("it stands where it was not fitted");
    if (!chooser.goes.length) return ANSWER.because(NOWHERE);
    const seen = looks.map((look) => look.probabilities);
    const { chosen, telling } = this.#best(chooser, featuresOf(this.#about(walk.signal), seen));
    return (chosen ? chooser.goes[chosen - 1] : ANSWER).because(telling);
  }

  /**
   * The choice of the highest utility, and why.
   *
   * @param {Chooser} chooser
   * @param {readonly number[]} x
   */
  #best(chooser, x) {
    const expected = expectedOf(chooser, x);
    const utilities = expected.map((value, k) => value - chooser.choices[k].cost);
    const chosen = best(utilities);
    const telling = () => {
      const goes = chooser.goes.map(({ tier, layer }) => `${this.#tiers[tier]} ${layer}`);
      const names = chooser.seen.length ? ["answer", ...goes] : goes;
      const choices = chooser.choices.map(({ cost }, k) => {
        return { expected: expected[k], cost, utility: utilities[k] };
      });
      return {
        why: bestOf(names, utilities, chosen, { of: "expected utility" }),
        values: { choices: named(names, choices), chosen: names[chosen] },
      };
    };
    return { chosen, telling };
  }

  /** 1 + P features of a signal: log of the length, and the embedding along the axes.
   * @param {Signal} signal */
  #about({ embedding, tokens }) {
    const along = this.#axes.map((axis, k) => dot(axis, embedding) - this.#mean[k]);
    return [Math.log(Math.max(tokens, 1)), ...along];
  }
}

/**
 * What each choice is expected to bring, before its cost.
 *
 * @param {Chooser} chooser
 * @param {readonly number[]} x
 */
function expectedOf({ choices }, x) {
  return choices.map(({ weights, bias, logistic }) => {
    if (weights.length !== x.length) throw new Error(`expected ${x.length} weights a choice`);
    const value = dot(x, weights) + bias;
    return logistic ? sigmoid(value) : value;
  });
}

/**
 * The highest; of two alike the first, and what is no number is never it.
 *
 * @param {readonly number[]} utilities
 */
function best(utilities) {
  let chosen = 0;
  let most = -Infinity;
  utilities.forEach((utility, k) => {
    if (utility > most) [chosen, most] = [k, utility];
  });
  return chosen;
}

/** @param {readonly Exit[]} seen */
function keyOf(seen) {
  return seen.map((exit) => exit.join(":")).join(" ");
}

/** @type {import("./kinds.js").Make} */
export function cascade({ settings, arrays, site }) {
  const mean = required(arrays, "mean", "F64", 1);
  const axes = required(arrays, "axes", "F64", 2);
  if (axes.shape[1] !== mean.shape[0]) throw new Error("expected axes as wide as the mean");
  const choosers = settings.points.map((/** @type {any} */ point, /** @type {number} */ number) => {
    return chooserOf(point, number, arrays);
  });
  const here = pointsOf(site).map(keyOf).join("; ");
  if (here !== choosers.map((/** @type {Chooser} */ one) => keyOf(one.seen)).join("; ")) {
    throw new Error("it was fitted for other exits or tiers");
  }
  const rows = /** @type {Float64Array[]} */ (rowsOf(axes.data, axes.shape[1]));
  const names = site.tiers.map((tier) => tier.name);
  return new CascadeSteps(choosers, /** @type {Float64Array} */ (mean.data), rows, names);
}

/**
 * @param {any} point
 * @param {number} number
 * @param {Arrays} arrays
 * @returns {Chooser}
 */
function chooserOf(point, number, arrays) {
  const weights = required(arrays, `${number}.weights`, "F64", 2);
  const [biases, costs] = ["biases", "costs"].map((part) => {
    return required(arrays, `${number}.${part}`, "F64", 1).data;
  });
  const size = point.goes.length + (point.seen.length ? 1 : 0);
  const sizes = [weights.shape[0], biases.length, costs.length, point.logistic.length];
  if (!size || sizes.some((one) => one !== size)) {
    throw new Error(`point ${number}: expected ${size} choices, got ${sizes}`);
  }
  const rows = /** @type {Float64Array[]} */ (rowsOf(weights.data, weights.shape[1]));
  return {
    seen: point.seen,
    goes: point.goes.map((/** @type {Exit} */ [tier, layer]) => new Go(tier, layer)),
    choices: rows.map((row, k) => ({
      weights: row,
      bias: biases[k],
      logistic: point.logistic[k],
      cost: costs[k],
    })),
  };
}
