/** A mobile that runs in a worker of its own, with the same methods. */

import { Channel } from "./channel.js";
import { ConfigError, DimecError } from "./errors.js";

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
  // In one expression, as bundlers look for it.
  const worker = new Worker(new URL("./worker.js", import.meta.url), {
    type: "module",
    name: "dimec",
  });
  /** @type {Map<number, AsyncIterator<unknown> | Iterator<unknown>>} */
  const inputs = new Map();
  const channel = new Channel(worker, { input: (stream) => nextOf(inputs.get(stream)) });
  worker.addEventListener("error", (event) => {
    event.preventDefault(); // every call that waits says it
    const told = event.message || "its modules could not be loaded";
    channel.fail(new DimecError(`the mobile's worker failed: ${told}; load the page again`));
    worker.terminate(); // the state that it holds is free again
  });
  try {
    await watch(channel);
    const absolute = new URL(place, globalThis.location?.href).href;
    const told = await channel.call("open", absolute, options);
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

/** @param {AsyncIterator<unknown> | Iterator<unknown> | undefined} iterator */
async function nextOf(iterator) {
  const { done = false, value } = (await iterator?.next()) ?? { done: true, value: undefined };
  return done ? { done, value: undefined } : { done, value };
}

/**
 * What was told of the mobile, and its methods, which all give promises.
 *
 * @param {Worker} worker
 * @param {Channel} channel
 * @param {Map<number, AsyncIterator<unknown> | Iterator<unknown>>} inputs of each stream
 * @param {Record<string, unknown>} told
 * @returns {RemoteMobile}
 */
function remote(worker, channel, inputs, told) {
  let streams = 0;
  /** @param {Iterable<unknown> | AsyncIterable<unknown>} texts @param {unknown} options */
  async function* predictMany(texts, options) {
    const stream = ++streams;
    inputs.set(
      stream,
      Symbol.asyncIterator in texts ? texts[Symbol.asyncIterator]() : texts[Symbol.iterator](),
    );
    try {
      await channel.call("many", stream, options);
      for (;;) {
        const { done, value } = await channel.call("next", stream);
        if (done) return;
        yield value;
      }
    } finally {
      await channel.call("end", stream).catch(() => undefined);
      await inputs.get(stream)?.return?.();
      inputs.delete(stream);
    }
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
