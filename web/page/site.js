/** What the page asks of whoever serves it. */

/** @typedef {import("../mobile.js").Link} Link */

/**
 * @typedef {object} Setup
 * @property {string} bundle
 * @property {Record<string, string>} tiers addresses
 * @property {string | null} token
 * @property {Record<string, Link>} links
 * @property {boolean} control
 * @property {string} version
 * @property {import("../mobile.js").Text[]} examples
 */

/** The site, with the key that is in the page's address and never sent on with it. */
export class Place {
  #key;

  /** @param {Location} location */
  constructor(location) {
    this.base = new URL("./", location.href);
    this.base.hash = "";
    this.#key = decodeURIComponent(location.hash.slice(1));
  }

  /** @returns {Record<string, string>} */
  get headers() {
    return this.#key ? { Authorization: `Bearer ${this.#key}` } : {};
  }

  /** @param {string} path */
  url(path) {
    return new URL(path, this.base);
  }

  /** @returns {Promise<Setup>} */
  async setup() {
    const response = await this.#ask("setup.json", "GET");
    if (response.status === 401) {
      throw new Error(
        "the key in the page's address is missing or wrong; open the address that dimec up printed",
      );
    }
    if (!response.ok) {
      throw new Error(
        `setup.json of this site could not be read (HTTP ${response.status}); write the site again`,
      );
    }
    const told = await response.json();
    return { tiers: {}, token: null, links: {}, control: false, examples: [], ...told };
  }

  /**
   * Stop or start a tier's server; resolves once it has.
   *
   * @param {string} tier
   * @param {"stop" | "start"} order
   */
  async order(tier, order) {
    const response = await this.#ask(`tiers/${encodeURIComponent(tier)}/${order}`, "POST");
    if (response.ok) return;
    const told = await response.json().catch(() => ({}));
    throw new Error(told.error ?? `the server of ${tier} cannot be told to ${order}`);
  }

  /**
   * @param {string} path
   * @param {"GET" | "POST"} method
   */
  async #ask(path, method) {
    const { headers } = this;
    try {
      return await fetch(this.url(path), { method, headers, cache: "no-store" });
    } catch {
      throw new Error("the server of this page does not answer; is dimec up still running?");
    }
  }
}
