/** The ledger: all recorded answers, added up, and what the audit says. */

import { make, terms } from "./dom.js";
import { milliseconds, percent, short } from "./numbers.js";

/**
 * Terms and what is said of them.
 *
 * @param {any} ledger of the mobile
 * @param {any} monitors of the mobile; null where nothing is audited
 * @param {() => void} begin the audit anew
 */
export function ledgerOf(ledger, monitors, begin) {
  const times = ledger.meanMilliseconds;
  return terms({
    answers: String(ledger.answers),
    "answered by": list(ledger.answered),
    "cost saved": ledger.reduction === null ? "not known yet" : percent(ledger.reduction),
    "mean cost": ledger.meanCost === null ? null : `${short(ledger.meanCost)} λ`,
    "mean time, with waiting": times === null ? null : milliseconds(times),
    fallbacks: list(ledger.fallbacks),
    learnt: ledger.learnt ? String(ledger.learnt) : null,
    audited: monitors
      ? `${ledger.audited}, of which ${ledger.different} differ from the last tier`
      : null,
    alarm: monitors?.told ? alarm(monitors.told, begin) : null,
    "wait for room": ledger.waiting ? String(ledger.waiting) : null,
  });
}

/** @param {string} told @param {() => void} begin */
function alarm(told, begin) {
  const [what] = told.split(" with auditReset"); // what a program would say; here is a button
  const button = make("button", { type: "button", textContent: "Begin the audit anew" });
  button.addEventListener("click", begin);
  return make("span", { data: { state: "bad" } }, `${what} `, button);
}

/** @param {Record<string, number>} counts */
function list(counts) {
  const all = Object.entries(counts).map(([name, count]) => `${name} ${count}`);
  return all.length ? all.join(", ") : "none";
}
