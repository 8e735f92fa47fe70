/** The mobile tier: it decides where each text runs, and sees to it that each has one answer. */

import { Audit, AUDIT_OPTIONS, wantedAudit } from "./audit.js";
import { openBundle } from "./bundle.js";
import { promiseIn, toldPromise } from "./contract/promise.js";
import { coreOf } from "./core.js";
import { fallbackOrder } from "./course.js";
import { Decisions } from "./decisions.js";
import { Engine } from "./engine.js";
import { ConfigError } from "./errors.js";
import { startRuntime } from "./graphs.js";
import { ledgerOf } from "./ledger.js";
import { loaderOf } from "./loader.js";
import { NET_OPTIONS, reachOf } from "./net/reach.js";
import { policyOf } from "./policies/kinds.js";
import { cacheOf } from "./state/cache.js";
import { identityOf, storeOf } from "./state/open.js";
import { State } from "./state/state.js";
import { Stream } from "./stream.js";

/** @typedef {import("../mobile.js").Choice} Choice */
/** @typedef {import("../mobile.js").Info} Info */
/** @typedef {import("../mobile.js").Input} Input */
/** @typedef {import("../mobile.js").Ledger} Ledger */
/** @typedef {import("../mobile.js").Link} Link */
/** @typedef {import("../mobile.js").Options} Options */
/** @typedef {import("../mobile.js").Prediction} Prediction */
/** @typedef {import("./tokens.js").Text} Text */

const OPTIONS = ["adaptive", "cache", "fallback", "state", ...AUDIT_OPTIONS, ...NET_OPTIONS].sort();

/**
 * @typedef {object} Parts
 * @property {Engine} engine
 * @property {import("./manifest.js").Manifest} manifest
 * @property {Decisions} decisions
 * @property {Audit} audit
 * @property {import("./net/reach.js").Reach} reach
 * @property {State} state
 * @property {Omit<Info, "safe" | "state" | "audit">} about
 */

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
   * @param {Parts} parts
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
    const started = performance.now();
    const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
    if (unknown) {
      throw new ConfigError(`there is no option ${unknown}; there are ${OPTIONS.join(", ")}`);
    }
    const { adaptive = null, fallback = "accuracy" } = options;
    fallbackOrder(0, fallback, []); // refuses an unknown one before anything is loaded
    void startRuntime();
    const loader = await loaderOf(place);
    const bundle = await openBundle(loader, await cacheOf(loader.place, options.cache ?? true));
    const { manifest } = bundle;
    const { labels, tiers } = manifest;
    const orders = tiers.map((_, k) => fallbackOrder(k, fallback, tiers));
    const reach = reachOf(options, manifest);
    const policy = policyOf(bundle, adaptive);
    const promise = promiseIn(policy.fittedOn);
    const contract = toldPromise(promise);
    const watched = wantedAudit(options, promise, tiers.length);
    const identity = await identityOf(manifest);
    const names = tiers.map((tier) => tier.name);
    const check =
      policy.learns === "never" ? null : (policy.twin.restore?.bind(policy.twin) ?? null);
    const state = new State(storeOf(options.state, identity), identity, names, check, watched);
    try {
      await state.open();
      const audit = new Audit(state, tiers, labels, options);
      if (options.auditReset) await audit.begin();
      audit.check(watched);
      const decisions = new Decisions(policy, state);
      const core = await coreOf(bundle);
      bundle.release();
      audit.tell();
      const used = { manifest, decisions, audit, reach };
      const engine = new Engine({ ...used, core, orders, policy: policy.name, contract });
      const about = {
        bundle: bundle.place,
        version: tiers[0].version,
        policy: policy.name,
        contract,
        adaptive: policy.learns !== "never",
        startMilliseconds: performance.now() - started,
        bytes: [...manifest.files.values()].reduce((sum, file) => sum + file.bytes, 0),
        cached: bundle.cached,
      };
      return new Mobile({ ...used, engine, state, about });
    } catch (error) {
      reach.close();
      await state.close();
      throw error;
    }
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
  async *predictMany(texts, { workers = 1 } = {}) {
    const stream = new Stream(this.#parts.engine, workers);
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
