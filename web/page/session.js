/** What the page itself remembers: its list of answers, a draft, and settings. */

/** @typedef {import("../mobile.js").Prediction} Prediction */
/** @typedef {import("../mobile.js").Text} Text */

/**
 * An answer in the list.
 *
 * @typedef {object} Entry
 * @property {Text} text
 * @property {Prediction} answer
 * @property {number} at milliseconds since 1970
 * @property {number | null} [saved] share of cost saved, of all answers until then, where known
 * @property {number | null} [evidence] of the drift monitor by then, where it watches
 */

/**
 * What a user sets.
 *
 * @typedef {object} Settings
 * @property {Record<string, string>} tiers addresses of those that the site has none for
 * @property {string} token
 * @property {"" | "yes" | "no"} adaptive "" for as it was fitted
 * @property {number} audit share of texts; 0 for none
 * @property {number} bound of answers that may differ, in points; 0 for what the contract says
 */

export const KEPT = 300; // answers in the list; the ledger has all

/** @type {Settings} */
const UNSET = { tiers: {}, token: "", adaptive: "", audit: 0, bound: 0 };

/**
 * Kept in a tab's own storage, so that it outlives a reload and nothing else: tokens and texts are
 * not left behind. Where there is no storage, or no room, the page works without.
 */
export class Session {
  #storage;
  #place;
  /** @type {Entry[]} oldest first */
  entries = [];

  /**
   * @param {Pick<Storage, "getItem" | "setItem" | "removeItem"> | null} storage
   * @param {string} place of the bundle: another one has another list
   */
  constructor(storage, place) {
    this.#storage = storage;
    this.#place = place;
    this.entries = this.#read("answers", []);
  }

  /** @param {Entry} entry */
  add(entry) {
    this.entries.push(entry);
    if (this.entries.length > KEPT) this.entries.splice(0, this.entries.length - KEPT);
  }

  /** Forget the list. */
  clear() {
    this.entries = [];
    this.keep();
  }

  /** Keep the list; half of it where all has no room. */
  keep() {
    for (let some = this.entries; some.length; some = some.slice(Math.ceil(some.length / 2))) {
      if (this.#write("answers", some)) return;
    }
    this.#write("answers", []);
  }

  /** @returns {{text: string, second: string, lines: string}} */
  get draft() {
    return this.#read("draft", { text: "", second: "", lines: "" });
  }

  set draft(value) {
    this.#write("draft", value);
  }

  /** @returns {Settings} */
  get settings() {
    return { ...UNSET, ...this.#read("settings", {}) };
  }

  set settings(value) {
    this.#write("settings", value);
  }

  /**
   * @param {string} name
   * @param {any} otherwise
   */
  #read(name, otherwise) {
    try {
      return JSON.parse(this.#storage?.getItem(this.#key(name)) ?? "null") ?? otherwise;
    } catch {
      return otherwise;
    }
  }

  /**
   * @param {string} name
   * @param {unknown} value
   */
  #write(name, value) {
    try {
      this.#storage?.setItem(this.#key(name), JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }

  /** @param {string} name */
  #key(name) {
    return `dimec ${name} ${this.#place}`;
  }
}
