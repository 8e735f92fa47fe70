/**
 * A stream of inputs, answered in order of arrival.
 *
 * The policy decides, and learns by deciding, strictly in that order; one that learns from answers
 * does so as they are recorded, in that order too, while later inputs are under way. An answer is
 * recorded before it is given. Inputs are taken as room appears, however long the stream.
 */

import { ConfigError, DataError, shown } from "./errors.js";

/** @typedef {import("../mobile.js").Input} Input */
/** @typedef {import("../mobile.js").Prediction} Prediction */
/** @typedef {import("./engine.js").Engine} Engine */
/** @typedef {import("./item.js").Item} Item */

export const AHEAD = 16; // inputs under way for each worker

/**
 * An input of the stream: it is done once it is finished or has failed.
 *
 * @typedef {object} Entry
 * @property {Item} item
 * @property {Promise<void>} done never rejects
 * @property {boolean} over
 * @property {unknown} failure what it failed with; undefined for nothing
 */

/** Answers one stream. Leaving the loop early is safe: what was not recorded is forgotten. */
export class Stream {
  #engine;
  #limit;
  #gate;
  #stopped = false;
  /** @type {Entry[]} in order of arrival */
  #window = [];
  /** @type {Item | null} one whose id another is answering */
  #pending = null;
  /** @type {Promise<void>} */
  #stop;
  #stopNow = () => {};

  /**
   * @param {Engine} engine
   * @param {number} workers inputs that are led on at once
   * @throws {ConfigError} no such number
   */
  constructor(engine, workers) {
    if (!(Number.isSafeInteger(workers) && workers >= 1)) {
      throw new ConfigError(`expected at least 1 worker, got ${shown(workers, 40)}`);
    }
    this.#engine = engine;
    this.#limit = AHEAD * workers;
    this.#gate = new Gate(workers);
    this.#stop = new Promise((resolve) => (this.#stopNow = () => resolve()));
  }

  /**
   * The predictions, in order.
   *
   * @param {Iterable<Input> | AsyncIterable<Input>} inputs
   * @returns {AsyncGenerator<Prediction, void, undefined>}
   */
  async *run(inputs) {
    const source = sourceOf(inputs);
    /** @type {Promise<void> | null} */
    let arriving = null;
    let open = true;
    /** @type {{error: unknown} | null} its place is behind the answers so far */
    let failure = null;
    /** @type {IteratorResult<Input> | null} */
    let arrival = null;
    const fail = (/** @type {unknown} */ error) => {
      failure = { error };
      open = false;
    };
    try {
      while (true) {
        this.#check();
        if (this.#window[0]?.over) {
          yield* await this.#recorded();
          continue;
        }
        if (arrival) {
          const { done = false, value } = arrival;
          arrival = arriving = null;
          if (done) open = false;
          else await this.#admit(value).catch(fail);
          continue;
        }
        const waits = [this.#stop];
        if (this.#pending) {
          const held = this.#engine.claim(this.#pending);
          if (!held) {
            await this.#begin(this.#pending).catch(fail);
            continue;
          }
          waits.push(held);
        } else if (open && this.#window.length < this.#limit) {
          arriving ??= Promise.resolve(source.next()).then((next) => void (arrival = next), fail);
          waits.push(arriving);
        }
        if (this.#window.length) waits.push(this.#window[0].done);
        else if (!open && !this.#pending) break;
        await Promise.race(waits);
      }
      if (failure) throw /** @type {{error: unknown}} */ (failure).error;
    } finally {
      await this.close();
      if (open) {
        const ended = Promise.resolve(source.return?.());
        // A source that is asked for its next input ends when it has that, which may be never.
        if (arriving) ended.catch(() => undefined);
        else await ended;
      }
    }
  }

  /** Forget what has no answer, and end. Calling it again does nothing. */
  async close() {
    this.#stopped = true;
    this.#stopNow();
    const left = this.#window.splice(0).map(({ item }) => item);
    this.#pending = null; // it has claimed nothing
    await this.#engine.drop(left);
  }

  #check() {
    if (this.#stopped) throw new ConfigError("the mobile was closed while a stream was running");
  }

  /** @param {Input} input */
  async #admit(input) {
    const { text, id } = partsOf(input);
    this.#pending = this.#engine.admit(text, id);
  }

  /** @param {Item} item which is claimed */
  async #begin(item) {
    this.#pending = null;
    try {
      await this.#engine.begin(item);
    } catch (error) {
      await this.#engine.drop([item]);
      throw error;
    }
    /** @type {Entry} */
    const entry = { item, done: Promise.resolve(), over: item.finished, failure: undefined };
    if (!entry.over) entry.done = this.#lead(entry);
    this.#window.push(entry);
  }

  /** @param {Entry} entry */
  async #lead(entry) {
    try {
      await this.#gate.pass(() => this.#engine.lead(entry.item));
    } catch (error) {
      entry.failure = error ?? new Error("it failed");
    } finally {
      entry.over = true;
    }
  }

  /** Record those at the head that are done, up to one that has failed. */
  async #recorded() {
    const [{ failure }] = this.#window;
    if (failure) throw failure;
    const end = this.#window.findIndex((entry) => !entry.over || entry.failure);
    const head = this.#window.splice(0, end < 0 ? this.#window.length : end);
    return this.#engine.record(head.map(({ item }) => item));
  }
}

/** So many at once, in the order of asking. */
class Gate {
  #free;
  /** @type {(() => void)[]} */
  #queue = [];

  /** @param {number} places */
  constructor(places) {
    this.#free = places;
  }

  /** @param {() => Promise<void>} work */
  async pass(work) {
    if (this.#free) this.#free -= 1;
    else await new Promise((resolve) => this.#queue.push(() => resolve(null)));
    try {
      await work();
    } finally {
      const next = this.#queue.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}

/**
 * @param {Iterable<Input> | AsyncIterable<Input>} inputs
 * @returns {AsyncIterator<Input> | Iterator<Input>}
 */
function sourceOf(inputs) {
  if (typeof inputs === "string") {
    throw new DataError("expected several texts, got one; use predict for it");
  }
  if (typeof inputs === "object" && inputs) {
    if (Symbol.asyncIterator in inputs) return inputs[Symbol.asyncIterator]();
    if (Symbol.iterator in inputs) return inputs[Symbol.iterator]();
  }
  throw new DataError(`expected several texts, got ${shown(inputs ?? null, 40)}`);
}

/**
 * A text, and its id where it has one.
 *
 * @param {Input} input
 * @returns {{text: import("./tokens.js").Text, id?: string}}
 */
function partsOf(input) {
  if (typeof input === "object" && input && "text" in input) return input;
  return { text: input };
}
