/** Small mathematics on lists of numbers, in double precision. */

/** @typedef {ArrayLike<number>} Numbers */

/**
 * @param {Numbers} a
 * @param {Numbers} b
 */
export function dot(a, b) {
  let sum = 0;
  for (let k = 0; k < a.length; k += 1) sum += a[k] * b[k];
  return sum;
}

/**
 * The position of the largest; of equals the first.
 *
 * @param {Numbers} values
 */
export function argmax(values) {
  let best = 0;
  for (let k = 1; k < values.length; k += 1) if (values[k] > values[best]) best = k;
  return best;
}

/**
 * 1 / (1 + exp(-z)), of any size of z.
 *
 * @param {number} z
 */
export function sigmoid(z) {
  if (z >= 0) return 1 / (1 + Math.exp(-z));
  const e = Math.exp(z);
  return e / (1 + e);
}

/**
 * @param {number[]} logits
 * @returns {number[]} of sum 1
 */
export function softmax(logits) {
  const top = Math.max(...logits);
  const odds = logits.map((one) => Math.exp(one - top));
  const whole = odds.reduce((sum, one) => sum + one, 0);
  return odds.map((one) => one / whole);
}

/**
 * The nearest whole number; of two as near the even one.
 *
 * @param {number} value
 */
export function roundHalfEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}
