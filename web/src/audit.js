/**
 * The audit of a mobile: whom it picks, what the last tier says of them, and the safe policy.
 *
 * A random share of the texts is asked of the last tier too, and the two answers are compared.
 * Chance alone picks, whatever the text. The answer that is given stays that of the policy. Once the
 * monitor raises its alarm, every text goes straight to the last tier, until the audit is begun anew.
 */

import { watchedOf } from "./contract/watched.js";
import { Decision } from "./decisions.js";
import { ConfigError, DataError, shown } from "./errors.js";
import { argmax } from "./numbers.js";
import { plainly } from "./policies/reasons.js";
import { Audited } from "./state/watch.js";
import { ANSWER, Go, Walk } from "./step.js";
import { costOf } from "./tiers.js";

/** @typedef {import("../mobile.js").Options} Options */
/** @typedef {import("./contract/watched.js").Watched} Watched */
/** @typedef {import("./state/state.js").State} State */

/** The options that say what is wanted of the audit. */
export const AUDIT_OPTIONS = Object.freeze(["audit", "auditBound", "auditReset", "auditSeed"]);

/**
 * What is to be watched; null for no audit.
 *
 * @param {Options} options
 * @param {import("./contract/promise.js").Promised | null} promise
 * @param {number} tiers how many there are
 * @returns {Watched | null}
 * @throws {ConfigError} it cannot be audited like that
 */
export function wantedAudit({ audit = null, auditBound = null, auditSeed = null }, promise, tiers) {
  if (auditSeed !== null && !Number.isSafeInteger(auditSeed)) {
    throw new ConfigError(`auditSeed must be a whole number, got ${shown(auditSeed, 40)}`);
  }
  if (audit === null) {
    if (auditBound === null) return null;
    throw new ConfigError("auditBound does nothing without audit, the share of texts to audit");
  }
  if (!(audit > 0 && audit <= 1)) {
    throw new ConfigError(
      "audit must be a share of the texts over 0 and at most 1, such as 0.01, got " +
        shown(audit, 40),
    );
  }
  if (tiers < 2) {
    throw new ConfigError(
      "audit compares answers with the last tier's, and these tiers are one alone; leave it out",
    );
  }
  return watchedOf(promise, auditBound);
}

const ALARM = plainly("an audit has raised its alarm: all go to the last tier");
const SAFE_ANSWER = ANSWER.because(plainly("where it was sent, it is answered"));

/** The audit at work. */
export class Audit {
  #state;
  #tiers;
  #labels;
  #chance;
  #told = false;

  /**
   * @param {State} state holds what it knows
   * @param {readonly import("./tiers.js").Tier[]} tiers
   * @param {readonly string[]} labels names of the C classes
   * @param {Options} options
   */
  constructor(state, tiers, labels, { audit, auditSeed = null }) {
    this.#state = state;
    this.#tiers = tiers;
    this.#labels = labels;
    /** Of the texts, how many are picked; 0 for none. */
    this.share = audit ?? 0;
    this.last = tiers.length - 1;
    /** Name of the safe policy. */
    this.policy = `all-${this.#name}`;
    this.#chance = auditSeed === null ? systemChance : seededChance(auditSeed);
  }

  get #name() {
    return this.#tiers[this.last].name;
  }

  /** The exit at which the last tier answers. */
  get exit() {
    return this.#tiers[this.last].layer;
  }

  /** Whether an alarm has put the safe policy in place of the fitted one. */
  get safe() {
    return (this.#state.watch?.safeSince ?? null) !== null;
  }

  /**
   * To the last tier, and no other step.
   *
   * @param {import("./step.js").Signal} signal
   */
  safeDecision(signal) {
    const go = new Go(this.last, this.exit, { telling: ALARM });
    return new Decision(go, new Walk(signal), true);
  }

  /** The answer of the exit that has spoken. */
  safeAfter() {
    return SAFE_ANSWER;
  }

  /** The part in the audit of the next text; null where chance does not pick it. */
  pick() {
    const { watch } = this.#state;
    if (!this.share || !watch || this.#chance() >= this.share) return null;
    return new Audited(watch.session, this.last);
  }

  /**
   * A text that was picked has its answer; whether the last tier is left to be asked.
   *
   * @param {Audited} audited
   * @param {import("./course.js").Course} course
   * @param {string} label
   */
  answered(audited, { answer, failures }, label) {
    if (answer?.tier === this.last && answer.layer === this.exit) {
      audited.settle(label, 0); // its own answer, and nothing more to pay
    } else if (failures.some(({ tier }) => tier === this.#name)) {
      audited.settle(null, 0);
    }
  }

  /**
   * The last tier has given its (C,) probabilities.
   *
   * @param {Audited} audited
   * @param {Float32Array} probabilities
   */
  heard(audited, probabilities) {
    /** @type {import("./tiers.js").Visit} */
    const visit = { tier: this.last, start: 0, stop: this.exit, payload: "text" };
    audited.settle(this.#labels[argmax(probabilities)], costOf([visit], [], this.#tiers));
  }

  /**
   * The last tier gave no usable answer: the row is given up.
   *
   * @param {Audited} audited
   * @param {import("./errors.js").TierError} error
   */
  failed(audited, { sent }) {
    audited.settle(null, sent ? costOf([], [this.last], this.#tiers) : 0);
  }

  /**
   * Take in the true label of an audited text; see `Mobile.label`.
   *
   * @param {string} id
   * @param {string} label
   */
  async label(id, label) {
    if (!this.#labels.includes(label)) {
      const expected = this.#labels.join(", ");
      throw new DataError(`expected a label among ${expected}, got ${shown(label, 40)}`);
    }
    const lost = await this.#state.label(id, label);
    this.tell();
    return lost;
  }

  /**
   * Hold what the state watches against what is wanted.
   *
   * @param {Watched | null} wanted
   * @throws {ConfigError} the audit of the state was begun with other bounds
   */
  check(wanted) {
    const found = this.#state.watch?.watched;
    if (!wanted || !found) return;
    if (
      Object.entries(wanted).some(([name, one]) => found[/** @type {"alpha"} */ (name)] !== one)
    ) {
      throw new ConfigError(
        `the audit in ${this.#state.place} allows ${percent(found.different)} % of answers to ` +
          `differ, and not ${percent(wanted.different)} %; leave auditBound as it was, or begin ` +
          "anew with auditReset",
      );
    }
  }

  /** Begin anew, and go back to the fitted policy. */
  async begin() {
    await this.#state.beginAudit();
    this.#told = false;
  }

  /** Say an alarm once. */
  tell() {
    const told = this.told();
    if (!told || this.#told) return;
    this.#told = true;
    console.warn(told);
  }

  /** The alarm in a sentence; null where there is none. */
  told() {
    const { watch } = this.#state;
    if (!watch || watch.safeSince === null) return null;
    const { differences, drops } = watch;
    const what = differences.alarm
      ? `at its row ${differences.alarm}, more answers differ from the ${this.#name}'s than ` +
        `${percent(differences.bound)} %`
      : `at its row ${drops?.alarm}, the drop in accuracy is over ${percent(drops?.bound)} points`;
    return (
      `the audit has raised its alarm (${what}): every text goes to the ${this.#name} ` +
      `(${this.policy}) until the audit is begun anew with auditReset`
    );
  }
}

/** @param {number} [share] */
function percent(share = 0) {
  return Number((100 * share).toPrecision(6));
}

/** Randomness that nobody can foresee, from 0 up to 1. */
function systemChance() {
  return crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32;
}

/**
 * The same draws for the same seed (a Weyl sequence, mixed as by Vigna's splitmix): for tests.
 *
 * @param {number} seed
 * @returns {() => number}
 */
function seededChance(seed) {
  const mask = (1n << 64n) - 1n;
  let state = BigInt.asUintN(64, BigInt(seed));
  return () => {
    state = (state + 0x9e3779b97f4a7c15n) & mask;
    let z = state;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask;
    return Number((z ^ (z >> 31n)) >> 11n) / 2 ** 53;
  };
}
