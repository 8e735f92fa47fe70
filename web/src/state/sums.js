/** All recorded answers of a state, added up as they are recorded. */

/** @typedef {import("../../mobile.js").Prediction} Prediction */
/** @typedef {Record<string, number>} Counts by a name */

/**
 * @typedef {object} Sums
 * @property {number} answers
 * @property {number} learnt answers that the policy has learnt from
 * @property {number} safe answers whose way the safe policy chose
 * @property {Counts} routes tier → answers that went there first
 * @property {Counts} answered tier → answers that it gave
 * @property {Counts} fallbacks reason → answers
 * @property {Record<string, Counts>} failures tier → reason → how often it was asked in vain
 * @property {Counts} layers tier → layers that ran there
 * @property {Counts} sent tier → inputs that were sent there, and answered by it
 * @property {Counts} costs tier → λ of the answers that it gave
 * @property {Counts} milliseconds tier → wall time of the answers that it gave
 * @property {{audited: number, failed: number, different: number, cost: number}} audits
 */

/**
 * The sums of no answers.
 *
 * @param {readonly string[]} tiers names
 * @returns {Sums}
 */
export function noSums(tiers) {
  const zero = () => Object.fromEntries(tiers.map((tier) => [tier, 0]));
  return {
    answers: 0,
    learnt: 0,
    safe: 0,
    routes: zero(),
    answered: zero(),
    fallbacks: {},
    failures: {},
    layers: zero(),
    sent: zero(),
    costs: zero(),
    milliseconds: zero(),
    audits: { audited: 0, failed: 0, different: 0, cost: 0 },
  };
}

/**
 * Count an answer.
 *
 * @param {Sums} sums are changed
 * @param {Prediction} answer
 * @param {boolean} learnt
 */
export function count(sums, answer, learnt) {
  sums.answers += 1;
  sums.learnt += Number(learnt);
  sums.safe += Number(answer.safe);
  sums.routes[answer.route] += 1;
  sums.answered[answer.answeredBy] += 1;
  sums.costs[answer.answeredBy] += answer.cost;
  sums.milliseconds[answer.answeredBy] += answer.milliseconds;
  for (const { tier, start, stop, payload } of answer.path) {
    sums.layers[tier] += stop - start;
    sums.sent[tier] += Number(payload !== null);
  }
  if (answer.fallbackReason === null) return;
  sums.fallbacks[answer.fallbackReason] = (sums.fallbacks[answer.fallbackReason] ?? 0) + 1;
  for (const failure of answer.fallbackReason.split("; ")) {
    const at = failure.indexOf(": ");
    const own = (sums.failures[failure.slice(0, at)] ??= {});
    const why = failure.slice(at + 2);
    own[why] = (own[why] ?? 0) + 1;
  }
}

/**
 * Count a row of the audit.
 *
 * @param {Sums} sums are changed
 * @param {import("./store.js").AuditRow} row
 */
export function countAudit({ audits }, { different, cost }) {
  if (different === null) audits.failed += 1;
  else audits.audited += 1;
  audits.different += different ?? 0;
  audits.cost += cost;
}

/**
 * Hold sums that were stored against what is stored beside them.
 *
 * @param {any} sums
 * @param {readonly string[]} tiers
 * @param {number} answers how many the store has
 * @throws {Error} they are none, or contradict each other
 */
export function checkSums(sums, tiers, answers) {
  const whole = (/** @type {unknown} */ one) => Number.isSafeInteger(one) && Number(one) >= 0;
  const real = (/** @type {unknown} */ one) => Number.isFinite(one);
  const table = (/** @type {any} */ one, /** @type {(x: unknown) => boolean} */ fits) => {
    return Object.keys(one).join() === tiers.join() && Object.values(one).every(fits);
  };
  const total = (/** @type {Counts} */ one) => Object.values(one).reduce((sum, n) => sum + n, 0);
  const { routes, answered, audits } = sums;
  const fits =
    [sums.answers, sums.learnt, sums.safe].every(whole) &&
    [routes, answered, sums.layers, sums.sent].every((one) => table(one, whole)) &&
    [sums.costs, sums.milliseconds].every((one) => table(one, real)) &&
    [audits.audited, audits.failed, audits.different].every(whole) &&
    real(audits.cost) &&
    Object.values(sums.fallbacks).every(whole) &&
    Object.values(sums.failures).every((one) => Object.values(one).every(whole));
  if (!fits) throw new Error("its sums are none");
  if (sums.answers !== answers) throw new Error(`${answers} answers are left of ${sums.answers}`);
  if (total(routes) !== answers || total(answered) !== answers || sums.learnt > answers) {
    throw new Error("its sums contradict each other");
  }
}
