/** Who reaches the tiers: by an address each, or a client of the caller's own. */

import { ConfigError, shown, TierError } from "../errors.js";
import { endpointOf } from "./endpoint.js";
import { randomHex } from "./octets.js";
import { ShapedLink } from "./link.js";
import { utf8Of } from "./texts.js";
import { nothing, TierClient } from "./tier_client.js";

/** @typedef {import("../../mobile.js").Call} Call */
/** @typedef {import("../../mobile.js").Client} Client */
/** @typedef {import("../../mobile.js").Link} Link */
/** @typedef {import("../../mobile.js").Options} Options */
/** @typedef {import("../../mobile.js").Question} Question */
/** @typedef {import("../manifest.js").Manifest} Manifest */
/** @typedef {import("./encoding.js").Input} Input */

/** The options that say who reaches the tiers, and how. */
export const NET_OPTIONS = Object.freeze([
  "clients",
  "insecure",
  "links",
  "retries",
  "tiers",
  "timeout",
  "token",
]);

/**
 * One input on its way: its name and trace in the logs of the tiers, and the asking of them.
 */
export class Context {
  /** @type {Call[]} one for each asking of a tier, in order */
  calls = [];

  /**
   * @param {string} [id]
   * @param {string} [traceparent] W3C trace context
   */
  constructor(id = randomHex(16), traceparent = `00-${randomHex(16)}-${randomHex(8)}-01`) {
    this.id = id;
    this.traceparent = traceparent;
  }
}

/** Asks tiers, and notes what every asking took. */
export class Reach {
  #clients;
  #classes;

  /**
   * @param {ReadonlyMap<string, Client>} clients tier → who reaches it
   * @param {number} classes
   */
  constructor(clients, classes) {
    this.#clients = clients;
    this.#classes = classes;
  }

  /**
   * (C,) probabilities from a tier.
   *
   * @param {string} tier its name
   * @param {Pick<Question, "text" | "inputs">} input
   * @param {Context} context whose `calls` has one more afterwards
   * @returns {Promise<Float32Array>}
   * @throws {TierError} it gave no usable answer
   */
  async ask(tier, { text, inputs }, { calls, id, traceparent }) {
    const client = this.#clients.get(tier);
    const took = nothing();
    const started = performance.now();
    /** @type {TierError | null} */
    let failed = null;
    try {
      if (!client) throw new TierError(tier, "not configured", "no address was given", false);
      const said = await client.infer({ tier, text, inputs, id, traceparent, took });
      if (said.length === this.#classes && said.every(Number.isFinite)) return said;
      const detail = `expected ${this.#classes} finite probabilities`;
      throw new TierError(tier, "broken answer", detail, true);
    } catch (error) {
      if (error instanceof TierError) failed = error;
      throw error;
    } finally {
      const milliseconds = performance.now() - started;
      const { reason = null, detail = null } = failed ?? {};
      calls.push({ tier, milliseconds, ...took, reason, detail });
    }
  }

  /**
   * The circuit of each tier that has an address.
   *
   * @returns {Record<string, import("./breaker.js").Circuit>}
   */
  circuits() {
    const own = [...this.#clients].flatMap(([tier, client]) => {
      return client instanceof Addressed ? [[tier, client.own.breaker.state]] : [];
    });
    return Object.fromEntries(own);
  }

  /**
   * Shape the link to a tier from now on.
   *
   * @param {string} tier
   * @param {Link | null} link null for the link as it is
   * @throws {ConfigError} the tier has no address, or the link is none
   */
  link(tier, link) {
    const client = this.#clients.get(tier);
    if (!(client instanceof Addressed)) {
      throw new ConfigError(`no address of ${shown(tier, 40)} was given; only tiers with one have`);
    }
    client.own.link.shape(link);
  }

  /** Nothing more is asked. */
  close() {
    for (const client of this.#clients.values()) {
      if (client instanceof Addressed) client.own.close();
    }
  }
}

/** @implements {Client} */
class Addressed {
  #takesText;

  /**
   * @param {TierClient} own
   * @param {boolean} takesText whether the tier has a tokenizer of its own
   */
  constructor(own, takesText) {
    this.own = own;
    this.#takesText = takesText;
  }

  /** @param {Question} question */
  infer({ text, inputs, ...about }) {
    return this.own.infer(this.#takesText ? textInputs(text) : tokenInputs(inputs), about);
  }
}

/**
 * @param {import("../tokens.js").Text} text
 * @returns {Record<string, Input>}
 */
function textInputs(text) {
  const names = ["text", "pair"];
  const inputs = utf8Of(text).map((part, k) => {
    return [names[k], { datatype: "BYTES", shape: [1, 1], values: [part] }];
  });
  return Object.fromEntries(inputs);
}

/**
 * @param {Readonly<Record<string, BigInt64Array>>} inputs
 * @returns {Record<string, Input>}
 */
function tokenInputs(inputs) {
  const named = Object.entries(inputs).map(([name, values]) => {
    return [name, { datatype: "INT64", shape: [1, values.length], values }];
  });
  return Object.fromEntries(named);
}

/**
 * Who reaches the tiers of a bundle.
 *
 * @param {Options} options
 * @param {Manifest} manifest
 * @returns {Reach}
 * @throws {ConfigError} no such tier, or an address, the token or a setting cannot work
 */
export function reachOf(options, { labels, tiers }) {
  const { clients = {}, links = {}, tiers: urls = {}, token } = options;
  const served = tiers.slice(1);
  const names = served.map((tier) => tier.name);
  checkTiers(names, clients, "a client");
  checkTiers(names, urls, "an address");
  for (const [name, client] of Object.entries(clients)) {
    if (typeof client?.infer !== "function") {
      throw new ConfigError(`the client of the ${name} has no function infer`);
    }
    if (Object.hasOwn(urls, name)) {
      throw new ConfigError(`the ${name} was given an address and a client; give one`);
    }
  }
  checkTiers(Object.keys(urls), links, "a link", "tiers that were given an address");
  if (typeof token === "object" && token) checkTiers(names, token, "a token");
  const found = new Map(Object.entries(clients));
  for (const tier of served) {
    if (Object.hasOwn(urls, tier.name)) {
      found.set(tier.name, addressed(tier, labels.length, options));
    }
  }
  return new Reach(found, labels.length);
}

/**
 * @param {import("../tiers.js").Tier} tier
 * @param {number} classes
 * @param {Options} options
 */
function addressed({ name, takes, version }, classes, options) {
  const { insecure, links = {}, retries, tiers = {}, timeout, token } = options;
  const own = typeof token === "object" && token ? token[name] : token;
  const endpoint = endpointOf({
    tier: name,
    url: tiers[name],
    version,
    classes,
    token: own,
    timeout,
    retries,
    insecure,
  });
  const link = new ShapedLink(name, links[name] ?? null);
  return new Addressed(new TierClient(endpoint, { link }), takes === "text");
}

/**
 * @param {readonly string[]} names
 * @param {unknown} given name → what of it
 * @param {string} what
 * @param {string} [of]
 */
function checkTiers(names, given, what, of = "bundle's tiers with a server") {
  if (typeof given !== "object" || given === null) {
    throw new ConfigError(`expected ${what} of each tier by its name, got ${shown(given, 40)}`);
  }
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new ConfigError(
      `${what} was given for ${shown(unknown, 40)}; the ${of} are ${names.join(", ") || "none"}`,
    );
  }
}
