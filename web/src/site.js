/** Where a policy's steps lead: the tiers, and the exits that can be seen there. */

import { ConfigError } from "./errors.js";
import { EXIT0 } from "./manifest.js";

/** @typedef {import("./tiers.js").Tier} Tier */

export class Site {
  /**
   * @param {readonly Tier[]} tiers
   * @param {readonly number[]} exits the layers with an exit, ascending; 0 where there is an exit 0
   * @param {readonly string[]} [sources] the model of each, as many; none where there is one model
   */
  constructor(tiers, exits, sources = []) {
    this.tiers = tiers;
    this.exits = exits;
    this.sources = sources;
  }

  /** Position of the last tier. */
  get last() {
    return this.tiers.length - 1;
  }

  /** The layers of the last tier: of the whole model, where there is one. */
  get layers() {
    return this.tiers[this.last].layer;
  }

  /** Whether the device can stop where no layer has run. */
  get exit0() {
    return this.#allOf(0).includes(0);
  }

  /**
   * The exits after layers of the model behind a tier, also those deeper than the tier's own.
   *
   * @param {number} tier
   */
  exitsOf(tier) {
    return this.#allOf(tier).filter((layer) => layer > 0);
  }

  /** @param {number} tier */
  #allOf(tier) {
    if (new Set(this.sources).size < 2) return this.exits;
    return this.exits.filter((_, k) => this.sources[k] === this.tiers[tier].source);
  }
}

/**
 * The site of a bundle: every exit of the models behind its tiers, as in a replay.
 *
 * @param {import("./manifest.js").Manifest} manifest
 * @throws {Error} it tells of no exits like that
 */
export function siteOf({ tiers, segments, files, provenance }) {
  const free = files.has(EXIT0) ? [0] : [];
  // Where nobody says, what can be had here is all.
  const known = [...new Set([...segments, ...tiers.map((tier) => tier.layer)])];
  const exits = [...free, ...(provenance.exits ?? known.sort((a, b) => a - b))];
  if (!provenance.sources) return new Site(tiers, exits);
  const sources = [...free.map(() => tiers[0].source), ...provenance.sources];
  if (sources.length !== exits.length) {
    throw new Error(`${exits.length} exits, and the models of ${sources.length}`);
  }
  return new Site(tiers, exits, sources);
}

/**
 * Refuse tiers with models of their own, for a system that cuts one model in parts.
 *
 * @param {Site} site
 */
export function requireOneModel(site) {
  if (new Set(site.tiers.map((tier) => tier.source)).size > 1) {
    throw new ConfigError("it cuts one model, and these tiers have models of their own");
  }
}
