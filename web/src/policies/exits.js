/** Early exit: from exit to exit of one model until a rule is satisfied. */

import { ConfigError } from "../errors.js";
import { requireOneModel } from "../site.js";
import { ANSWER, Go } from "../step.js";

/** @typedef {import("../site.js").Site} Site */
/** @typedef {import("../step.js").Look} Look */
/** @typedef {import("../step.js").Walk} Walk */
/** @typedef {(looks: readonly Look[]) => boolean} Rule whether the exit seen last may answer */

/** Steps along a plan of exits; the last one answers in any case. */
export class PlanSteps {
  /** @type {import("../step.js").Learns} */
  learns = "never";
  #satisfied;

  /**
   * @param {readonly (readonly [number, number])[]} plan tiers and layers, in order
   * @param {Rule} satisfied
   */
  constructor(plan, satisfied) {
    if (!plan.length) throw new ConfigError("it needs an exit");
    this.reach = plan.map(([tier, layer]) => new Go(tier, layer));
    this.#satisfied = satisfied;
  }

  begin() {
    return this.reach[0];
  }

  /** @param {Walk} walk */
  after(walk) {
    const seen = walk.looks.length;
    return seen === this.reach.length || this.#satisfied(walk.looks) ? ANSWER : this.reach[seen];
  }
}

/**
 * Every exit of the whole model at one tier.
 *
 * @param {Site} site
 * @param {number} tier
 * @param {Rule} satisfied
 */
function atOneTier(site, tier, satisfied) {
  requireOneModel(site);
  const layers = site.exitsOf(tier).filter((layer) => layer <= site.layers);
  return new PlanSteps(
    layers.map((layer) => [tier, layer]),
    satisfied,
  );
}

/**
 * -Σ p ln p, in nats.
 *
 * @param {ArrayLike<number>} probabilities
 */
export function entropy(probabilities) {
  const terms = Array.from(probabilities, (p) => (p > 0 ? p * Math.log(p) : 0));
  return Math.max(-terms.reduce((sum, one) => sum + one, 0), 0);
}

/**
 * How many exits in a row, up to the last, repeat the one before them.
 *
 * @param {readonly {prediction: number}[]} looks
 */
export function agreements(looks) {
  let count = 0;
  for (let k = looks.length - 1; k > 0; k -= 1) {
    if (looks[k].prediction !== looks[k - 1].prediction) break;
    count += 1;
  }
  return count;
}

/** At the last tier, until the entropy is below the threshold.
 * @type {import("./kinds.js").Make} */
export function deebert({ settings: { threshold }, site }) {
  return atOneTier(
    site,
    site.last,
    (looks) => entropy(looks.at(-1)?.probabilities ?? []) < threshold,
  );
}

/** At the last tier, until so many exits in a row agree.
 * @type {import("./kinds.js").Make} */
export function pabee({ settings: { patience }, site }) {
  return atOneTier(site, site.last, (looks) => agreements(looks) >= patience);
}

/** On the device, until an exit is sure.
 * @type {import("./kinds.js").Make} */
export function maxSoftmax({ settings: { threshold }, site }) {
  return atOneTier(site, 0, sure(threshold));
}

/** From tier to tier, each asked at those exits that none before it has.
 * @type {import("./kinds.js").Make} */
export function maxSoftmaxTiers({ settings: { threshold }, site }) {
  requireOneModel(site);
  /** @type {[number, number][]} */
  const plan = [];
  site.tiers.slice(0, -1).forEach(({ layer: end }, k) => {
    const start = k ? site.tiers[k - 1].layer : 0;
    const own = site.exitsOf(k).filter((layer) => start < layer && layer <= end);
    plan.push(...own.map((layer) => /** @type {[number, number]} */ ([k, layer])));
  });
  const deepest = plan.at(-1)?.[1] ?? 0;
  if (deepest < site.layers) plan.push([site.last, site.layers]);
  return new PlanSteps(plan, sure(threshold));
}

/**
 * @param {number} threshold
 * @returns {Rule}
 */
function sure(threshold) {
  return (looks) => looks[looks.length - 1].confidence >= threshold;
}
