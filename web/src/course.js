/** The way of one input through the tiers: whom to ask next, and who answers where one fails. */

import { ConfigError } from "./errors.js";
import { Go, Look } from "./step.js";
import { priceOf } from "./tiers.js";

/** @typedef {import("./tiers.js").Tier} Tier */
/** @typedef {import("./tiers.js").Visit} Visit */
/** @typedef {import("./errors.js").TierError} TierError */
/** @typedef {import("./step.js").Step} Step */
/** @typedef {"accuracy" | "cost"} Fallback */

export const FALLBACKS = Object.freeze(["accuracy", "cost"]);

/**
 * Positions of the tiers to ask for an input that goes to `tier`; the device is the last.
 *
 * "accuracy" asks the deepest tier that may still answer, "cost" never a dearer one than was
 * chosen.
 *
 * @param {number} tier
 * @param {Fallback} fallback
 * @param {readonly Tier[]} tiers
 * @returns {number[]}
 * @throws {ConfigError} an unknown fallback
 */
export function fallbackOrder(tier, fallback, tiers) {
  if (!FALLBACKS.includes(fallback)) {
    throw new ConfigError(`fallback must be one of ${FALLBACKS.join(", ")}, got ${fallback}`);
  }
  if (!tier) return [0];
  const prices = tiers.map(priceOf);
  let others = tiers
    .map((_, k) => k)
    .slice(1)
    .filter((k) => k !== tier)
    .reverse();
  if (fallback === "cost") {
    others = others.filter((k) => prices[k] < prices[tier]).sort((a, b) => prices[b] - prices[a]);
  }
  return [tier, ...others, 0];
}

/**
 * Where an input is on its way.
 *
 * The policy says every step. Where a tier fails, the policy is not asked again. If an exit has
 * spoken before, what the last one said is the answer: to go on was to improve on it. Else the
 * other tiers are asked in turn, the device last, and the first that answers has answered.
 */
export class Course {
  #order;
  #tiers;
  #detour = false;
  /** @type {readonly Visit[]} */
  #before = [];
  /** @type {Visit} */
  #visit;

  /**
   * @param {import("./step.js").Walk} walk which has not begun
   * @param {Go} first the policy's first step
   * @param {readonly number[]} order of {@link fallbackOrder}
   * @param {readonly Tier[]} tiers
   */
  constructor(walk, first, order, tiers) {
    this.walk = walk;
    this.first = first;
    /** @type {TierError[]} what the tiers that were asked in vain said, in order */
    this.failures = [];
    /** @type {Look | null} the look that answers, once there is one */
    this.answer = null;
    /** @type {Step[]} the policy's steps, in order, the first among them */
    this.steps = [first];
    this.#order = order;
    this.#tiers = tiers;
    this.#visit = this.#start(first);
  }

  /** Position of the tier to ask now. */
  get tier() {
    return this.#visit.tier;
  }

  /** The exit to ask it for. */
  get layer() {
    return this.#visit.stop;
  }

  /** The stays at tiers that have answered, in order. */
  get path() {
    return this.#detour && this.answer ? [...this.walk.visits, this.#visit] : this.walk.visits;
  }

  /** Why another tier answers than the policy wanted; null if none failed. */
  get reason() {
    return this.failures.map(({ tier, reason }) => `${tier}: ${reason}`).join("; ") || null;
  }

  /**
   * The tier asked has spoken.
   *
   * @param {Float32Array} probabilities (C,)
   * @param {(walk: import("./step.js").Walk) => Step} after the policy's
   */
  see(probabilities, after) {
    if (this.#detour) {
      this.answer = new Look(this.#visit.tier, this.#visit.stop, probabilities);
      return;
    }
    this.walk.see(probabilities);
    const step = after(this.walk);
    this.steps.push(step);
    if (step instanceof Go) this.#visit = this.#start(step);
    else this.answer = this.walk.answer(step);
  }

  /**
   * The tier asked gave no usable answer.
   *
   * @param {TierError} error
   */
  failed(error) {
    this.failures.push(error);
    if (!this.#detour) {
      this.walk.visits = [...this.#before];
      if (this.walk.looks.length) {
        this.answer = this.walk.last;
        return;
      }
      this.#detour = true;
    }
    const tier = this.#order[this.failures.length];
    const { layer } = this.#tiers[tier];
    this.#visit = { tier, start: 0, stop: layer, payload: tier ? "text" : null };
  }

  /** @param {Go} step */
  #start(step) {
    this.#before = [...this.walk.visits];
    this.walk.go(step, this.#tiers);
    return /** @type {Visit} */ (this.walk.visits.at(-1));
  }
}
