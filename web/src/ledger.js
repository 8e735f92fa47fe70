/** The answers of a state, added up. */

import { priceOf } from "./tiers.js";

/** @typedef {import("../mobile.js").Ledger} Ledger */

/** @param {Record<string, number>} values */
function total(values) {
  return Object.values(values).reduce((sum, one) => sum + one, 0);
}

/**
 * All recorded answers.
 *
 * @param {import("./state/state.js").State} state holds them
 * @param {readonly import("./tiers.js").Tier[]} tiers
 * @param {number} waiting answers that wait for room in the store
 * @param {number} lost answers that were given and never will be recorded
 * @returns {Ledger}
 */
export function ledgerOf(state, tiers, waiting, lost) {
  const { audits, ...sums } = state.sums();
  const { watch } = state;
  const cost = total(sums.costs);
  const mean = sums.answers ? cost / sums.answers : null;
  const price = priceOf(tiers[tiers.length - 1]);
  return {
    ...sums,
    cost,
    meanCost: mean,
    reduction: mean !== null && price ? 1 - mean / price : null,
    meanMilliseconds: sums.answers ? total(sums.milliseconds) / sums.answers : null,
    waiting,
    lost,
    audited: audits.audited,
    different: audits.different,
    auditsFailed: audits.failed,
    auditCost: audits.cost,
    alarm: watch?.alarm ?? null,
    safeSince: watch?.safeSince ?? null,
  };
}
