/** Early exit: from exit to exit of one model until a rule is satisfied. */

import { ConfigError } from "../errors.js";
import { requireOneModel } from "../site.js";
import { ANSWER, Go } from "../step.js";
import { plainly, reaches, told, toldApart } from "./reasons.js";

/** @typedef {import("../site.js").Site} Site */
/** @typedef {import("../step.js").Look} Look */
/** @typedef {import("../step.js").Walk} Walk */
/** @typedef {import("./reasons.js").Verdict} Verdict */
/** @typedef {(looks: readonly Look[]) => Verdict} Rule whether the exit seen last may answer */

const FIRST = plainly("the first exit of the plan");

/** Steps along a plan of exits; the last one answers in any case. */
export class PlanSteps {
  /** @type {import("../step.js").Learns} */
  learns = "never";
  #rule;

  /**
   * @param {readonly (readonly [number, number])[]} plan tiers and layers, in order
   * @param {Rule} rule
   */
  constructor(plan, rule) {
    if (!plan.length) throw new ConfigError("it needs an exit");
    this.reach = plan.map(([tier, layer]) => new Go(tier, layer));
    this.#rule = rule;
  }

  begin() {
    return this.reach[0].because(FIRST);
  }

  /** @param {Walk} walk */
  after(walk) {
    const seen = walk.looks.length;
    if (seen === this.reach.length) return ANSWER.because(lastExit(walk.last));
    const { answers, telling } = this.#rule(walk.looks);
    return (answers ? ANSWER : this.reach[seen]).because(telling);
  }
}

/**
 * What is told of an exit behind which there is none.
 *
 * @param {Look} look
 */
export function lastExit({ confidence }) {
  return plainly("the last exit answers in any case", { confidence });
}

/**
 * Every exit of the whole model at one tier.
 *
 * @param {Site} site
 * @param {number} tier
 * @param {Rule} rule
 */
function atOneTier(site, tier, rule) {
  requireOneModel(site);
  const layers = site.exitsOf(tier).filter((layer) => layer <= site.layers);
  return new PlanSteps(
    layers.map((layer) => [tier, layer]),
    rule,
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
  return atOneTier(site, site.last, (looks) => {
    const value = entropy(looks.at(-1)?.probabilities ?? []);
    const answers = value < threshold;
    const telling = () => {
      const [here, there] = toldApart(value, threshold);
      const how = answers ? "is below" : "is not below";
      return {
        why: `entropy ${here} ${how} the threshold ${there}`,
        values: { entropy: value, threshold },
      };
    };
    return { answers, telling };
  });
}

/** At the last tier, until so many exits in a row agree.
 * @type {import("./kinds.js").Make} */
export function pabee({ settings: { patience }, site }) {
  return atOneTier(site, site.last, (looks) => {
    const count = agreements(looks);
    const telling = () => ({
      why: `${told(count)} exits in a row repeat the one before; ${told(patience)} are wanted`,
      values: { agreements: count, patience },
    });
    return { answers: count >= patience, telling };
  });
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
  return (looks) => reaches("confidence", looks[looks.length - 1].confidence, threshold);
}
