/** Which rows of exit 0's tables a text looks up. */

const FIRST = 0x9e3779b97f4a7c15n;
const SECOND = 0xc2b2ae3d27d4eb4fn; // the factors of two neighbours
export const BINS = 21;

/**
 * The row of two neighbouring tokens in a table of 2^bits rows: multiply-shift hashing.
 *
 * @param {number} a
 * @param {number} b
 * @param {number} bits 1 … 64
 * @returns {number}
 */
export function bigramRow(a, b, bits) {
  const sum = BigInt.asUintN(64, BigInt(a) * FIRST + BigInt(b) * SECOND);
  return Number(sum >> BigInt(64 - bits));
}

/**
 * The rows of tokens in the first text of a pair only, in the second only, and in both.
 *
 * @param {readonly number[]} ids
 * @param {readonly number[]} rows each token's row; 0 where it has none, and is left out
 * @param {number} separator the id that ends the first text
 * @returns {[Set<number>, Set<number>, Set<number>]}
 */
export function sidesOf(ids, rows, separator) {
  const at = ids.indexOf(separator);
  const end = at < 0 ? ids.length : at;
  const first = new Set(rows.slice(0, end).filter(Boolean));
  const second = new Set(rows.slice(end).filter(Boolean));
  const both = new Set([...first].filter((row) => second.has(row)));
  for (const row of both) {
    first.delete(row);
    second.delete(row);
  }
  return [first, second, both];
}

/**
 * The bins of the share that common tokens have of all, of the first text's, of the second's.
 *
 * @param {number} first tokens in the first text only
 * @param {number} second in the second only
 * @param {number} both in both
 * @returns {[number, number, number]}
 */
export function shareBins(first, second, both) {
  const common = (BINS - 1) * both;
  /** @param {number} size */
  const bin = (size) => Math.floor(common / Math.max(1, size));
  return [bin(first + second + both), bin(first + both), bin(second + both)];
}

/**
 * n^power, for the powers 0, 1/2 and 1.
 *
 * @param {number} power
 * @param {number} n
 */
export function nTo(power, n) {
  return power === 0.5 ? Math.sqrt(n) : n ** power;
}
