/** What a policy sees of the exits that have spoken: features, in the order of their fit. */

import { argmax } from "../numbers.js";

/** @typedef {ArrayLike<number>} Numbers */

const FLOOR = 1e-5; // of a probability
const MOST_CLASSES = 6; // of which each has features of its own

/**
 * F features: the signal's; of each exit seen the log-odds of the largest probability, the entropy,
 * of more than two classes the margin, and of a few classes which one it is, by itself and times
 * the log-odds; whether each exit before agrees with the last; the squares of the log-odds.
 *
 * @param {readonly number[]} signal
 * @param {readonly Numbers[]} looks (C,) probabilities of each exit seen, in order
 * @returns {number[]}
 */
export function featuresOf(signal, looks) {
  const found = [...signal];
  const tops = [];
  const best = [];
  for (const probabilities of looks) {
    const { top, shape } = confidenceOf(probabilities);
    const winner = argmax(probabilities);
    found.push(top, ...shape);
    if (probabilities.length <= MOST_CLASSES) {
      const is = Array.from(probabilities, (_, k) => Number(winner === k)).slice(1);
      found.push(...is, ...is.map((one) => one * top));
    }
    tops.push(top);
    best.push(winner);
  }
  const last = best.at(-1);
  found.push(...best.slice(0, -1).map((winner) => Number(winner === last)));
  found.push(...tops.map((top) => top * top));
  return found;
}

/**
 * Log-odds of the largest probability; entropy and, of more than two classes, the margin.
 *
 * @param {Numbers} probabilities
 */
function confidenceOf(probabilities) {
  const sizes = Array.from(probabilities, (p) => Math.max(p, FLOOR)).sort((a, b) => a - b);
  const first = sizes[sizes.length - 1];
  const top = Math.log(first / Math.max(1 - first, FLOOR));
  const shape = [-sizes.reduce((sum, p) => sum + p * Math.log(p), 0)];
  if (sizes.length > 2) shape.push(Math.log(first / sizes[sizes.length - 2]));
  return { top, shape };
}
