/**
 * The client of a tier: one deadline for a whole call, retries, a circuit breaker.
 *
 * A call either returns probabilities that were checked in every way, or throws a TierError before
 * its deadline has passed; retries, pauses and answers that drip in are all inside of it.
 *
 * What is tried again, within the deadline and `retries`: no connection, a connection that broke,
 * an overloaded server (not before its `Retry-After`), an answer or a request that was altered or
 * cut off. A kept connection that the server has closed meanwhile is replaced once, at once. What
 * is not: refusals, a wrong version, other errors of the server.
 *
 * Raw tensors are used, of texts too. A server that has never taken any and refuses a request is
 * asked again in JSON, and if it takes that, in JSON from then on. Once a server has shown that it
 * is dimec's (header `Server`) or has sent a `Content-Digest`, answers without one are refused.
 */

import { ConfigError, TierError } from "../errors.js";
import { CircuitBreaker, seconds } from "./breaker.js";
import { DIGEST_HEADER, RECEIVED_HEADER } from "./digests.js";
import { LONGEST_TIMEOUT } from "./endpoint.js";
import { Failure, pauseBefore } from "./errors.js";
import { ask, askReady, checkReceived, judge, wireId } from "./judging.js";
import { ShapedLink } from "./link.js";
import { pause } from "./time.js";
import { send } from "./transport.js";

/** @typedef {import("./encoding.js").Input} Input */
/** @typedef {import("./endpoint.js").Endpoint} Endpoint */
/** @typedef {import("./judging.js").Attempt} Attempt */
/** @typedef {import("./judging.js").Question} Question */
/** @typedef {import("./judging.js").Reply} Reply */

/**
 * What a call took, whether there was an answer or not.
 *
 * @typedef {object} Took
 * @property {number} tries requests that were started
 * @property {number} sentBytes of HTTP, of all attempts that ended in an HTTP answer
 * @property {number} receivedBytes likewise
 */

/** Asks a tier, and waits for the answer. */
export class TierClient {
  #random;
  /** @type {boolean | null} whether the server takes raw tensors; null until that is known */
  #takesBinary = null;
  #sendsDigests = false;
  #confirmsRequests = false;
  #kept = { answered: false };
  #closed = false;

  /**
   * @param {Endpoint} endpoint
   * @param {object} [parts]
   * @param {CircuitBreaker} [parts.breaker] to share; left out, one of its own
   * @param {ShapedLink} [parts.link]
   * @param {() => number} [parts.random] uniform in [0, 1), for the pauses between attempts
   */
  constructor(endpoint, { breaker, link, random = Math.random } = {}) {
    this.endpoint = endpoint;
    this.breaker = breaker ?? new CircuitBreaker();
    this.link = link ?? new ShapedLink(endpoint.tier);
    this.#random = random;
  }

  /**
   * Ask for the probabilities of B rows.
   *
   * @param {Readonly<Record<string, Input>>} inputs of B rows each
   * @param {object} about
   * @param {string} about.id names the request in the logs of both sides
   * @param {string | null} [about.traceparent] W3C trace context; dropped where it is malformed
   * @param {number} [about.timeout] seconds for the whole call; left out, the endpoint's
   * @param {Took} [about.took] is told what it took
   * @returns {Promise<Float32Array>} (B, C), finite; every row sums to 1 within 1e-3
   * @throws {TierError} there is no usable answer; its reason is one of `REASONS`
   */
  async infer(inputs, { id, traceparent = null, timeout, took = nothing() }) {
    this.#checkOpen();
    const { endpoint } = this;
    const permit = this.breaker.acquire();
    if (!permit) {
      const detail = "it failed repeatedly, and is left alone";
      throw new TierError(endpoint.tier, "circuit open", detail, false);
    }
    let handBack = () => this.breaker.abandon(permit);
    const deadline = seconds() + Math.min(timeout ?? endpoint.timeout, LONGEST_TIMEOUT);
    const retries = permit.probe ? 0 : endpoint.retries;
    const course = { deadline, retries, took, sent: false };
    try {
      const [{ shape }] = Object.values(inputs);
      const question = { endpoint, inputs, id: await wireId(id), traceparent, rows: shape[0] };
      const said = await this.#attempts(question, course);
      handBack = () => this.breaker.succeed(permit);
      return said;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error.counts) handBack = () => this.breaker.fail(permit);
      throw new TierError(endpoint.tier, error.reason, error.detail, course.sent);
    } finally {
      handBack();
    }
  }

  /** Whether the tier says that it is ready to answer with this version. */
  async ready() {
    this.#checkOpen();
    try {
      return (await send(askReady(this.endpoint), this.link, this.#kept)).status === 200;
    } catch (error) {
      if (error instanceof Failure) return false;
      throw error;
    }
  }

  /** Nothing more is asked; what is under way comes to its end. */
  close() {
    this.#closed = true;
  }

  #checkOpen() {
    if (this.#closed) {
      throw new ConfigError(`the client of the ${this.endpoint.tier} was closed; make a new one`);
    }
  }

  /**
   * Attempt until there is an answer.
   *
   * @param {Question} question
   * @param {{deadline: number, retries: number, took: Took, sent: boolean}} course is told whether
   *   bytes of the input may have left
   * @returns {Promise<Float32Array>}
   * @throws {Failure} there will be none
   */
  async #attempts(question, course) {
    const { deadline, took } = course;
    const options = { binary: this.#takesBinary !== false, replaced: false };
    /** @type {Failure | null} */
    let failure = null;
    for (;;) {
      const left = deadline - seconds();
      if (!(left > 0)) {
        throw failure ?? new Failure("timeout", "no time is left", { sent: false, counts: false });
      }
      took.tries += 1;
      try {
        const attempt = await ask(question, left, options.binary);
        const reply = await send(attempt, this.link, this.#kept);
        course.sent = true;
        took.sentBytes += reply.sent;
        took.receivedBytes += reply.received;
        return await this.#checked(question, attempt, reply, options.binary);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        failure = error;
        course.sent ||= error.sent;
        await pause(1e3 * this.#pauseAfter(error, course, options));
      }
    }
  }

  /**
   * Seconds until the next attempt; throws the failure where there is to be none.
   *
   * @param {Failure} failure
   * @param {{deadline: number, retries: number, took: Took}} course
   * @param {{binary: boolean, replaced: boolean}} options of the next attempt
   */
  #pauseAfter(failure, course, options) {
    if (failure.stale && !options.replaced) {
      options.replaced = true;
      return 0;
    }
    if (options.binary && failure.notUnderstood && this.#takesBinary === null) {
      options.binary = false;
      return 0;
    }
    if (!failure.retry || course.retries <= 0) throw failure;
    course.retries -= 1;
    const wait = pauseBefore(course.took.tries, failure, this.#random());
    if (seconds() + wait >= course.deadline) throw failure;
    return wait;
  }

  /**
   * Judge a reply, and learn from it what the server can do.
   *
   * @param {Question} question
   * @param {Attempt} attempt
   * @param {Reply} reply
   * @param {boolean} binary
   */
  async #checked(question, attempt, reply, binary) {
    if (reply.headers.get("Server")?.startsWith("dimec/")) {
      this.#sendsDigests = this.#takesBinary = true;
    }
    checkReceived(attempt, reply, this.#confirmsRequests);
    const said = await judge(question, reply, this.#sendsDigests);
    this.#sendsDigests ||= Boolean(reply.headers.get(DIGEST_HEADER));
    this.#confirmsRequests ||= Boolean(reply.headers.get(RECEIVED_HEADER));
    this.#takesBinary ??= binary;
    return said;
  }
}

/** @returns {Took} */
export function nothing() {
  return { tries: 0, sentBytes: 0, receivedBytes: 0 };
}
