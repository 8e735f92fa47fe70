/**
 * Which tokens of a long text, or of a pair, are kept: as training cuts them.
 *
 * @typedef {"right" | "left"} Direction which end is cut off
 */

/**
 * How many tokens each text of a pair keeps, the longest first: the longer one is cut down to the
 * shorter one, and what is then still too much is taken off both; of an odd number of places the
 * one more goes to the text that was longer.
 *
 * @param {number} first tokens of the first text
 * @param {number} second tokens of the second
 * @param {number} room for both
 * @returns {[number, number]}
 */
export function pairSizes(first, second, room) {
  if (first + second <= room) return [first, second];
  const shorter = Math.min(first, second);
  const half = Math.floor(room / 2);
  const less = Math.min(shorter, half);
  // Of two that are as long, the second counts as the longer one.
  return first > second ? [room - less, less] : [less, room - less];
}

/**
 * The tokens that are kept.
 *
 * @template T
 * @param {readonly T[]} tokens
 * @param {number} size
 * @param {Direction} direction
 * @returns {T[]}
 */
export function cut(tokens, size, direction) {
  if (tokens.length <= size) return [...tokens];
  return direction === "right" ? tokens.slice(0, size) : tokens.slice(tokens.length - size);
}
