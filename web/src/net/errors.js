/** What goes wrong between this device and a tier, before it is a TierError. */

import { DimecError } from "../errors.js";

/** A request or an answer is not what the Open Inference Protocol says. */
export class ProtocolError extends DimecError {}

/** Why a tier gave no answer, in a TierError. */
export const REASONS = Object.freeze([
  "not configured", // the mobile was given no address of it
  "unreachable", // no connection: name, refusal, reset, TLS, an origin that it does not answer
  "timeout", // no answer within the deadline, its own or the server's
  "overloaded", // it says that it has too much to do: 429, 503
  "refused", // it does not take this request: no access, malformed, too large, moved
  "server error", // it failed: any other 5xx
  "broken answer", // what came is not an answer to what was asked, or was altered on its way
  "wrong version", // it has another version of the model than the bundle
  "circuit open", // it failed so often that it is left alone for a while
]);

/**
 * Reasons that speak against the tier, or against this device's way to it, whatever the input:
 * they count for the circuit breaker. A request that is refused for what it holds does not.
 */
export const COUNTED = Object.freeze([
  "unreachable",
  "timeout",
  "overloaded",
  "server error",
  "broken answer",
  "wrong version",
]);

// Reasons for which another attempt may do better. Inference changes nothing on a server, so that
// asking twice is safe even where the first request arrived.
const RETRIED = ["unreachable", "overloaded", "broken answer"];

const FIRST_PAUSE = 0.05; // seconds
const LONGEST_PAUSE = 1;
const LONGEST_DETAIL = 300; // characters

/** An attempt that gave no usable answer. */
export class Failure extends Error {
  /**
   * @param {string} reason one of {@link REASONS}
   * @param {string} detail what happened
   * @param {object} [more]
   * @param {boolean} [more.sent] whether bytes of the input may have left the device
   * @param {boolean} [more.counts] whether it speaks against the tier
   * @param {boolean} [more.retry] whether another attempt may do better
   * @param {number | null} [more.after] seconds that the server asks to be left alone
   * @param {boolean} [more.stale] a kept connection turned out to be closed: not the tier's fault
   * @param {boolean} [more.notUnderstood] it may be raw tensors that the server did not take
   */
  constructor(reason, detail, more = {}) {
    super(`${reason}: ${detail}`);
    this.reason = reason;
    this.detail = plain(detail);
    this.sent = more.sent ?? true;
    this.counts = more.counts ?? COUNTED.includes(reason);
    this.retry = more.retry ?? RETRIED.includes(reason);
    this.after = more.after ?? null;
    this.stale = more.stale ?? false;
    this.notUnderstood = more.notUnderstood ?? false;
  }
}

/**
 * A stranger's text on one line, without what could move a cursor, and cut.
 *
 * @param {string} text
 */
export function plain(text) {
  const line = text.trim().split(/\s+/).join(" ").replace(/\p{C}/gu, "\ufffd");
  return line.length > LONGEST_DETAIL ? `${line.slice(0, LONGEST_DETAIL - 3)}...` : line;
}

/**
 * Seconds to wait before another attempt.
 *
 * Doubles with every attempt and is spread, so that devices that failed together do not come back
 * together; never shorter than the server asks for.
 *
 * @param {number} attempts how many were made
 * @param {Pick<Failure, "after">} failure the last one's
 * @param {number} chance uniform in [0, 1)
 */
export function pauseBefore(attempts, { after }, chance) {
  const backoff = Math.min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE) * (0.5 + chance / 2);
  return (after ?? 0) + backoff;
}
