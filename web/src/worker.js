/** A mobile in a module worker: the page stays free while layers run. See remote.js. */

import { Channel } from "./channel.js";
import { Mobile } from "./mobile.js";

/** What a mobile tells of itself at once. */
const TOLD = /** @type {const} */ (["policy", "adaptive", "tiers", "labels", "pairs"]);

/** @type {any} the methods of a mobile are called by name */
let mobile = null;
/** @type {Map<number, AsyncIterator<unknown>>} */
const streams = new Map();

const channel = new Channel(/** @type {any} */ (globalThis), {
  /**
   * Hold a lock until this worker ends; answers once it is held. See remote.js.
   *
   * @param {string} life
   */
  live: (life) =>
    new Promise((held, failed) => {
      const request = navigator.locks.request(life, () => {
        held(undefined);
        return new Promise(() => undefined);
      });
      request.catch(failed);
    }),
  /**
   * @param {string} place
   * @param {import("../mobile.js").Options} options
   * @param {boolean} watched whether the page wants to know how far it is
   */
  async open(place, options, watched) {
    const onProgress = (/** @type {unknown} */ told) => void channel.call("progress", told);
    mobile = await Mobile.open(place, watched ? { ...options, onProgress } : options);
    return Object.fromEntries(TOLD.map((name) => [name, mobile[name]]));
  },
  /**
   * @param {string} name
   * @param {unknown[]} values
   */
  method: (name, values) => mobile[name](...values),
  /**
   * @param {number} stream
   * @param {unknown} options
   */
  many(stream, options) {
    streams.set(stream, mobile.predictMany(inputsOf(stream), options)[Symbol.asyncIterator]());
  },
  /** @param {number} stream which may have been left meanwhile */
  next: (stream) => streams.get(stream)?.next() ?? { done: true, value: undefined },
  /** @param {number} stream */
  async end(stream) {
    const iterator = streams.get(stream);
    streams.delete(stream);
    await iterator?.return?.();
  },
});

/**
 * The inputs of a stream, each fetched from the page when it is wanted.
 *
 * @param {number} stream
 */
async function* inputsOf(stream) {
  for (;;) {
    const { done, value } = await channel.call("input", stream);
    if (done) return;
    yield value;
  }
}
