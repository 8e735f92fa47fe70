/**
 * Exit 0: a classifier that reads the embedding layer alone, and so costs no layer.
 *
 * It adds up weights of tokens and of hashed neighbours (of a pair: of the tokens that only the one
 * text has, only the other, and both, and of the share in common), divides by n^power, adds a
 * linear map of the pooled embedding, mixes the K columns to C logits, and takes the softmax. The
 * weights are halves, so their sums in double precision are exact in any order.
 */

import { CorruptArtefactError, problemOf } from "./errors.js";
import { BINS, bigramRow, nTo, shareBins, sidesOf } from "./exit0_rows.js";
import { deviceModel, EXIT0 } from "./manifest.js";
import { dot, softmax } from "./numbers.js";
import { arraysOf, required, rowsOf } from "./safetensors.js";

/** @typedef {import("./safetensors.js").Arrays} Arrays */

const POWERS = [0, 0.5, 1];

export class Exit0 {
  #rowOf = new Map();
  #tokens;
  #bigrams;
  #shares;
  #pooled;
  #mix;
  #bias;
  #prior;
  #columns;
  #size;

  /**
   * @param {Arrays} arrays ids (R,), tokens (1 or 3, R, K), bigrams (2^k, K), shares (3, 21, K),
   *   pooled (K, D), mix (K, C), bias (C,), prior (C,)
   * @param {Record<string, any>} told vocabulary, separator, power, model
   * @throws {Error} parts that do not fit each other
   */
  constructor(arrays, told) {
    const ids = required(arrays, "ids", "I32", 1);
    const tokens = required(arrays, "tokens", "F16", 3);
    const bigrams = required(arrays, "bigrams", "F16", 2);
    const shares = required(arrays, "shares", "F16", 3);
    const pooled = required(arrays, "pooled", "F32", 2);
    const mix = required(arrays, "mix", "F32", 2);
    const [tables, size, columns] = tokens.shape;
    const [hashed] = bigrams.shape;
    this.#bias = required(arrays, "bias", "F32", 1).data;
    this.#prior = /** @type {Float32Array} */ (required(arrays, "prior", "F32", 1).data);
    this.pairs = tables === 3;
    this.classes = mix.shape[1];
    this.width = pooled.shape[1];
    this.vocabulary = told.vocabulary;
    this.model = told.model;
    this.separator = told.separator;
    this.power = told.power;
    this.bits = Math.log2(hashed || 1);
    const fits =
      [1, 3].includes(tables) &&
      columns >= 1 &&
      ids.shape[0] === size &&
      Number.isInteger(this.bits) &&
      hashed !== 1 &&
      [bigrams, { shape: shares.shape.slice(1) }].every(({ shape }) => shape[1] === columns) &&
      shares.shape[0] === (this.pairs ? 3 : 0) &&
      shares.shape[1] === BINS &&
      pooled.shape[0] === columns &&
      mix.shape[0] === columns &&
      [this.#bias, this.#prior].every((one) => one.length === this.classes) &&
      POWERS.includes(this.power) &&
      Number.isInteger(this.separator);
    if (!fits) throw new Error("its parts do not fit each other");
    [...ids.data].forEach((id, row) => this.#rowOf.set(id, row + 1));
    this.#tokens = /** @type {Float32Array} */ (tokens.data);
    this.#bigrams = /** @type {Float32Array} */ (bigrams.data);
    this.#shares = /** @type {Float32Array} */ (shares.data);
    this.#pooled = rowsOf(pooled.data, this.width);
    this.#mix = rowsOf(mix.data, this.classes);
    this.#columns = columns;
    this.#size = size;
  }

  /**
   * (C,) probabilities of the classes of one text, or pair of texts.
   *
   * @param {readonly number[]} ids token ids, as the model takes them
   * @param {Float32Array} pooled (D,) its pooled embedding
   * @returns {Float32Array}
   */
  one(ids, pooled) {
    const z = this.pairs ? this.#ofPair(ids) : this.#ofText(ids);
    if (z === null) return this.#prior.slice();
    const columns = z.map((one, k) => one + dot(this.#pooled[k], pooled));
    const logits = Array.from(this.#bias, (bias, c) => {
      return columns.reduce((sum, one, k) => sum + one * this.#mix[k][c], 0) + bias;
    });
    return Float32Array.from(softmax(logits));
  }

  /**
   * What is looked up for a text; null where no token has weights.
   *
   * @param {readonly number[]} ids
   */
  #ofText(ids) {
    const known = ids.filter((id) => this.#rowOf.has(id));
    if (!known.length) return null;
    const z = new Array(this.#columns).fill(0);
    known.forEach((id, place) => {
      this.#add(z, this.#tokens, this.#rowOf.get(id) - 1);
      if (place && this.#bigrams.length) {
        this.#add(z, this.#bigrams, bigramRow(known[place - 1], id, this.bits));
      }
    });
    return z.map((one) => one / nTo(this.power, known.length));
  }

  /**
   * Likewise for a pair.
   *
   * @param {readonly number[]} ids
   */
  #ofPair(ids) {
    const rows = ids.map((id) => this.#rowOf.get(id) ?? 0);
    const sides = sidesOf(ids, rows, this.separator);
    const [first, second, both] = sides.map((side) => side.size);
    const count = first + second + both;
    if (!count) return null;
    const sums = new Array(this.#columns).fill(0);
    sides.forEach((side, table) => {
      for (const row of side) this.#add(sums, this.#tokens, table * this.#size + row - 1);
    });
    const z = sums.map((one) => one / nTo(this.power, count));
    shareBins(first, second, both).forEach((bin, table) => {
      this.#add(z, this.#shares, table * BINS + bin);
    });
    return z;
  }

  /**
   * @param {number[]} z
   * @param {Float32Array} table
   * @param {number} row
   */
  #add(z, table, row) {
    const start = row * this.#columns;
    for (let k = 0; k < this.#columns; k += 1) z[k] += table[start + k];
  }
}

/**
 * The bundle's exit 0, held against its manifest; null where there is none.
 *
 * @param {import("./bundle.js").Bundle} bundle
 * @returns {Exit0 | null}
 * @throws {CorruptArtefactError} it is none, or of another model, vocabulary, width or task
 */
export function exit0Of(bundle) {
  const { manifest, place } = bundle;
  if (!bundle.has(EXIT0)) return null;
  const path = `${place}/${EXIT0}`;
  const { arrays, metadata } = arraysOf(bundle.read(EXIT0), "exit 0", path);
  try {
    if (metadata.version !== 1) throw new Error(`version ${metadata.version}, expected 1`);
    const exit0 = new Exit0(arrays, metadata);
    const got = [exit0.vocabulary, exit0.width, exit0.classes, exit0.pairs].join();
    const { vocabulary, width, labels, pairs } = manifest;
    const expected = [vocabulary, width, labels.length, pairs].join();
    if (got !== expected) throw new Error(`vocabulary, width, classes, pairs ${got}: ${expected}`);
    const model = deviceModel(manifest);
    if (model !== undefined && model !== exit0.model) throw new Error("of another model");
    return exit0;
  } catch (error) {
    throw new CorruptArtefactError(
      `${path} does not go with this bundle (${problemOf(error)}); make the bundle again with: ` +
        "dimec export",
    );
  }
}
