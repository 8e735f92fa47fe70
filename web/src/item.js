/** An input on its way, from its text to its answer. */

import { DataError, shown } from "./errors.js";
import { Context } from "./net/reach.js";

/** @typedef {import("./core.js").Embedded} Embedded */
/** @typedef {import("./course.js").Course} Course */
/** @typedef {import("./decisions.js").Decision} Decision */
/** @typedef {import("../mobile.js").Prediction} Prediction */
/** @typedef {import("./tokens.js").Text} Text */

const LONGEST_ID = 200;
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;

export class Item {
  /** @type {Embedded | null} */
  embedded = null;
  /** @type {Decision | null} where it goes, once it was decided on */
  decision = null;
  /** @type {Course | null} likewise */
  course = null;
  /** @type {Prediction | null} the answer, once there is one */
  prediction = null;
  /** Whether the answer was recorded before. */
  known = false;
  /** Whether its id is claimed for it. */
  claimed = false;
  /** Whether it is to have no answer. */
  dropped = false;
  /** Milliseconds. */
  parts = noParts();

  /**
   * @param {Text} text
   * @param {string | undefined} id as given; by default a new one
   */
  constructor(text, id) {
    this.text = text;
    this.started = performance.now();
    /** Whether the caller chose the id, so that it may have an answer already. */
    this.given = id !== undefined;
    this.context = new Context(id);
    this.id = this.context.id;
  }

  /** Its part in the audit; null where it has none. */
  get audited() {
    return this.decision?.audited ?? null;
  }

  /** Whether it has its answer, and the audit its own. */
  get finished() {
    return this.prediction !== null && (this.audited?.settled ?? true);
  }

  /** Its course, once it was decided on. */
  get way() {
    return /** @type {Course} */ (this.course);
  }

  /**
   * Do a part of the work, and note how long it takes.
   *
   * @template T
   * @param {keyof Prediction["parts"]} part
   * @param {() => T | Promise<T>} work
   * @returns {Promise<T>}
   */
  async timed(part, work) {
    const started = performance.now();
    try {
      return await work();
    } finally {
      this.parts[part] += performance.now() - started;
    }
  }
}

/**
 * No time yet.
 *
 * @returns {Prediction["parts"]} milliseconds
 */
export function noParts() {
  return { tokenise: 0, embed: 0, decide: 0, layers: 0, tiers: 0, record: 0 };
}

/**
 * @param {unknown} id as a caller gave it
 * @throws {DataError} it is none
 */
export function checkId(id) {
  if (id === undefined) return;
  if (typeof id === "string" && id && [...id].length <= LONGEST_ID && !UNPRINTABLE.test(id)) return;
  throw new DataError(
    `an id must be 1 to ${LONGEST_ID} printable characters, got ${shown(id ?? null, 60)}`,
  );
}
