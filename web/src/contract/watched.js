/** What an audit holds later answers to: the bounds that are watched, and how surely. */

import { ConfigError } from "../errors.js";

const CONFIDENCE = 0.95; // where no contract says another

/**
 * @typedef {object} Watched
 * @property {number} different bound of the share of answers that differ from the last tier's
 * @property {number | null} drop bound of the drop in accuracy, a share; null where no contract is
 *   of one
 * @property {number} alpha the probability of any false alarm, ever, of each of the two; where both
 *   are watched, each has half of what the contract leaves
 */

/**
 * What is to be watched. A contract of a drop, or of a cost, says nothing of the share of different
 * answers; its calibration does, by an upper bound at the same confidence.
 *
 * @param {import("./promise.js").Promised | null} promise
 * @param {number | null} points the share that is allowed, in points, in place of the contract's
 * @returns {Watched}
 * @throws {ConfigError} no bound, or one that no audit could find exceeded
 */
export function watchedOf(promise, points) {
  if (points !== null && !(points > 0 && points < 100)) {
    throw new ConfigError(`auditBound must be over 0 and under 100 points, got ${points}`);
  }
  const different = points === null ? allowedBy(promise) : points / 100;
  if (!(different > 0 && different < 1)) {
    throw new ConfigError(
      `the contract allows ${100 * different} % of answers to differ, so there is nothing to find ` +
        "out; state a share with auditBound",
    );
  }
  const alpha = 1 - (promise?.confidence ?? CONFIDENCE);
  const drop = promise?.maxAccuracyDrop ?? null;
  if (drop === null || !(drop > 0 && drop < 100)) return { different, drop: null, alpha };
  return { different, drop: drop / 100, alpha: alpha / 2 };
}

/** @param {import("./promise.js").Promised | null} promise */
function allowedBy(promise) {
  if (!promise) {
    throw new ConfigError(
      "this policy was fitted without a contract; state what share of different answers is " +
        "allowed with auditBound, or fit one with: dimec fit --max-accuracy-drop",
    );
  }
  const { maxDisagreement, differentBound } = promise;
  return maxDisagreement === null ? differentBound : maxDisagreement / 100;
}
