/** The bundle's tokenizer: token ids of a text or of a pair, cut to the model's length. */

import { CorruptArtefactError, DataError, problemOf } from "./errors.js";
import { cut, pairSizes } from "./truncation.js";
import { Tokenizer } from "./vendor.js";

/** @typedef {string | readonly [string, string]} Text a text, or a pair of texts */
/** @typedef {import("./truncation.js").Direction} Direction */

/**
 * @typedef {object} Encoding
 * @property {number[]} ids
 * @property {number[]} types 0 for the first text's tokens, 1 for the second's
 */

const TRIALS = ["", "a moving film, twice: a moving film", "ab ".repeat(2000)];

/** Safe for any text that is well formed; the package itself does not cut. */
export class Encoder {
  #tokenizer;
  #post;
  #limit;
  #oneType;
  /** @type {Direction} */
  #direction;

  /**
   * @param {Record<string, any>} stored the content of tokenizer.json
   * @param {number} limit tokens that the model takes, special ones included
   * @throws {Error} it cannot be loaded, or cuts in a way that training does not
   */
  constructor(stored, limit) {
    const { truncation } = stored;
    const strategy = truncation?.strategy ?? "LongestFirst";
    if (strategy !== "LongestFirst") throw new Error(`it cuts by ${strategy}`);
    this.#direction = truncation?.direction === "Left" ? "left" : "right";
    this.#limit = limit;
    this.#tokenizer = new Tokenizer(stored, {});
    this.#post = this.#tokenizer.post_processor;
    const { type, processors = [] } = stored.post_processor ?? {};
    const steps = [type, ...processors.map((/** @type {any} */ step) => step.type)];
    this.#oneType = steps.includes("RobertaProcessing");
  }

  /**
   * @param {Text} text
   * @returns {Encoding}
   */
  encode(text) {
    const [first, second = null] = typeof text === "string" ? [text] : text;
    let tokens = this.#tokens(first);
    let others = second === null ? null : this.#tokens(second);
    const special = this.#around([], others && []).tokens.length;
    const room = Math.max(0, this.#limit - special);
    if (others) {
      const [size, otherSize] = pairSizes(tokens.length, others.length, room);
      others = cut(others, otherSize, this.#direction);
      tokens = cut(tokens, size, this.#direction);
    } else {
      tokens = cut(tokens, room, this.#direction);
    }
    const whole = this.#around(tokens, others);
    return { ids: whole.tokens.map((token) => this.#idOf(token)), types: whole.types };
  }

  /** @param {string} text */
  #tokens(text) {
    // Without special tokens; the package takes an empty second text for none, so each goes alone.
    return this.#tokenizer.tokenize(text, { add_special_tokens: false });
  }

  /**
   * With the special tokens around them.
   *
   * @param {string[]} tokens
   * @param {string[] | null} others
   */
  #around(tokens, others) {
    const made = this.#post?.post_process(tokens, others, true) ?? {
      tokens,
      tokens_pair: others,
    };
    // What adds no special tokens leaves a pair apart.
    const rest = made.tokens_pair ?? [];
    const types = made.token_type_ids ?? made.tokens.map(() => 0);
    const all = [...types, ...rest.map(() => 1)];
    // RoBERTa knows one type of tokens; the package has two for it.
    return { tokens: [...made.tokens, ...rest], types: this.#oneType ? all.map(() => 0) : all };
  }

  /** @param {string} token */
  #idOf(token) {
    const id = this.#tokenizer.token_to_id(token) ?? this.#tokenizer.model?.unk_token_id;
    if (id === undefined) throw new DataError("the bundle's tokenizer has no id for a token");
    return id;
  }
}

/**
 * The tokenizer of a bundle, tried out.
 *
 * @param {import("./bundle.js").Bundle} bundle
 * @returns {Encoder}
 * @throws {CorruptArtefactError} it cannot be loaded, or fails on a text
 */
export function encoderOf(bundle) {
  const { manifest, place } = bundle;
  const content = bundle.read("tokenizer.json");
  try {
    const stored = JSON.parse(new TextDecoder().decode(content));
    const encoder = new Encoder(stored, manifest.maxTokens);
    for (const text of TRIALS) {
      const { ids } = encoder.encode(manifest.pairs ? [text, text] : text);
      const largest = Math.max(...ids, 0);
      if (ids.length > manifest.maxTokens) throw new Error(`it makes ${ids.length} tokens`);
      if (largest >= manifest.vocabulary) throw new Error(`it has a token with the id ${largest}`);
    }
    return encoder;
  } catch (error) {
    throw new CorruptArtefactError(
      `${place}/tokenizer.json is no tokenizer that can be used here (${problemOf(error)}); make ` +
        "the bundle again with: dimec export",
    );
  }
}

/**
 * A text, or a pair where the task is on pairs, and nothing else.
 *
 * @param {unknown} text
 * @param {boolean} pairs
 * @returns {Text}
 * @throws {DataError} it is not, or holds half a surrogate pair
 */
export function checkedText(text, pairs) {
  const parts = Array.isArray(text) ? text : [text];
  const fits = Array.isArray(text) === pairs && parts.length === (pairs ? 2 : 1);
  if (!fits || !parts.every((part) => typeof part === "string")) {
    const got = Array.isArray(text) ? `[${parts.map((part) => typeof part)}]` : typeof text;
    throw new DataError(`expected ${pairs ? "a pair [text, text]" : "one text"}, got ${got}`);
  }
  if (parts.some((part) => /\p{Surrogate}/u.test(part))) {
    throw new DataError("the text holds half a surrogate pair, which is no character; remove it");
  }
  return /** @type {Text} */ (text);
}
