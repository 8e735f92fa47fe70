/** What a policy promises; the statistics behind it are Python's. */

import { CorruptArtefactError, problemOf } from "../errors.js";

/**
 * What a policy was accepted for; exactly one of the first three is set.
 *
 * @typedef {object} Promised
 * @property {number | null} maxAccuracyDrop against the last tier alone, in points of accuracy
 * @property {number | null} maxDisagreement share of answers that differ from it, in points
 * @property {number | null} maxCost mean cost of an answer, in λ
 * @property {number} confidence with which it is promised, in (0, 1)
 * @property {number} differentBound of the share of different answers, by the calibration
 */

/**
 * The promise of a policy; null for one that was fitted without a contract.
 *
 * @param {Record<string, any>} fittedOn
 * @returns {Promised | null}
 * @throws {CorruptArtefactError} it cannot be read
 */
export function promiseIn({ contract }) {
  if (contract === null || contract === undefined) return null;
  try {
    const terms = ["max_accuracy_drop", "max_disagreement", "max_cost"].map((term) => {
      return contract[term] ?? null;
    });
    const set = terms.filter((term) => term !== null);
    if (set.length !== 1) throw new Error("it promises more than one thing, or nothing");
    const { confidence, calibration } = contract;
    const numbers = [...set, confidence, calibration.different_bound];
    if (!numbers.every(Number.isFinite) || !(confidence > 0 && confidence < 1)) {
      throw new Error("its numbers are none");
    }
    const [maxAccuracyDrop, maxDisagreement, maxCost] = terms;
    const differentBound = calibration.different_bound;
    return { maxAccuracyDrop, maxDisagreement, maxCost, confidence, differentBound };
  } catch (error) {
    throw new CorruptArtefactError(
      `the stored contract cannot be read (${problemOf(error)}); fit the policy again with: ` +
        "dimec fit",
    );
  }
}

/**
 * "drop at most 0.5 points at 95 % confidence"; null where nothing is promised.
 *
 * @param {Promised | null} promise
 * @returns {string | null}
 */
export function toldPromise(promise) {
  if (!promise) return null;
  const { maxAccuracyDrop, maxDisagreement, maxCost, confidence } = promise;
  // To so many digits, so that 0.95 does not come out as 95.00000000000001.
  const sure = `at ${Number((100 * confidence).toPrecision(6))} % confidence`;
  if (maxAccuracyDrop !== null) return `drop at most ${maxAccuracyDrop} points ${sure}`;
  if (maxDisagreement !== null) return `at most ${maxDisagreement} % of answers differ, ${sure}`;
  return `mean cost at most ${maxCost} lambda ${sure}`;
}
