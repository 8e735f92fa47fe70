/** What a policy promises, told to a reader; the statistics behind it are Python's. */

/**
 * "drop at most 0.5 points at 95 % confidence"; null where it promises nothing.
 *
 * @param {Record<string, any>} fittedOn
 * @returns {string | null}
 */
export function toldPromise({ contract }) {
  if (!contract) return null;
  const { max_accuracy_drop: drop, max_disagreement: different, max_cost: cost } = contract;
  // To so many digits, so that 0.95 does not come out as 95.00000000000001.
  const sure = `at ${Number((100 * contract.confidence).toPrecision(6))} % confidence`;
  if (drop !== null && drop !== undefined) return `drop at most ${drop} points ${sure}`;
  if (different !== null && different !== undefined) {
    return `at most ${different} % of answers differ, ${sure}`;
  }
  return `mean cost at most ${cost} lambda ${sure}`;
}
