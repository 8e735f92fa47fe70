/** The mobile tier: it decides where each text runs, and sees to it that each has one answer. */

import { ConfigError } from "./errors.js";
import { leavable } from "./leaving.js";
import { ledgerOf } from "./ledger.js";
import { partsOf } from "./opening.js";
import { Stream } from "./stream.js";

/** @typedef {import("../mobile.js").Choice} Choice */
/** @typedef {import("../mobile.js").Info} Info */
/** @typedef {import("../mobile.js").Input} Input */
/** @typedef {import("../mobile.js").Ledger} Ledger */
/** @typedef {import("../mobile.js").Link} Link */
/** @typedef {import("../mobile.js").Options} Options */
/** @typedef {import("../mobile.js").Prediction} Prediction */
/** @typedef {import("./tokens.js").Text} Text */

/**
 * Answers texts: the policy decides before any layer runs, and again once an exit has spoken.
 *
 * A tier that fails, or that nobody reaches, is not the input's end: what an exit said before is
 * the answer, or else the next best tier answers, and in the end the device itself.
 */
export class Mobile {
  #parts;
  /** @type {Set<Stream>} */
  #streams = new Set();
  /** @type {Set<Promise<unknown>>} what was asked and is not answered */
  #underWay = new Set();
  /** @type {Promise<void> | null} */
  #closing = null;

  /**
   * For {@link Mobile.open}.
   *
   * @param {import("./opening.js").Parts} parts
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /**
   * Load a bundle: the device's folder, or the folder above it.
   *
   * @param {string | URL | import("./loader.js").Loader} place
   * @param {Options} [options]
   * @returns {Promise<Mobile>}
   */
  static async open(place, options = {}) {
    return new Mobile(await partsOf(place, options));
  }

  /** Name of the policy. */
  get policy() {
    return this.#parts.about.policy;
  }

  /** Whether the policy learns here. */
  get adaptive() {
    return this.#parts.about.adaptive;
  }

  /** Names of the tiers, in order; the first is the device. */
  get tiers() {
    return this.#parts.manifest.tiers.map((tier) => tier.name);
  }

  /** Names of the classes. */
  get labels() {
    return [...this.#parts.manifest.labels];
  }

  /** Whether a text is a pair of texts. */
  get pairs() {
    return this.#parts.manifest.pairs;
  }

  /**
   * Answer one text, or one pair of texts.
   *
   * @param {Text} text
   * @param {{id?: string}} [options] the same id again gets the answer that it was given before
   * @returns {Promise<Prediction>}
   */
  async predict(text, { id } = {}) {
    const { engine } = this.#parts;
    const item = engine.admit(text, id);
    return this.#until(async () => {
      for (let held = engine.claim(item); held; held = engine.claim(item)) await held;
      try {
        await engine.begin(item);
        await engine.lead(item);
      } catch (error) {
        await engine.drop([item]);
        throw error;
      }
      const [prediction] = await engine.record([item]);
      return prediction;
    });
  }

  /**
   * Answer a stream of texts; the answers come in the order of the texts.
   *
   * @param {Iterable<Input> | AsyncIterable<Input>} texts
   * @param {{workers?: number}} [options]
   * @returns {AsyncGenerator<Prediction, void, undefined>}
   */
  predictMany(texts, { workers = 1 } = {}) {
    const stream = new Stream(this.#parts.engine, workers);
    return leavable(this.#run(stream, texts), () => stream.leave());
  }

  /**
   * @param {Stream} stream
   * @param {Iterable<Input> | AsyncIterable<Input>} texts
   * @returns {AsyncGenerator<Prediction, void, undefined>}
   */
  async *#run(stream, texts) {
    this.#streams.add(stream);
    try {
      yield* stream.run(texts);
    } finally {
      this.#streams.delete(stream);
    }
  }

  /**
   * Where a text would go first: nothing is answered, learnt or recorded.
   *
   * @param {Text} text
   * @returns {Promise<Choice>}
   */
  async decide(text) {
    return this.#until(() => this.#parts.engine.look(text));
  }

  /**
   * All answers in the state, added up.
   *
   * @returns {Promise<Ledger>}
   */
  async ledger() {
    const { decisions, manifest, state } = this.#parts;
    return ledgerOf(state, manifest.tiers, decisions.waiting, decisions.lost);
  }

  /**
   * What it is and has.
   *
   * @returns {Promise<Info>}
   */
  async info() {
    const { about, audit, state } = this.#parts;
    return { ...about, state: state.place, audit: audit.share, safe: audit.safe };
  }

  /** What the policy's decisions rest on now, as arrays by name, where it learns. */
  async memory() {
    return this.#parts.decisions.memory();
  }

  /** What the audit's monitors know; null where nothing is audited. */
  async monitors() {
    const { audit, state } = this.#parts;
    const { watch } = state;
    if (!watch) return null;
    const told = (/** @type {import("./contract/monitor.js").Monitor | null} */ one) => {
      if (!one) return null;
      const { alarm, alpha, bound, capital, rows, sum } = one;
      return { alarm: alarm || null, alpha, bound, capital, rows, sum };
    };
    return {
      differences: told(watch.differences),
      drops: told(watch.drops),
      alarm: watch.alarm,
      told: audit.told(),
    };
  }

  /**
   * Say the true label of an audited text: the drop in accuracy is watched by it.
   *
   * @param {string} id the text's
   * @param {string} label the name of its class
   * @returns {Promise<number>} 1 where only the last tier is right, -1 where only the policy, else 0
   */
  async label(id, label) {
    const { audit, decisions } = this.#parts;
    return this.#until(() => decisions.exclusively(() => audit.label(id, label)));
  }

  /** Begin the audit anew, and go back to the fitted policy after an alarm. */
  async resetAudit() {
    const { audit, decisions } = this.#parts;
    await this.#until(() => decisions.exclusively(() => audit.begin()));
  }

  /** The circuit breaker's state of each tier that has an address. */
  circuits() {
    return this.#parts.reach.circuits();
  }

  /**
   * Shape the link to a tier from now on, to see what a slow or a broken one does.
   *
   * @param {string} tier
   * @param {Link | null} link null for the link as it is
   */
  link(tier, link) {
    this.#parts.reach.link(tier, link);
  }

  /** End the streams that still run, and let go of everything once all that was asked is answered. */
  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    const { decisions, engine, state } = this.#parts;
    engine.closed = true;
    await Promise.all([...this.#streams].map((stream) => stream.close()));
    await Promise.allSettled(this.#underWay);
    await engine.release();
    await decisions.flush();
    await decisions.exclusively(() => state.close());
  }

  /**
   * Have `close` wait for some work.
   *
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #until(work) {
    if (this.#parts.engine.closed) throw new ConfigError("this mobile is closed; open it again");
    const done = work();
    this.#underWay.add(done);
    try {
      return await done;
    } finally {
      this.#underWay.delete(done);
    }
  }
}
