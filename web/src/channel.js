/**
 * Calls over a message port, both ways: what the page and its worker say to each other.
 *
 * Errors of this package arrive as the same classes; what is neither cloned nor one of them arrives
 * as an Error with the same message.
 */

import * as errors from "./errors.js";

/** @typedef {(...values: any[]) => unknown} Handler */
/** @typedef {{resolve: (value: any) => void, reject: (error: Error) => void}} Waiting */

/**
 * The part of a Worker, of a worker's own scope and of a MessagePort that is used.
 *
 * @typedef {object} Port
 * @property {(message: unknown) => void} postMessage
 * @property {(type: "message" | "messageerror", listener: (event: any) => void) => void}
 *   addEventListener
 */

/** One end. */
export class Channel {
  #port;
  #handlers;
  #last = 0;
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  /** @type {Error | null} */
  #broken = null;

  /**
   * @param {Port} port
   * @param {Record<string, Handler>} handlers what the other end may call, by name
   */
  constructor(port, handlers) {
    this.#port = port;
    this.#handlers = handlers;
    port.addEventListener("message", (event) => this.#take(event.data));
    port.addEventListener("messageerror", () => {
      this.fail(new errors.DimecError("a message could not be read; load the page again"));
    });
  }

  /**
   * What the other end's handler of that name gives.
   *
   * @param {string} name
   * @param {...unknown} values
   * @returns {Promise<any>}
   */
  call(name, ...values) {
    if (this.#broken) return Promise.reject(this.#broken);
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      try {
        this.#port.postMessage({ call: id, name, values });
      } catch (error) {
        this.#waiting.delete(id);
        reject(
          new errors.ConfigError(
            `a worker takes plain values only (${errors.problemOf(error)}); open the mobile in ` +
              "the page itself to hand it functions",
          ),
        );
      }
    });
  }

  /**
   * Every call that waits, or comes later, fails with this.
   *
   * @param {Error} error
   */
  fail(error) {
    this.#broken ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#broken);
    this.#waiting.clear();
  }

  /** @param {any} message */
  #take(message) {
    if ("call" in message) {
      void this.#answer(message);
      return;
    }
    const waiting = this.#waiting.get(message.answer);
    this.#waiting.delete(message.answer);
    if ("error" in message) waiting?.reject(errorOf(message.error));
    else waiting?.resolve(message.value);
  }

  /** @param {{call: number, name: string, values: unknown[]}} message */
  async #answer({ call, name, values }) {
    try {
      const value = await this.#handlers[name](...values);
      this.#port.postMessage({ answer: call, value });
    } catch (error) {
      this.#port.postMessage({ answer: call, error: toldError(error) });
    }
  }
}

/** @param {unknown} error */
function toldError(error) {
  if (!(error instanceof Error)) return { name: "Error", message: String(error), fields: {} };
  // Whatever else an error carries is plain; what is not would stop it here.
  const fields = Object.fromEntries(
    Object.entries(error).filter(([key, value]) => key !== "name" && Object(value) !== value),
  );
  return { name: error.name, message: error.message, fields };
}

/** @param {{name: string, message: string, fields: Record<string, unknown>}} told */
function errorOf({ name, message, fields }) {
  const known = /** @type {Record<string, any>} */ (errors);
  const base = Object.hasOwn(known, name) ? known[name] : null;
  const error = new Error(message);
  error.name = name;
  if (base?.prototype instanceof Error) Object.setPrototypeOf(error, base.prototype);
  return Object.assign(error, fields);
}
