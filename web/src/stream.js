/**
 * A stream of inputs, answered in order of arrival.
 *
 * The policy decides, and learns by deciding, strictly in that order; one that learns from answers
 * does so as they are recorded, in that order too, while later inputs are under way. Inputs are taken
 * while the caller waits for an answer, as room appears, however long the stream. An answer is
 * recorded as soon as all before it are: before it is given, and without waiting for a caller who
 * may be slow.
 */

import { ConfigError, DataError, shown } from "./errors.js";

/** @typedef {import("../mobile.js").Input} Input */
/** @typedef {import("../mobile.js").Prediction} Prediction */
/** @typedef {import("./engine.js").Engine} Engine */
/** @typedef {import("./item.js").Item} Item */

export const AHEAD = 16; // inputs under way for each worker

/**
 * An input of the stream: it is over once it is finished or has failed.
 *
 * @typedef {object} Entry
 * @property {Item} item
 * @property {boolean} over
 * @property {{error: unknown} | null} failure what it failed with
 */

/** @typedef {AsyncIterator<Input> | Iterator<Input>} Source */

/** Answers one stream. Leaving the loop early is safe: what was not recorded is forgotten. */
export class Stream {
  #engine;
  #workers;
  #gate;
  #stopped = false;
  #left = false;
  /** @type {Entry[]} in order of arrival, those that are not being recorded yet */
  #window = [];
  /** @type {Prediction[]} recorded, and to be given */
  #ready = [];
  #recording = 0; // how many
  /** @type {{error: unknown} | null} what ended it, behind the answers that are ready */
  #crash = null;
  /** @type {Item | null} one whose id another is answering */
  #pending = null;
  #bell = new Bell();

  /**
   * @param {Engine} engine
   * @param {number} workers inputs that are led on at once
   */
  constructor(engine, workers) {
    this.#engine = engine;
    this.#workers = workers;
    this.#gate = new Gate(workers);
  }

  /**
   * The predictions, in order.
   *
   * @param {Iterable<Input> | AsyncIterable<Input>} inputs
   * @returns {AsyncGenerator<Prediction, void, undefined>}
   * @throws {ConfigError} no such number of workers
   */
  async *run(inputs) {
    const workers = this.#workers;
    if (!(Number.isSafeInteger(workers) && workers >= 1)) {
      throw new ConfigError(`expected at least 1 worker, got ${shown(workers, 40)}`);
    }
    const arrivals = new Arrivals(sourceOf(inputs), () => this.#bell.ring());
    try {
      while (!this.#left) {
        const { heard } = this.#bell; // of all that happens from now on
        const answer = this.#ready.shift();
        if (answer) {
          yield answer;
          continue;
        }
        this.#check();
        if (!this.#busy && !arrivals.open && !this.#pending) break;
        if (!(await this.#advanced(arrivals))) await heard;
      }
      if (!this.#left) arrivals.check();
    } finally {
      await this.close();
      await arrivals.close();
    }
  }

  /** Have `run` end at its next step, whatever it waits for. */
  leave() {
    this.#left = true;
    this.#bell.ring();
  }

  /** Forget what has no answer, and end. Calling it again does nothing. */
  async close() {
    this.#stopped = true;
    this.#bell.ring();
    await this.#forget();
    while (this.#recording) await this.#bell.heard;
  }

  /** Inputs that have begun and are not recorded. */
  get #busy() {
    return this.#window.length + this.#recording;
  }

  #check() {
    if (this.#crash) throw this.#crash.error;
    if (this.#stopped) throw new ConfigError("the mobile was closed while a stream was running");
  }

  /**
   * Take an input that has come, or begin one; false where there is nothing to do but wait.
   *
   * @param {Arrivals} arrivals
   */
  async #advanced(arrivals) {
    try {
      if (this.#pending) {
        const held = this.#engine.claim(this.#pending);
        if (held) void held.then(() => this.#bell.ring());
        else await this.#begin(this.#pending);
        return !held;
      }
      if (this.#busy >= AHEAD * this.#workers) return false;
      const arrival = arrivals.taken();
      if (arrival) this.#admit(arrival.input);
      return arrival !== null;
    } catch (error) {
      arrivals.fail(error);
      return true;
    }
  }

  /** @param {Input} input */
  #admit(input) {
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
    const entry = { item, over: item.finished, failure: null };
    this.#window.push(entry);
    if (entry.over) void this.#record();
    else void this.#lead(entry);
  }

  /** @param {Entry} entry */
  async #lead(entry) {
    try {
      await this.#gate.pass(() => this.#engine.lead(entry.item));
    } catch (error) {
      entry.failure = { error };
    }
    entry.over = true;
    await this.#record();
  }

  /**
   * Record those at the head that are over, up to one that has failed; unless that is being done,
   * which takes these too. Never rejects.
   */
  async #record() {
    while (!this.#recording && this.#window[0]?.over) {
      const [{ failure }] = this.#window;
      const end = this.#window.findIndex((entry) => !entry.over || entry.failure);
      const head = failure ? [] : this.#window.splice(0, end < 0 ? this.#window.length : end);
      this.#recording = head.length || 1;
      try {
        if (failure) throw failure.error;
        this.#ready.push(...(await this.#engine.record(head.map(({ item }) => item))));
      } catch (error) {
        this.#crash ??= { error };
        // At once, and not when the caller comes back: others may wait for the same inputs.
        await this.#forget().catch(() => undefined);
      } finally {
        this.#recording = 0;
        this.#bell.ring();
      }
    }
  }

  /** Forget what has no answer. */
  async #forget() {
    const left = this.#window.splice(0).map(({ item }) => item);
    this.#pending = null; // it has claimed nothing
    await this.#engine.drop(left);
  }
}

/** The inputs of a stream as they come, one asked for at a time. */
class Arrivals {
  #source;
  #ring;
  #asked = false;
  /** @type {{input: Input} | null} */
  #here = null;
  /** @type {{error: unknown} | null} its place is behind the answers so far */
  #failure = null;
  /** Whether more may come. */
  open = true;

  /**
   * @param {Source} source
   * @param {() => void} ring says that there is news
   */
  constructor(source, ring) {
    this.#source = source;
    this.#ring = ring;
  }

  /** The input that has come; null where none has, and then one is asked for. */
  taken() {
    const here = this.#here;
    if (here) [this.#here, this.#asked] = [null, false];
    else if (this.open && !this.#asked) void this.#ask();
    return here;
  }

  async #ask() {
    this.#asked = true;
    try {
      const { done = false, value } = await this.#source.next();
      if (done) this.open = false;
      else this.#here = { input: value };
    } catch (error) {
      this.fail(error);
    }
    this.#ring();
  }

  /** @param {unknown} error behind which nothing more is taken */
  fail(error) {
    this.#failure ??= { error };
    this.open = false;
  }

  /** Throw what it failed with. */
  check() {
    if (this.#failure) throw this.#failure.error;
  }

  /** Leave the source. */
  async close() {
    if (!this.open) return;
    this.open = false;
    const ended = Promise.resolve(this.#source.return?.());
    // A source that is asked for its next input ends when it has that, which may be never.
    if (this.#asked) ended.catch(() => undefined);
    else await ended;
  }
}

/** Rings for all who wait for news now. */
class Bell {
  #ring = () => {};
  /** @type {Promise<void>} */
  heard = Promise.resolve();

  constructor() {
    this.#renew();
  }

  ring() {
    this.#ring();
    this.#renew();
  }

  #renew() {
    this.heard = new Promise((resolve) => (this.#ring = () => resolve()));
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
 * @returns {Source}
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
