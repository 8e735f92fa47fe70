/**
 * Bandits over the exits of the device: they learn once an input is answered.
 *
 * UCB plays each arm once and then the arm of the highest mean reward + c·sqrt(ln(t + 1) / N), with
 * t samples seen and N rewards of the arm (Auer, Cesa-Bianchi and Fischer, Machine Learning 47,
 * 2002). The arm of an input is chosen when it begins, and noted with it: by the time that it is
 * answered the index may have moved on.
 */

import { ConfigError } from "../errors.js";
import { argmax } from "../numbers.js";
import { requireOneModel } from "../site.js";
import { ANSWER, Go } from "../step.js";
import { costOf } from "../tiers.js";

/** @typedef {import("../site.js").Site} Site */
/** @typedef {import("../step.js").Look} Look */
/** @typedef {import("../step.js").Walk} Walk */

const THRESHOLDS = Array.from({ length: 10 }, (_, k) => (k + 10) / 20); // 0.5, 0.55 … 0.95

/**
 * The first of the arms whose index is the highest.
 *
 * @param {readonly number[]} values K mean rewards, with what is known beside
 * @param {readonly number[]} counts K numbers of rewards seen, each of at least 1
 * @param {number} c weight of the exploration term
 * @param {number} t samples seen before
 */
export function bestArm(values, counts, c, t) {
  const log = Math.log(t + 1);
  return argmax(values.map((value, k) => value + c * Math.sqrt(log / counts[k])));
}

/** Steps on the device that play one of K arms for each input. */
class ArmSteps {
  /** @type {import("../step.js").Learns} */
  learns = "answered";
  #c;
  #opening;
  #offsets;
  #totals;
  #counts;
  #seen = 0;

  /**
   * @param {readonly number[]} layers the exits
   * @param {number} arms K
   * @param {number} c
   * @param {{opening?: readonly number[], offsets?: readonly number[]}} [told] arms of the first
   *   samples, each arm once by default; K numbers that are known without playing
   */
  constructor(layers, arms, c, { opening, offsets } = {}) {
    const all = Array.from({ length: arms }, (_, k) => k);
    this.layers = layers;
    this.reach = layers.map((layer) => new Go(0, layer));
    this.#c = c;
    this.#opening = opening ?? all;
    this.#offsets = offsets ?? all.map(() => 0);
    this.#totals = all.map(() => 0);
    this.#counts = all.map(() => 0);
  }

  /** The arm to play now. */
  arm() {
    if (this.#seen < this.#opening.length) return this.#opening[this.#seen];
    // Where inputs overlap, an opening may end before each arm has had its reward.
    const none = this.#counts.indexOf(0);
    if (none >= 0) return none;
    const values = this.#totals.map((total, k) => total / this.#counts[k] + this.#offsets[k]);
    return bestArm(values, this.#counts, this.#c, this.#seen);
  }

  /**
   * Count what an input has earned.
   *
   * @param {readonly (readonly [number, number])[]} rewards arms, and the reward of each
   */
  count(rewards) {
    for (const [arm, reward] of rewards) {
      this.#totals[arm] += reward;
      this.#counts[arm] += 1;
    }
    this.#seen += 1;
  }
}

/** LEE: straight to the exit played, which answers. */
class ExitArmSteps extends ArmSteps {
  #costs;

  /**
   * @param {readonly number[]} layers
   * @param {number} c
   * @param {readonly number[]} costs of each exit, in units of confidence
   */
  constructor(layers, c, costs) {
    super(layers, layers.length, c);
    this.#costs = costs;
  }

  begin() {
    const arm = this.arm();
    return new Go(0, this.layers[arm], { note: arm });
  }

  after() {
    return ANSWER;
  }

  /**
   * @param {Walk} walk
   * @param {Go} first
   */
  learn(walk, first) {
    this.count([[first.note, walk.last.confidence - this.#costs[first.note]]]);
  }
}

/** UEE-UCB: from exit to exit up to the one played; a reward is to disagree with the first. */
class DisagreementSteps extends ArmSteps {
  begin() {
    return new Go(0, this.layers[0], { note: this.arm() });
  }

  /** @param {Walk} walk */
  after(walk) {
    const seen = walk.looks.length;
    return seen > walk.note ? ANSWER : this.reach[seen];
  }

  /** @param {Walk} walk */
  learn({ looks }) {
    this.count(looks.map((look, k) => [k, Number(look.prediction !== looks[0].prediction)]));
  }
}

/** CeeBERT: from exit to exit, up to the first that reaches the threshold played. */
class ThresholdSteps extends ArmSteps {
  #costs;

  /**
   * @param {readonly number[]} layers
   * @param {number} c
   * @param {readonly number[]} costs of each exit, in units of confidence
   */
  constructor(layers, c, costs) {
    super(layers, THRESHOLDS.length, c);
    this.#costs = costs;
  }

  begin() {
    return new Go(0, this.layers[0], { note: this.arm() });
  }

  /** @param {Walk} walk */
  after(walk) {
    const seen = walk.looks.length;
    const ends = seen === this.layers.length || walk.last.confidence >= THRESHOLDS[walk.note];
    return ends ? ANSWER : this.reach[seen];
  }

  /**
   * @param {Walk} walk
   * @param {Go} first
   */
  learn({ looks, last }, first) {
    const more = this.#costs[looks.length - 1] - this.#costs[0];
    this.count([[first.note, last.confidence - looks[0].confidence - more]]);
  }
}

/** DEE: at each exit, by how confident it is, answer or go on. */
class StoppingSteps {
  /** @type {import("../step.js").Learns} */
  learns = "answered";
  #costs;
  #bins;
  #c;
  #totals;
  #counts;
  #seen = 0;

  /**
   * @param {readonly number[]} layers
   * @param {number} c
   * @param {readonly number[]} costs of each exit, in units of confidence
   * @param {number} bins parts into which the confidence is cut
   */
  constructor(layers, c, costs, bins) {
    this.reach = layers.map((layer) => new Go(0, layer));
    this.#costs = costs;
    this.#bins = bins;
    this.#c = c;
    const table = () => layers.slice(1).map(() => new Array(bins).fill(0));
    this.#totals = table();
    this.#counts = table();
  }

  begin() {
    return this.reach[0];
  }

  /** @param {Walk} walk */
  after(walk) {
    const seen = walk.looks.length;
    return this.#stops(walk.last, seen - 1) ? ANSWER : this.reach[seen];
  }

  /**
   * @param {Look} look
   * @param {number} exit
   */
  #stops(look, exit) {
    if (exit === this.reach.length - 1) return true;
    const bin = this.#binOf(look);
    const count = this.#counts[exit][bin];
    if (!count) return false;
    const log = Math.log(this.#seen + 1);
    const promised = this.#totals[exit][bin] / count + this.#c * Math.sqrt(log / count);
    return look.confidence - this.#costs[exit] >= promised;
  }

  /** @param {Walk} walk */
  learn({ looks, last }) {
    const end = looks.length - 1;
    const reward = last.confidence - this.#costs[end];
    looks.slice(0, end).forEach((look, exit) => {
      const bin = this.#binOf(look);
      this.#totals[exit][bin] += reward;
      this.#counts[exit][bin] += 1;
    });
    this.#seen += 1;
  }

  /** @param {Look} look */
  #binOf({ confidence }) {
    return Math.max(0, Math.min(this.#bins - 1, Math.floor(confidence * this.#bins)));
  }
}

/**
 * The exits of the one model that is deployed, whose last layer has the last of them.
 *
 * @param {Site} site
 */
function armLayers(site) {
  requireOneModel(site);
  const layers = site.exitsOf(0).filter((layer) => layer <= site.layers);
  if (layers.at(-1) !== site.layers) {
    throw new ConfigError(`it needs an exit at layer ${site.layers}, the last`);
  }
  return layers;
}

/**
 * Of each exit on the device, λ times the price of one in units of confidence.
 *
 * @param {Site} site
 * @param {readonly number[]} layers
 * @param {{weight: number, mu: number}} settings
 */
function costsOf({ tiers }, layers, { weight, mu }) {
  return layers.map((stop) => {
    return weight * mu * costOf([{ tier: 0, start: 0, stop, payload: null }], [], tiers);
  });
}

/** @type {import("./kinds.js").Make} */
export function lee({ settings, site }) {
  const layers = armLayers(site);
  return new ExitArmSteps(layers, settings.c, costsOf(site, layers, /** @type {any} */ (settings)));
}

/** @type {import("./kinds.js").Make} */
export function dee({ settings, site }) {
  const layers = armLayers(site);
  const costs = costsOf(site, layers, /** @type {any} */ (settings));
  return new StoppingSteps(layers, settings.c, costs, settings.bins);
}

/** @type {import("./kinds.js").Make} */
export function ceebert({ settings, site }) {
  const layers = armLayers(site);
  const costs = costsOf(site, layers, /** @type {any} */ (settings));
  return new ThresholdSteps(layers, settings.c, costs);
}

/** @type {import("./kinds.js").Make} */
export function ueeUcb({ settings: { scale, alpha }, site }) {
  const layers = armLayers(site);
  const costs = layers.map((layer) => (scale * layer) / site.layers);
  const offsets = costs.map((cost) => costs[0] - cost);
  const last = layers.length - 1;
  return new DisagreementSteps(layers, layers.length, Math.sqrt(alpha), {
    opening: [last],
    offsets,
  });
}
