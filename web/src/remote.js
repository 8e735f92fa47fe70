/** A mobile that runs in a worker of its own, with the same methods. */

import { Channel } from "./channel.js";
import { ConfigError, DimecError } from "./errors.js";
import { leavable } from "./leaving.js";
import { urlOf } from "./loader.js";

/** @typedef {import("../worker.js").RemoteMobile} RemoteMobile */
/** @typedef {import("../worker.js").RemoteOptions} RemoteOptions */

export {
  ArtefactError,
  ConfigError,
  CorruptArtefactError,
  DataError,
  DimecError,
  MismatchError,
  MissingArtefactError,
  StateBusyError,
  StorageError,
  TierError,
} from "./errors.js";

/**
 * Open a bundle in a worker.
 *
 * @param {string | URL} place address of the bundle
 * @param {RemoteOptions} [options] plain values only: a worker takes no functions
 * @returns {Promise<RemoteMobile>}
 */
export async function openInWorker(place, options = {}) {
  if (typeof Worker !== "function") {
    throw new ConfigError("there are no workers here; open the mobile with Mobile.open");
  }
  const { onProgress, ...plain } = options;
  const address = urlOf(String(place)).href;
  // In one expression, as bundlers look for it.
  const worker = new Worker(new URL("./worker.js", import.meta.url), {
    type: "module",
    name: "dimec",
  });
  /** @type {Map<number, Inputs>} */
  const inputs = new Map();
  const channel = new Channel(worker, {
    input: (stream) => inputs.get(stream)?.next() ?? { done: true, value: undefined },
    progress(told) {
      try {
        onProgress?.(told);
      } catch (error) {
        channel.fail(/** @type {Error} */ (error)); // as it would end the opening without a worker
      }
    },
  });
  worker.addEventListener("error", (event) => {
    event.preventDefault(); // every call that waits says it
    const told = event.message || "its modules could not be loaded";
    channel.fail(new DimecError(`the mobile's worker failed: ${told}; load the page again`));
    worker.terminate(); // the state that it holds is free again
  });
  try {
    await watch(channel);
    const told = await channel.call("open", address, plain, Boolean(onProgress));
    return remote(worker, channel, inputs, told);
  } catch (error) {
    worker.terminate();
    throw error;
  }
}

/**
 * Have every call fail once the worker has ended, killed for its memory, say. Nothing tells a page;
 * but a lock that the worker holds for all its life is free then.
 *
 * @param {Channel} channel
 */
async function watch(channel) {
  const locks = globalThis.navigator?.locks;
  if (!locks) return; // outside a secure context, where no bundle is opened anyway
  const life = `dimec worker ${crypto.randomUUID()}`;
  await channel.call("live", life);
  const ended = "the mobile's worker has ended, maybe for want of memory; load the page again";
  void locks.request(life, () => channel.fail(new DimecError(ended)));
}

/** The inputs of a stream, which the worker asks for one by one. */
class Inputs {
  #iterator;
  #asked = false;
  #left = () => {};
  /** @type {Promise<IteratorResult<unknown>>} */
  #end = new Promise((resolve) => {
    this.#left = () => resolve({ done: true, value: undefined });
  });

  /** @param {Iterable<unknown> | AsyncIterable<unknown>} texts */
  constructor(texts) {
    /** @type {AsyncIterator<unknown> | Iterator<unknown>} */
    this.#iterator =
      Symbol.asyncIterator in texts ? texts[Symbol.asyncIterator]() : texts[Symbol.iterator]();
  }

  /** The next one; at once the end where the stream is left meanwhile. */
  async next() {
    this.#asked = true;
    const { done = false, value } = await Promise.race([this.#iterator.next(), this.#end]);
    this.#asked = false;
    return done ? { done, value: undefined } : { done, value };
  }

  /** Leave them. */
  async close() {
    const asked = this.#asked;
    this.#left();
    const ended = Promise.resolve(this.#iterator.return?.());
    // Who is asked for the next input ends when it has that, which may be never.
    if (asked) ended.catch(() => undefined);
    else await ended;
  }
}

/**
 * What was told of the mobile, and its methods, which all give promises.
 *
 * @param {Worker} worker
 * @param {Channel} channel
 * @param {Map<number, Inputs>} inputs of each stream
 * @param {Record<string, unknown>} told
 * @returns {RemoteMobile}
 */
function remote(worker, channel, inputs, told) {
  let streams = 0;
  const end = (/** @type {number} */ stream) => channel.call("end", stream).catch(() => undefined);
  /** @param {number} stream @param {Iterable<unknown>} texts @param {unknown} options */
  async function* run(stream, texts, options) {
    const own = new Inputs(texts);
    inputs.set(stream, own);
    try {
      await channel.call("many", stream, options);
      for (;;) {
        const { done, value } = await channel.call("next", stream);
        if (done) return;
        yield value;
      }
    } finally {
      await end(stream);
      inputs.delete(stream);
      await own.close();
    }
  }
  /** @param {Iterable<unknown>} texts @param {unknown} options */
  function predictMany(texts, options) {
    const stream = ++streams;
    return leavable(run(stream, texts, options), () => void end(stream));
  }
  async function close() {
    try {
      await channel.call("method", "close", []);
    } finally {
      worker.terminate();
      channel.fail(new ConfigError("this mobile is closed; open it again"));
    }
  }
  const own = { ...told, predictMany, close };
  return /** @type {any} */ (
    new Proxy(own, {
      get(target, name) {
        if (name in target) return Reflect.get(target, name);
        // So that a promise may hold it, and symbols mean what they do everywhere.
        if (typeof name !== "string" || name === "then") return undefined;
        return (/** @type {unknown[]} */ ...values) => channel.call("method", name, values);
      },
    })
  );
}
