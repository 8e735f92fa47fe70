/** The mobile tier: it decides where each text runs, and sees to it that each has one answer. */

import { openBundle } from "./bundle.js";
import { coreOf } from "./core.js";
import { Course, fallbackOrder } from "./course.js";
import { ConfigError, DataError, DimecError, problemOf, TierError } from "./errors.js";
import { loaderOf } from "./loader.js";
import { policyOf } from "./policies/kinds.js";
import { choiceOf, predictionOf } from "./prediction.js";
import { toldPromise } from "./promise.js";
import { Go, Walk } from "./step.js";
import { checkedText } from "./tokens.js";
import { Turns } from "./turns.js";

/** @typedef {import("../mobile.js").Choice} Choice */
/** @typedef {import("../mobile.js").Client} Client */
/** @typedef {import("../mobile.js").Options} Options */
/** @typedef {import("../mobile.js").Prediction} Prediction */
/** @typedef {import("./core.js").Core} Core */
/** @typedef {import("./core.js").Embedded} Embedded */
/** @typedef {import("./manifest.js").Manifest} Manifest */
/** @typedef {import("./policies/kinds.js").Fitted} Fitted */
/** @typedef {import("./step.js").Step} Step */
/** @typedef {import("./tokens.js").Text} Text */

const OPTIONS = ["adaptive", "clients", "fallback"];

/**
 * Answers texts: the policy decides before any layer runs, and again once an exit has spoken.
 *
 * A tier that fails, or that nobody reaches, is not the input's end: what an exit said before is
 * the answer, or else the next best tier answers, and in the end the device itself.
 */
export class Mobile {
  #core;
  #manifest;
  #policy;
  #clients;
  #orders;
  #contract;
  #turns = new Turns();
  #closed = false;

  /**
   * For {@link Mobile.open}.
   *
   * @param {Manifest} manifest
   * @param {Core} core
   * @param {Fitted} policy
   * @param {ReadonlyMap<string, Client>} clients
   * @param {readonly (readonly number[])[]} orders of each tier, see {@link fallbackOrder}
   */
  constructor(manifest, core, policy, clients, orders) {
    this.#manifest = manifest;
    this.#core = core;
    this.#policy = policy;
    this.#clients = clients;
    this.#orders = orders;
    this.#contract = toldPromise(policy.fittedOn);
  }

  /**
   * Load a bundle: the device's folder, or the folder above it.
   *
   * @param {string | URL | import("./loader.js").Loader} place
   * @param {Options} [options]
   * @returns {Promise<Mobile>}
   */
  static async open(place, options = {}) {
    const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
    if (unknown) {
      throw new ConfigError(`there is no option ${unknown}; there are ${OPTIONS.join(", ")}`);
    }
    const { adaptive = null, fallback = "accuracy", clients = {} } = options;
    fallbackOrder(0, fallback, []); // refuses an unknown one before anything is loaded
    const bundle = await openBundle(await loaderOf(place));
    const { manifest } = bundle;
    const orders = manifest.tiers.map((_, k) => fallbackOrder(k, fallback, manifest.tiers));
    const reached = clientsOf(clients, manifest);
    const policy = policyOf(bundle, adaptive);
    const core = await coreOf(bundle);
    bundle.release();
    return new Mobile(manifest, core, policy, reached, orders);
  }

  /** Name of the policy. */
  get policy() {
    return this.#policy.name;
  }

  /** Whether the policy learns here. */
  get adaptive() {
    return this.#policy.learns !== "never";
  }

  /** Names of the tiers, in order; the first is the device. */
  get tiers() {
    return this.#manifest.tiers.map((tier) => tier.name);
  }

  /** Names of the classes. */
  get labels() {
    return [...this.#manifest.labels];
  }

  /**
   * Answer one text, or one pair of texts.
   *
   * @param {Text} text
   * @returns {Promise<Prediction>}
   */
  async predict(text) {
    const started = performance.now();
    this.#check(text);
    const { course, embedded } = await this.#turns.take(() => this.#begin(text));
    while (!course.answer) await this.#lead(course, embedded, text);
    this.#learn("answered", course);
    return predictionOf(course, {
      tiers: this.#manifest.tiers,
      labels: this.#manifest.labels,
      policy: this.#policy.name,
      contract: this.#contract,
      milliseconds: performance.now() - started,
    });
  }

  /**
   * Where a text would go first: nothing is answered or learnt.
   *
   * @param {Text} text
   * @returns {Promise<Choice>}
   */
  async decide(text) {
    this.#check(text);
    return this.#turns.take(async () => {
      const embedded = await this.#embed(text);
      return choiceOf(this.#first(signalOf(embedded)), this.#manifest.tiers);
    });
  }

  /** Let go of the graphs, once all that was asked is answered. */
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    await this.#turns.take(() => this.#core.release());
  }

  /** @param {unknown} text */
  #check(text) {
    if (this.#closed) throw new ConfigError("this mobile is closed; open it again");
    checkedText(text, this.#manifest.pairs);
  }

  /**
   * Embed a text, and have the policy say where to go.
   *
   * @param {Text} text
   */
  async #begin(text) {
    const embedded = await this.#embed(text);
    const signal = signalOf(embedded);
    const first = this.#first(signal);
    const { tiers } = this.#manifest;
    const course = new Course(new Walk(signal), first, this.#orders[first.tier], tiers);
    this.#learn("deciding", course);
    return { course, embedded };
  }

  /** @param {Text} text */
  #embed(text) {
    return this.#core.embed(this.#core.tokenise(text));
  }

  /** @param {import("./step.js").Signal} signal */
  #first(signal) {
    const step = this.#asked(() => this.#policy.steps.begin(signal));
    if (step instanceof Go) return step;
    throw new ConfigError("a policy cannot answer before any exit was seen");
  }

  /**
   * Lead an input on by one step: run it here, or ask the tier that it is to go to.
   *
   * @param {Course} course
   * @param {Embedded} embedded
   * @param {Text} text
   */
  async #lead(course, embedded, text) {
    /** @param {Walk} walk */
    const after = (walk) => this.#asked(() => this.#policy.steps.after(walk));
    const { layer, tier } = course;
    if (tier === 0) {
      course.see(await this.#turns.take(() => this.#core.run(embedded, layer)), after);
      return;
    }
    try {
      course.see(await this.#ask(tier, embedded, text), after);
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      course.failed(error);
    }
  }

  /**
   * (C,) probabilities from another tier.
   *
   * @param {number} tier
   * @param {Embedded} embedded
   * @param {Text} text
   * @throws {TierError} it gave no usable answer
   */
  async #ask(tier, { inputs }, text) {
    const { name } = this.#manifest.tiers[tier];
    const client = this.#clients.get(name);
    if (!client) throw new TierError(name, "not configured", "no address was given", false);
    const tokens = Object.entries(inputs).map(([input, tensor]) => [input, tensor.data]);
    const said = await client.infer({ tier: name, text, inputs: Object.fromEntries(tokens) });
    const classes = this.#manifest.labels.length;
    if (said.length !== classes || !said.every(Number.isFinite)) {
      const detail = `expected ${classes} finite probabilities`;
      throw new TierError(name, "broken answer", detail, true);
    }
    return said;
  }

  /**
   * Let the policy learn, where this is when it does. Of inputs on whose way a tier failed it does
   * not hear once they are answered: nothing went as it said.
   *
   * @param {import("./step.js").Learns} now
   * @param {Course} course
   */
  #learn(now, { failures, first, walk }) {
    if (this.#policy.learns !== now || failures.length) return;
    this.#policy.steps.learn?.(walk, first);
  }

  /**
   * @template T
   * @param {() => T} question to the policy
   * @returns {T}
   */
  #asked(question) {
    try {
      return question();
    } catch (error) {
      if (error instanceof DimecError) throw error;
      throw new DataError(
        `the bundle's policy fails on this text (${problemOf(error)}); fit and export it again`,
      );
    }
  }
}

/** @param {Embedded} embedded */
function signalOf({ encoding, pooled }) {
  return { embedding: pooled, tokens: encoding.ids.length };
}

/**
 * @param {Record<string, Client>} clients
 * @param {Manifest} manifest
 * @returns {ReadonlyMap<string, Client>}
 */
function clientsOf(clients, { tiers }) {
  const served = tiers.slice(1).map((tier) => tier.name);
  for (const [name, client] of Object.entries(clients)) {
    if (!served.includes(name)) {
      throw new ConfigError(
        `a client was given for ${name}; the bundle's tiers with a server are ` +
          `${served.join(", ") || "none"}`,
      );
    }
    if (typeof client?.infer !== "function") {
      throw new ConfigError(`the client of the ${name} has no function infer`);
    }
  }
  return new Map(Object.entries(clients));
}
