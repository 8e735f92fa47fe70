/** Policies of one step: to a tier that is chosen before any layer has run, which answers. */

import { DataError } from "../errors.js";
import { checkLearnt } from "../learnt.js";
import { argmax, dot, roundHalfEven } from "../numbers.js";
import { required, rowsOf } from "../safetensors.js";
import { requireOneModel } from "../site.js";
import { ANSWER, Go } from "../step.js";
import { priceOf } from "../tiers.js";
import { bestOf, named, plainly } from "./reasons.js";

/** @typedef {import("../safetensors.js").Arrays} Arrays */
/** @typedef {import("../site.js").Site} Site */
/** @typedef {import("../step.js").Signal} Signal */
/** @typedef {import("../step.js").Steps} Steps */

const ANSWERED = ANSWER.because(plainly("where it was sent, it is answered"));
const FARTHEST = 1e100; // of a sum from a store: its square still is a number

/** One step, and the answer. */
class OneStep {
  /**
   * @param {Site} site
   * @param {import("../step.js").Learns} [learns]
   */
  constructor(site, learns = "never") {
    this.learns = learns;
    /** @type {readonly Go[]} to any tier's own exit */
    this.reach = site.tiers.map((tier, k) => new Go(k, tier.layer));
    this.names = site.tiers.map((tier) => tier.name);
  }

  after() {
    return ANSWERED;
  }
}

/** Always the same step. */
class Always extends OneStep {
  /**
   * @param {Site} site
   * @param {Go} step
   */
  constructor(site, step) {
    super(site);
    const tier = site.tiers[step.tier]?.name; // whether there is one is seen later
    this.reach = [step.because(plainly(`every input goes to ${tier}`, { tier }))];
  }

  begin() {
    return this.reach[0];
  }
}

/**
 * The paper's router: the tier whose pool has the nearest centre (Algorithm 2).
 *
 * Distances are Euclidean; a tie goes to the tier that comes first. An empty pool has no centre. An
 * adaptive router takes every input into the pool that it chose, P ← (n·P + x) / (n + 1).
 */
class CentroidSteps extends OneStep {
  #sums;
  #counts;

  /**
   * @param {Site} site
   * @param {Float64Array[]} sums (K, D) of the embeddings in each pool
   * @param {number[]} counts (K,) how many there are
   * @param {boolean} adaptive
   */
  constructor(site, sums, counts, adaptive) {
    super(site, adaptive ? "deciding" : "never");
    this.#sums = sums;
    this.#counts = counts;
  }

  /** @param {Signal} signal */
  begin({ embedding }) {
    const squared = this.#sums.map((sum, k) => {
      const count = this.#counts[k];
      return count ? squaredDistance(sum, count, embedding) : Infinity;
    });
    const tier = argmax(squared.map((one) => -one));
    const scores = squared.map(Math.sqrt);
    const [first, second = Infinity] = [...scores].sort((a, b) => a - b);
    const margin = second === Infinity ? Infinity : second - first;
    const telling = () => ({
      why: bestOf(this.names, scores, tier, { of: "distance to its pool", lower: true }),
      values: { distances: named(this.names, scores.map(finite)), margin: finite(margin) },
    });
    return new Go(tier, this.reach[tier].layer, { scores, margin, telling });
  }

  /**
   * @param {import("../step.js").Walk} walk
   * @param {Go} first
   */
  learn(walk, first) {
    const sum = this.#sums[first.tier];
    walk.signal.embedding.forEach((value, d) => {
      sum[d] += value;
    });
    this.#counts[first.tier] += 1;
  }

  /** @returns {import("../learnt.js").Learnt} */
  state() {
    const width = this.#sums[0].length;
    const data = new Float64Array(this.#sums.length * width);
    this.#sums.forEach((sum, k) => data.set(sum, k * width));
    const counts = Float64Array.from(this.#counts);
    return {
      sums: { shape: [this.#sums.length, width], data },
      counts: { shape: [counts.length], data: counts },
    };
  }

  /** @param {import("../learnt.js").Learnt} state */
  restore(state) {
    checkLearnt(state, this.state(), ["counts"]);
    const { sums, counts } = state;
    if (sums.data.some((one) => Math.abs(one) > FARTHEST)) {
      throw new DataError(`expected sums within ${FARTHEST}, got others`);
    }
    if (!counts.data.some((one) => one > 0)) throw new DataError("there is nothing in its pools");
    this.#sums = rowsOf(sums.data.slice(), sums.shape[1]);
    this.#counts = [...counts.data];
  }
}

/**
 * Null for infinity: a pool without a centre.
 *
 * @param {number} value
 */
function finite(value) {
  return Number.isFinite(value) ? value : null;
}

/**
 * To the centre of a pool.
 *
 * @param {Float64Array} sum
 * @param {number} count
 * @param {Float32Array} x
 */
function squaredDistance(sum, count, x) {
  let total = 0;
  for (let d = 0; d < sum.length; d += 1) total += (sum[d] / count - x[d]) ** 2;
  return total;
}

/**
 * Nearest neighbours: to the tier of the highest share right - λ·price among the k nearest
 * validation samples. Embeddings are whole numbers from -127 to 127, so distances are exact; of
 * equally near samples the first is taken.
 */
class NeighboursSteps extends OneStep {
  #told;
  #points;
  #squares;
  #right;
  #prices;

  /**
   * @param {Site} site
   * @param {{k: number, lam: number, scale: number}} settings
   * @param {{points: Int8Array[], right: Uint8Array[], mean: Float64Array}} samples
   */
  constructor(site, settings, { points, right, mean }) {
    super(site);
    this.#told = { ...settings, mean };
    this.#points = points;
    this.#squares = points.map((point) => dot(point, point));
    this.#right = right;
    this.#prices = site.tiers.map(priceOf);
  }

  /** @param {Signal} signal */
  begin({ embedding }) {
    const { k, lam, scale, mean } = this.#told;
    const x = Float64Array.from(embedding, (value, d) => {
      return Math.max(-127, Math.min(127, roundHalfEven((value - mean[d]) * scale)));
    });
    const near = this.#nearest(x, k);
    const right = this.#prices.map((_, tier) => {
      return near.reduce((sum, sample) => sum + this.#right[sample][tier], 0) / near.length;
    });
    const charges = this.#prices.map((price) => lam * price);
    const utilities = right.map((share, tier) => share - charges[tier]);
    const tier = argmax(utilities);
    const telling = () => ({
      why: bestOf(this.names, utilities, tier, { of: "share right less its price" }),
      values: {
        neighbours: near.length,
        right: named(this.names, right),
        prices: named(this.names, charges),
        utilities: named(this.names, utilities),
      },
    });
    return this.reach[tier].because(telling);
  }

  /**
   * Positions of the k nearest samples, of all where there are fewer.
   *
   * @param {Float64Array} x
   * @param {number} k
   */
  #nearest(x, k) {
    const far = this.#points.map((point, m) => this.#squares[m] - 2 * dot(point, x));
    return far
      .map((_, m) => m)
      .sort((a, b) => far[a] - far[b] || a - b)
      .slice(0, k);
  }
}

/** @type {import("./kinds.js").Make} */
export function centroid({ settings, arrays, site, adaptive }) {
  const sums = required(arrays, "sums", "F64", 2);
  const counts = required(arrays, "counts", "I64", 1);
  const fits = sums.shape[0] === counts.shape[0] && sums.shape[0] === site.tiers.length;
  if (!fits || counts.data.some((n) => n < 0) || !counts.data.some((n) => n > 0)) {
    throw new Error(`expected the pools of ${site.tiers.length} tiers`);
  }
  const rows = rowsOf(/** @type {Float64Array} */ (sums.data).slice(), sums.shape[1]);
  return new CentroidSteps(site, rows, [...counts.data], adaptive ?? settings.adaptive);
}

/** @type {import("./kinds.js").Make} */
export function tier({ settings, site }) {
  return new Always(site, new Go(settings.tier, site.tiers[settings.tier].layer));
}

/** The whole model for every input, in the cloud or on the device.
 * @type {import("./kinds.js").Make} */
export function bert({ settings, site }) {
  if (settings.place === "mobile") requireOneModel(site);
  return new Always(site, new Go(settings.place === "mobile" ? 0 : site.last, site.layers));
}

/** @type {import("./kinds.js").Make} */
export function neighbours({ settings, arrays, site }) {
  const points = required(arrays, "points", "I8", 2);
  const right = required(arrays, "right", "U8", 2);
  const mean = required(arrays, "mean", "F64", 1);
  const [size, width] = points.shape;
  const fits = size > 0 && right.shape.join() === `${size},${site.tiers.length}`;
  if (!fits || mean.shape[0] !== width || !(settings.k >= 1 && settings.scale > 0)) {
    throw new Error(`expected samples of ${site.tiers.length} tiers`);
  }
  const { k, lam, scale } = settings;
  return new NeighboursSteps(
    site,
    { k, lam, scale },
    {
      points: rowsOf(/** @type {Int8Array} */ (points.data), width),
      right: rowsOf(/** @type {Uint8Array} */ (right.data), right.shape[1]),
      mean: /** @type {Float64Array} */ (mean.data),
    },
  );
}
