/** The device's own share of the work: tokenise, embed, and the layers up to its exits. */

import {
  ArtefactError,
  ConfigError,
  CorruptArtefactError,
  DataError,
  problemOf,
} from "./errors.js";
import { exit0Of } from "./exit0.js";
import { graphOf } from "./graphs.js";
import { graphNames } from "./manifest.js";
import { encoderOf } from "./tokens.js";
import { ort } from "./vendor.js";

/** @typedef {import("./graphs.js").Graph} Graph */
/** @typedef {import("./graphs.js").Tensor} Tensor */
/** @typedef {import("./tokens.js").Encoding} Encoding */

const HIDDEN = "hidden";
const MASK = "attention_mask";

/**
 * An input behind the embedding layer, and how far it came from there.
 *
 * @typedef {object} Embedded
 * @property {Encoding} encoding
 * @property {Record<string, Tensor>} inputs (1, T) int64, as every tier's graph takes them
 * @property {Float32Array} pooled (D,) mean of the embeddings: what the router sees
 * @property {Tensor | null} hidden (1, T, D) behind the layer `layer`; null once of no more use
 * @property {number} layer how many layers `hidden` has run through
 * @property {Map<number, Float32Array>} probabilities (C,) of all exits passed, by exit
 */

/**
 * Tokenizer and graphs of the device. One call at a time: the caller sees to it.
 *
 * Every text runs through the graphs on its own: with int8 weights, a batch would change values.
 */
export class Core {
  #encoder;
  #embed;
  /** @type {ReadonlyMap<number, Graph>} */
  #segments;
  #names;

  /**
   * @param {import("./manifest.js").Manifest} manifest
   * @param {import("./tokens.js").Encoder} encoder
   * @param {import("./exit0.js").Exit0 | null} exit0
   * @param {readonly Graph[]} graphs the embedding layer's, and the segments'
   */
  constructor(manifest, encoder, exit0, [embed, ...segments]) {
    this.exits = manifest.segments;
    this.exit0 = exit0;
    this.#names = manifest.inputs;
    this.#encoder = encoder;
    this.#embed = embed;
    this.#segments = new Map(this.exits.map((exit, k) => [exit, segments[k]]));
  }

  /**
   * Model inputs of a text that was checked; longer ones are cut.
   *
   * @param {import("./tokens.js").Text} text
   * @returns {Encoding}
   */
  tokenise(text) {
    try {
      return this.#encoder.encode(text);
    } catch (error) {
      throw new DataError(`the bundle's tokenizer fails on this text (${problemOf(error)})`);
    }
  }

  /**
   * Run the embedding layer.
   *
   * @param {Encoding} encoding
   * @returns {Promise<Embedded>}
   */
  async embed(encoding) {
    const inputs = inputsOf(encoding, this.#names);
    const [hidden, pooled] = await this.#embed.run(inputs);
    const vector = /** @type {Float32Array} */ (pooled.data);
    return { encoding, inputs, pooled: vector, hidden, layer: 0, probabilities: new Map() };
  }

  /**
   * (C,) probabilities at an exit, running only the layers that were not run yet.
   *
   * @param {Embedded} embedded is changed: it stands behind the exit afterwards
   * @param {number} exit one of `exits`, or 0 where there is an exit 0
   * @returns {Promise<Float32Array>}
   * @throws {ConfigError} the layers are not cut there
   */
  async run(embedded, exit) {
    const known = embedded.probabilities.get(exit);
    if (known) return known;
    if (exit === 0 && this.exit0) {
      const said = this.exit0.one(embedded.encoding.ids, embedded.pooled);
      embedded.probabilities.set(0, said);
      return said;
    }
    if (!this.#segments.has(exit)) {
      throw new ConfigError(
        `the bundle's device can stop at the layers ${this.exits.join(", ")}, not at ${exit}`,
      );
    }
    for (const [end, segment] of this.#segments) {
      if (embedded.layer < end && end <= exit) await this.#advance(embedded, end, segment);
    }
    return /** @type {Float32Array} */ (embedded.probabilities.get(exit));
  }

  /**
   * @param {Embedded} embedded
   * @param {number} end
   * @param {Graph} segment
   */
  async #advance(embedded, end, segment) {
    const { hidden, inputs } = embedded;
    if (!hidden) throw new ConfigError("this input's hidden states are gone");
    const [said, behind] = await segment.run({ [HIDDEN]: hidden, [MASK]: inputs[MASK] });
    embedded.probabilities.set(end, /** @type {Float32Array} */ (said.data));
    embedded.hidden = behind ?? null; // the last segment has none
    embedded.layer = end;
  }

  /** Let go of the graphs. */
  async release() {
    await this.#embed.release();
    for (const segment of this.#segments.values()) await segment.release();
  }
}

/**
 * The core of a bundle, tried out.
 *
 * @param {import("./bundle.js").Bundle} bundle
 * @returns {Promise<Core>}
 * @throws {import("./errors.js").ArtefactError} the tokenizer or a graph cannot be used
 */
export async function coreOf(bundle) {
  const { manifest, place } = bundle;
  const encoder = encoderOf(bundle);
  const exit0 = exit0Of(bundle);
  /** @type {Graph[]} */
  const graphs = [];
  try {
    for (const name of graphNames(manifest.segments)) graphs.push(await graphOf(bundle, name));
    checkSegments(graphs);
    const core = new Core(manifest, encoder, exit0, graphs);
    await tryOut(core, manifest);
    return core;
  } catch (error) {
    for (const graph of graphs) await graph.release();
    if (error instanceof ArtefactError) throw error; // of a graph that cannot be loaded
    throw new CorruptArtefactError(
      `the graphs in ${place} do not do what its manifest says (${problemOf(error)}); make the ` +
        "bundle again with: dimec export",
    );
  }
}

/**
 * @param {Encoding} encoding
 * @param {readonly string[]} names of the inputs
 * @returns {Record<string, Tensor>}
 */
function inputsOf({ ids, types }, names) {
  /** @type {Record<string, readonly number[]>} */
  const values = { input_ids: ids, [MASK]: ids.map(() => 1), token_type_ids: types };
  return Object.fromEntries(names.map((name) => [name, wholeTensor(values[name])]));
}

/** @param {readonly number[]} values */
function wholeTensor(values) {
  return new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
}

/** @param {readonly Graph[]} graphs */
function checkSegments([, ...segments]) {
  segments.forEach((segment, k) => {
    const last = k === segments.length - 1;
    const got = `${[...segment.inputs].sort()}: ${segment.outputs}`;
    const expected = `${MASK},${HIDDEN}: probabilities${last ? "" : ",hidden_out"}`;
    if (got !== expected) throw new Error(`a segment takes and gives ${got}, not ${expected}`);
  });
}

/**
 * Run the extremes, an empty text and the longest one of the largest id: the first run is the
 * slowest, and wrong graphs are found out.
 *
 * @param {Core} core
 * @param {import("./manifest.js").Manifest} manifest
 */
async function tryOut(core, manifest) {
  const { labels, maxTokens, pairs, vocabulary, width } = manifest;
  const empty = core.tokenise(pairs ? ["", ""] : "");
  const type = pairs ? 1 : Math.max(...empty.types, 0);
  const longest = {
    ids: new Array(maxTokens).fill(vocabulary - 1),
    types: new Array(maxTokens).fill(type),
  };
  for (const encoding of [empty, longest]) {
    const embedded = await core.embed(encoding);
    for (const exit of core.exit0 ? [0, ...core.exits] : core.exits) {
      const said = await core.run(embedded, exit);
      const got = `${embedded.pooled.length} and ${said.length} values`;
      const expected = `${width} and ${labels.length} values`;
      if (got !== expected) throw new Error(`${got}, expected ${expected}`);
      if (!embedded.pooled.every(Number.isFinite) || !said.every(Number.isFinite)) {
        throw new Error("values that are not finite");
      }
    }
  }
}
