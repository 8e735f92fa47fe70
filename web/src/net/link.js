/** A link that is shaped: cut, slow to answer, or narrow, as a radio link is. */

import { ConfigError, shown } from "../errors.js";
import { Failure } from "./errors.js";
import { pause } from "./time.js";

/** @typedef {import("../../mobile.js").Link} Link */

const NAMES = ["cut", "down", "roundTrip", "up"];
const CUT = Object.freeze({ sent: false, retry: false });

/**
 * The link to a tier, which may be changed at any time. Each request has its rates to itself.
 *
 * What is under way when the link is cut is lost.
 */
export class ShapedLink {
  #tier;
  /** @type {Readonly<Link>} */
  #link = {};
  #cut = new AbortController();

  /**
   * @param {string} tier for messages
   * @param {Link | null} [link] null for the link as it is
   */
  constructor(tier, link = null) {
    this.#tier = tier;
    this.shape(link);
  }

  /**
   * @param {Link | null} link null for the link as it is
   * @throws {ConfigError} it is none
   */
  shape(link) {
    this.#link = checkedLink(this.#tier, link);
    if (this.#link.cut) this.#cut.abort();
    else if (this.#cut.signal.aborted) this.#cut = new AbortController();
  }

  /**
   * Aborts once the link is cut; to be taken when a request begins.
   *
   * @throws {Failure} it is cut
   */
  get signal() {
    if (this.#link.cut) throw new Failure("unreachable", "the link is cut", CUT);
    return this.#cut.signal;
  }

  /**
   * Wait for as long as bytes take to the tier.
   *
   * @param {number} bytes
   * @param {AbortSignal} signal gives it up
   */
  go(bytes, signal) {
    return pause(this.#milliseconds(bytes, this.#link.up), signal);
  }

  /**
   * Wait for as long as bytes take back from the tier.
   *
   * @param {number} bytes
   * @param {AbortSignal} signal gives it up
   */
  come(bytes, signal) {
    return pause(this.#milliseconds(bytes, this.#link.down), signal);
  }

  /**
   * @param {number} bytes
   * @param {number} [rate] bit/s
   */
  #milliseconds(bytes, rate = Infinity) {
    return (this.#link.roundTrip ?? 0) / 2 + (8e3 * bytes) / rate;
  }
}

/**
 * @param {string} tier
 * @param {unknown} link
 * @returns {Readonly<Link>}
 */
function checkedLink(tier, link) {
  if (link === null) return {};
  const given = typeof link === "object" ? { .../** @type {any} */ (link) } : { link };
  const wrong = Object.entries(given).find(([name, value]) => !fits(name, value));
  if (wrong) {
    throw new ConfigError(
      `the link to ${tier}: ${wrong[0]} cannot be ${shown(wrong[1] ?? null, 40)}; there are cut ` +
        "(true or false), roundTrip (milliseconds, 0 or more), up and down (bit/s, above 0)",
    );
  }
  return given;
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function fits(name, value) {
  if (!NAMES.includes(name)) return false;
  if (value === undefined) return true;
  if (name === "cut") return typeof value === "boolean";
  return typeof value === "number" && (name === "roundTrip" ? value >= 0 : value > 0);
}
