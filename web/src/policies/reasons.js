/**
 * Why a policy takes a step, in words and numbers.
 *
 * A step carries a function that tells its reason from numbers that the decision has computed
 * anyway and that nobody changes later; it is called for the answer, or never. So a reason costs a
 * decision nothing, and it tells of what the policy knew then, whatever it has learnt since.
 */

/** @typedef {import("../step.js").Reason} Reason */
/** @typedef {() => Reason} Telling */

/**
 * Whether an exit that has spoken answers, and why.
 *
 * @typedef {object} Verdict
 * @property {boolean} answers
 * @property {Telling} telling
 */

/**
 * A number of at least so many digits that count.
 *
 * @param {number} value
 * @param {number} [digits]
 */
export function told(value, digits = 3) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(digits))) : "none";
}

/**
 * Two numbers, with as many digits as tell one from the other.
 *
 * @param {number} a
 * @param {number} b
 * @returns {[string, string]}
 */
export function toldApart(a, b) {
  for (let digits = 3; digits < 17; digits += 1) {
    const both = /** @type {[string, string]} */ ([told(a, digits), told(b, digits)]);
    if (both[0] !== both[1] || a === b) return both;
  }
  return [String(a), String(b)];
}

/**
 * Answer where a value reaches its threshold.
 *
 * @param {string} name of the value
 * @param {number} value
 * @param {number} threshold
 * @param {string} [whose] more of the threshold
 * @returns {Verdict}
 */
export function reaches(name, value, threshold, whose = "") {
  const answers = value >= threshold;
  const telling = () => {
    const [here, there] = toldApart(value, threshold);
    const how = answers ? "reaches" : "is below";
    return {
      why: `${name} ${here} ${how} the threshold ${there}${whose}`,
      values: { [name]: value, threshold },
    };
  };
  return { answers, telling };
}

/**
 * What is told where a rule knows no numbers.
 *
 * @param {string} why
 * @param {Record<string, unknown>} [values]
 * @returns {Telling}
 */
export function plainly(why, values = {}) {
  return () => ({ why, values });
}

/**
 * @template T
 * @param {readonly string[]} names
 * @param {readonly T[]} values as many
 * @returns {Record<string, T>}
 */
export function named(names, values) {
  return Object.fromEntries(names.map((name, k) => [name, values[k]]));
}

/**
 * The step to `chosen`, whose value is the best of several.
 *
 * @param {readonly string[]} names of what could be chosen
 * @param {readonly number[]} values as many
 * @param {number} chosen
 * @param {{of: string, lower?: boolean}} measure what the values are, and whether the lowest is best
 */
export function bestOf(names, values, chosen, { of, lower = false }) {
  const others = values
    .map((_, k) => k)
    .filter((k) => k !== chosen && Number.isFinite(values[k]))
    .sort((a, b) => (lower ? values[a] - values[b] : values[b] - values[a]));
  if (!others.length) return `${names[chosen]} has the only ${of}, ${told(values[chosen])}`;
  const [next] = others;
  const [here, there] = toldApart(values[chosen], values[next]);
  const best = lower ? "lowest" : "highest";
  return `${names[chosen]} has the ${best} ${of}, ${here}; next is ${names[next]}, ${there}`;
}
