/**
 * What an online method has learnt, as arrays by name: nobody but the method looks into them.
 *
 * @typedef {object} LearntArray
 * @property {readonly number[]} shape
 * @property {Float64Array} data counts are numbers too, whole ones up to 2^53
 *
 * @typedef {Readonly<Record<string, LearntArray>>} Learnt
 */

import { DataError } from "./errors.js";

/**
 * Hold arrays against those that they are to take the place of.
 *
 * @param {Learnt} found
 * @param {Learnt} own of the same method
 * @param {readonly string[]} counts names of those that count something
 * @throws {DataError} other names or shapes, or numbers that no such arrays have
 */
export function checkLearnt(found, own, counts) {
  const listed = (/** @type {Learnt} */ arrays) => {
    const parts = Object.entries(arrays).map(([name, { shape }]) => `${name}[${shape}]`);
    return parts.sort().join(", ") || "nothing";
  };
  if (listed(found) !== listed(own)) {
    throw new DataError(`expected what was learnt as ${listed(own)}; got ${listed(found)}`);
  }
  for (const [name, { data }] of Object.entries(found)) {
    if (!(data instanceof Float64Array) || data.length !== own[name].data.length) {
      throw new DataError(`expected ${own[name].data.length} numbers of ${name}, got others`);
    }
    const fits = counts.includes(name)
      ? (/** @type {number} */ one) => Number.isSafeInteger(one) && one >= 0
      : Number.isFinite;
    if (!data.every(fits)) {
      throw new DataError(
        counts.includes(name)
          ? `expected ${name} from 0 to 2^53, got others`
          : `expected ${name} that are finite numbers, got others`,
      );
    }
  }
}
