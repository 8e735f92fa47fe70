/**
 * Bandits over the exits of the device: they learn once an input is answered.
 *
 * The arm of an input is chosen when it begins, and noted with it: by the time that it is answered
 * the index may have moved on.
 */

import { ConfigError } from "../errors.js";
import { checkLearnt } from "../learnt.js";
import { requireOneModel } from "../site.js";
import { ANSWER, Go } from "../step.js";
import { costOf } from "../tiers.js";
import { ArmSteps, tallyOf, WHOLE } from "./arms.js";
import { lastExit } from "./exits.js";
import { plainly, reaches, told, toldApart } from "./reasons.js";

/** @typedef {import("../site.js").Site} Site */
/** @typedef {import("../step.js").Look} Look */
/** @typedef {import("../step.js").Walk} Walk */

const THRESHOLDS = Array.from({ length: 10 }, (_, k) => (k + 10) / 20); // 0.5, 0.55 … 0.95

const BEGIN = plainly("the first exit");
const PLAYED = ANSWER.because(plainly("the exit that is played answers"));

/** @param {number} layer */
const exitName = (layer) => `exit ${layer}`;

/** LEE: straight to the exit played, which answers. */
class ExitArmSteps extends ArmSteps {
  #costs;

  /**
   * @param {readonly number[]} layers
   * @param {number} c
   * @param {readonly number[]} costs of each exit, in units of confidence
   */
  constructor(layers, c, costs) {
    super(layers, layers.map(exitName), c);
    this.#costs = costs;
  }

  begin() {
    const { arm, telling } = this.arm();
    return new Go(0, this.layers[arm], { note: arm, telling });
  }

  after() {
    return PLAYED;
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
    const { arm, telling } = this.arm();
    return new Go(0, this.layers[0], { note: arm, telling });
  }

  /** @param {Walk} walk */
  after(walk) {
    const seen = walk.looks.length;
    if (seen > walk.note) return PLAYED;
    const played = this.arms[walk.note];
    return this.reach[seen].because(plainly(`it goes on up to ${played}`, { played }));
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
    super(
      layers,
      THRESHOLDS.map((one) => `threshold ${one}`),
      c,
    );
    this.#costs = costs;
  }

  begin() {
    const { arm, telling } = this.arm();
    return new Go(0, this.layers[0], { note: arm, telling });
  }

  /** @param {Walk} walk */
  after(walk) {
    const seen = walk.looks.length;
    if (seen === this.layers.length) return ANSWER.because(lastExit(walk.last));
    const { confidence } = walk.last;
    const { answers, telling } = reaches("confidence", confidence, THRESHOLDS[walk.note]);
    return (answers ? ANSWER : this.reach[seen]).because(telling);
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
    return this.reach[0].because(BEGIN);
  }

  /** @param {Walk} walk */
  after(walk) {
    const seen = walk.looks.length;
    if (seen === this.reach.length) return ANSWER.because(lastExit(walk.last));
    const { answers, telling } = this.#verdict(walk.last, seen - 1);
    return (answers ? ANSWER : this.reach[seen]).because(telling);
  }

  /**
   * @param {Look} look
   * @param {number} exit not the last
   * @returns {import("./reasons.js").Verdict}
   */
  #verdict(look, exit) {
    const bin = this.#binOf(look);
    const count = this.#counts[exit][bin];
    const [confidence, cost] = [look.confidence, this.#costs[exit]];
    const now = confidence - cost;
    if (!count) {
      const telling = () => ({
        why: `confidence ${told(confidence)}: nothing is known of going on, so it is tried`,
        values: { confidence, cost, now, promised: null, rewards: 0 },
      });
      return { answers: false, telling };
    }
    const log = Math.log(this.#seen + 1);
    const promised = this.#totals[exit][bin] / count + this.#c * Math.sqrt(log / count);
    const answers = now >= promised;
    const telling = () => {
      const [here, there] = toldApart(now, promised);
      const how = answers ? "no less than" : "less than";
      return {
        why: `to answer earns ${here}, ${how} going on promises, ${there}`,
        values: { confidence, cost, now, promised, rewards: count },
      };
    };
    return { answers, telling };
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

  state() {
    const shape = [this.#totals.length, this.#bins];
    return tallyOf(shape, this.#totals.flat(), this.#counts.flat(), this.#seen);
  }

  /** @param {import("../learnt.js").Learnt} state */
  restore(state) {
    checkLearnt(state, this.state(), WHOLE);
    const rows = (/** @type {Float64Array} */ data) =>
      this.#totals.map((_, k) => [...data.subarray(k * this.#bins, (k + 1) * this.#bins)]);
    this.#totals = rows(state.totals.data);
    this.#counts = rows(state.counts.data);
    this.#seen = state.seen.data[0];
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
  return new DisagreementSteps(layers, layers.map(exitName), Math.sqrt(alpha), {
    opening: [last],
    offsets,
  });
}
