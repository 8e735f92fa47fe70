/** The cascade: at each point the step of the highest expected utility. */

import { dot, sigmoid } from "../numbers.js";
import { required, rowsOf } from "../safetensors.js";
import { ANSWER, Go } from "../step.js";
import { featuresOf } from "./features.js";

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

class CascadeSteps {
  /** @type {import("../step.js").Learns} */
  learns = "never";
  #choosers;
  #first;
  #mean;
  #axes;

  /**
   * @param {readonly Chooser[]} choosers of each point
   * @param {Float64Array} mean (D,) of the embeddings
   * @param {readonly Float64Array[]} axes (P, D)
   */
  constructor(choosers, mean, axes) {
    this.#first = choosers[0];
    this.#choosers = new Map(choosers.map((one) => [keyOf(one.seen), one]));
    this.#axes = axes;
    this.#mean = axes.map((axis) => dot(mean, axis));
    const begin = this.#first.seen.map(([tier, layer]) => new Go(tier, layer));
    this.reach = [...begin, ...choosers.flatMap((one) => one.goes)];
  }

  /** @param {Signal} signal */
  begin(signal) {
    const [exit0] = this.#first.seen;
    if (exit0) return new Go(...exit0);
    return this.#first.goes[best(this.#first, featuresOf(this.#about(signal), []))];
  }

  /** @param {Walk} walk */
  after(walk) {
    // Beyond the device it knows the device's exits, and the present tier's.
    const looks = walk.looks.filter((look) => look.tier === 0);
    if (walk.last.tier) looks.push(walk.last);
    const chooser = this.#choosers.get(keyOf(looks.map(({ tier, layer }) => [tier, layer])));
    if (!chooser) throw new Error("it stands where it was not fitted");
    if (!chooser.goes.length) return ANSWER;
    const seen = looks.map((look) => look.probabilities);
    const chosen = best(chooser, featuresOf(this.#about(walk.signal), seen));
    return chosen ? chooser.goes[chosen - 1] : ANSWER;
  }

  /** 1 + P features of a signal: log of the length, and the embedding along the axes.
   * @param {Signal} signal */
  #about({ embedding, tokens }) {
    const along = this.#axes.map((axis, k) => dot(axis, embedding) - this.#mean[k]);
    return [Math.log(Math.max(tokens, 1)), ...along];
  }
}

/**
 * The choice of the highest utility; of two alike the first.
 *
 * @param {Chooser} chooser
 * @param {readonly number[]} x
 */
function best({ choices }, x) {
  let chosen = 0;
  let most = -Infinity;
  choices.forEach(({ weights, bias, logistic, cost }, k) => {
    if (weights.length !== x.length) throw new Error(`expected ${x.length} weights a choice`);
    const value = dot(x, weights) + bias;
    const utility = (logistic ? sigmoid(value) : value) - cost;
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
  return new CascadeSteps(choosers, /** @type {Float64Array} */ (mean.data), rows);
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
