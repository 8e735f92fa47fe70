/**
 * A policy as a step: what it sees of one input, and what it says comes next.
 *
 * `begin` sees what exists before any layer has run, `after` sees one more exit each time, and each
 * says where to run next, or to answer. `learn` takes in what an online method may learn from.
 *
 * @typedef {"text" | "hidden"} Payload what travels to a tier
 * @typedef {"never" | "deciding" | "answered"} Learns
 *   when an online method learns: as soon as it has decided, or once the answer is there
 * @typedef {import("./tiers.js").Tier} Tier
 * @typedef {import("./tiers.js").Visit} Visit
 */

import { ConfigError } from "./errors.js";
import { argmax } from "./numbers.js";

/**
 * What there is of an input before any layer has run.
 *
 * @typedef {object} Signal
 * @property {Float32Array} embedding (D,) pooled over the real tokens
 * @property {number} tokens how many there are
 */

/**
 * A policy at work on a site, with what it has learnt there.
 *
 * @typedef {object} Steps
 * @property {Learns} learns
 * @property {readonly Go[]} reach every step that it may ever take
 * @property {(signal: Signal) => Step} begin changes nothing
 * @property {(walk: Walk) => Step} after changes nothing
 * @property {(walk: Walk, first: Go) => void} [learn] of an input that `begin` sent to `first`
 * @property {() => import("./learnt.js").Learnt} [state] what was learnt, a copy
 * @property {(state: import("./learnt.js").Learnt) => void} [restore] take up what `state` gave;
 *   throws a DataError where it is not one of this policy's
 */

/** @typedef {Go | Answer} Step */

/**
 * Why a step is taken.
 *
 * @typedef {object} Reason
 * @property {string} why in words
 * @property {Record<string, unknown>} values the numbers that it was decided by
 */

/** Run on: at the tier that the input is at, or at another. */
export class Go {
  /**
   * @param {number} tier position; never one before the tier that the input is at
   * @param {number} layer run up to this exit; 0 on the first tier is exit 0
   * @param {{payload?: Payload, scores?: readonly number[], margin?: number, note?: any,
   *   telling?: (() => Reason) | null}} [told]
   *   what is sent; how the policy scored each tier (lower is nearer), and the second lowest less
   *   the lowest; what the policy wants to know of this step later; what tells why it is taken
   */
  constructor(tier, layer, told = {}) {
    const { payload = "text", scores = [], margin = 0, note = null, telling = null } = told;
    this.tier = tier;
    this.layer = layer;
    this.payload = payload;
    this.scores = scores;
    this.margin = margin;
    this.note = note;
    this.telling = telling;
    Object.freeze(this);
  }

  /**
   * The same step, for a reason.
   *
   * @param {() => Reason} telling
   */
  because(telling) {
    return new Go(this.tier, this.layer, { ...this, telling });
  }
}

/** Answer with what an exit that was seen says. */
export class Answer {
  /**
   * @param {number} [look] its position among the looks; the one seen last by default
   * @param {(() => Reason) | null} [telling] what tells why
   */
  constructor(look = -1, telling = null) {
    this.look = look;
    this.telling = telling;
  }

  /**
   * The same answer, for a reason.
   *
   * @param {() => Reason} telling
   */
  because(telling) {
    return new Answer(this.look, telling);
  }
}

export const ANSWER = new Answer();

/** An exit that was seen. */
export class Look {
  /**
   * @param {number} tier where
   * @param {number} layer at which
   * @param {Float32Array} probabilities (C,) of the classes
   */
  constructor(tier, layer, probabilities) {
    this.tier = tier;
    this.layer = layer;
    this.probabilities = probabilities;
    this.prediction = argmax(probabilities);
    this.confidence = probabilities[this.prediction];
  }
}

/** One input on its way: what was seen of it, and where it has been. */
export class Walk {
  /** @param {Signal} signal */
  constructor(signal) {
    this.signal = signal;
    /** @type {Look[]} */
    this.looks = [];
    /** @type {Visit[]} */
    this.visits = [];
    /** @type {any} of the first step: what was learnt may have changed since */
    this.note = null;
  }

  /** The exit that was seen last. */
  get last() {
    return this.looks[this.looks.length - 1];
  }

  /**
   * Take a step: a longer stay where the input is, or a visit to another tier.
   *
   * @param {Go} step
   * @param {readonly Tier[]} tiers
   * @throws {ConfigError} it leads back, nowhere, or hands on what the tier cannot take up
   */
  go(step, tiers) {
    const here = this.visits.at(-1);
    checkStep(step, here, tiers);
    if (!here) this.note = step.note;
    if (here?.tier === step.tier) {
      this.visits[this.visits.length - 1] = { ...here, stop: step.layer };
      return;
    }
    this.visits.push({
      tier: step.tier,
      start: here && step.payload === "hidden" ? here.stop : 0,
      stop: step.layer,
      payload: step.tier ? step.payload : null,
    });
  }

  /**
   * The exit at which the last step ended has spoken.
   *
   * @param {Float32Array} probabilities
   */
  see(probabilities) {
    const here = /** @type {Visit} */ (this.visits.at(-1));
    this.looks.push(new Look(here.tier, here.stop, probabilities));
  }

  /**
   * The look that answers.
   *
   * @param {Answer} step
   * @throws {ConfigError} nothing of the kind was seen
   */
  answer(step) {
    const look = this.looks.at(step.look);
    if (!look) throw new ConfigError(`${this.looks.length} exits were seen, not one ${step.look}`);
    return look;
  }
}

/**
 * @param {Go} step
 * @param {Visit | undefined} here
 * @param {readonly Tier[]} tiers
 */
function checkStep(step, here, tiers) {
  const tier = tiers[step.tier];
  if (!tier) throw new ConfigError(`a step goes to tier ${step.tier} of ${tiers.length}`);
  if (step.layer === 0 && step.tier) {
    throw new ConfigError(`the exit at layer 0 is the device's, and not the ${tier.name}'s`);
  }
  if (!here) {
    if (step.payload === "hidden") throw new ConfigError("there are no hidden states to send yet");
    return;
  }
  if (step.tier < here.tier || (step.tier === here.tier && step.layer <= here.stop)) {
    throw new ConfigError(
      `a step leads on, but this one goes from ${tiers[here.tier].name}, layer ${here.stop}, to ` +
        `${tier.name}, layer ${step.layer}`,
    );
  }
  if (step.payload === "hidden" && tier.source !== tiers[here.tier].source) {
    throw new ConfigError("hidden states are of no use to a tier with a model of its own");
  }
}
