/**
 * Watching a contract while it runs: an e-process, which may be looked at after every row.
 *
 * A value x of a row has under the contract a mean of at most some bound b. One bets on more: a
 * stake λ multiplies money by 1 + λ (x - b), which has a mean of at most 1 while the contract holds.
 * The money is spread over K stakes, and over the rows at which betting begins,
 *
 *     Sₜ(λ) = (Sₜ₋₁(λ) + wₜ / K) (1 + λ (xₜ - b)),   Eₜ = ∑ Sₜ(λ) + cashₜ,
 *
 * with cashₜ = 1 / (2 + log₂ t), where wₜ is what cash loses at row t. E has a mean of at most 1 at
 * every stopping time, so P(E ever reaches 1/α) ≤ α. `dimec.contract.monitor` has the sources.
 */

import { ConfigError, DataError, shown } from "../errors.js";

export const STAKES = 16;
const MOST = 0.5; // of what may be staked without ruin

/**
 * An e-process of "the mean is at most `bound`", and its alarm, which stays: rows after it are
 * counted, and bet on no more.
 */
export class Monitor {
  /**
   * @param {number} bound b: of the share of different answers in (0, 1), or of the drop
   * @param {number} alpha the probability of any false alarm, ever, in (0, 1)
   * @param {number} low the least value of a row: 0 for different answers, -1 for drops
   */
  constructor(bound, alpha, low) {
    if (!(bound > 0 && bound < 1)) {
      throw new ConfigError(`a monitor's bound is a share over 0 and under 1, got ${bound}`);
    }
    if (!(alpha > 0 && alpha < 1)) {
      throw new ConfigError(`a monitor's alpha must be over 0 and under 1, got ${alpha}`);
    }
    if (low !== 0 && low !== -1) {
      throw new ConfigError(`a monitor's rows begin at 0 or -1, got ${low}`);
    }
    this.bound = bound;
    this.alpha = alpha;
    this.low = low;
    this.rows = 0;
    this.sum = 0;
    /** @type {number[]} (K,) S, the money at each stake */
    this.invested = new Array(STAKES).fill(0);
    /** The row, counted from 1, at which the capital reached 1/α; 0 for none yet. */
    this.alarm = 0;
  }

  /** E: 1 at first; 1/α is the alarm. */
  get capital() {
    const sum = this.invested.reduce((total, money) => total + money, 0);
    return sum + cash(this.alarm || this.rows);
  }

  /**
   * Take in one audited row.
   *
   * @param {number} value 0 or 1, or for drops -1, 0 or 1
   * @throws {DataError} another value
   */
  update(value) {
    if (!(Number.isInteger(value) && value >= this.low && value <= 1)) {
      throw new DataError(`an audited row has a value from ${this.low} to 1, got ${shown(value)}`);
    }
    this.rows += 1;
    this.sum += value;
    if (this.alarm) return;
    const fresh = (cash(this.rows - 1) - cash(this.rows)) / STAKES;
    const stakes = stakesOf(this.bound, this.low);
    this.invested = this.invested.map((money, k) => {
      return (money + fresh) * (1 + stakes[k] * (value - this.bound));
    });
    if (this.capital >= 1 / this.alpha) this.alarm = this.rows;
  }

  /** @param {Iterable<number>} values of rows in their order */
  extend(values) {
    for (const value of values) this.update(value);
  }

  /** Another one that knows the same. */
  copy() {
    return Object.assign(new Monitor(this.bound, this.alpha, this.low), this);
  }

  /** What {@link Monitor.of} takes; the numbers come back to the last bit. */
  toJSON() {
    return { ...this };
  }

  /**
   * The monitor that wrote this.
   *
   * @param {any} stored
   * @throws {Error} its numbers contradict each other
   */
  static of(stored) {
    const { bound, alpha, low, rows, sum, invested, alarm } = stored;
    const monitor = new Monitor(bound, alpha, low);
    const sound =
      Array.isArray(invested) &&
      invested.length === STAKES &&
      invested.every((money) => Number.isFinite(money) && money >= 0) &&
      [rows, sum, alarm].every(Number.isInteger) &&
      alarm >= 0 &&
      alarm <= rows &&
      low * rows <= sum &&
      sum <= rows;
    if (!sound) throw new Error("the numbers of a monitor contradict each other");
    return Object.assign(monitor, { rows, sum, invested, alarm });
  }
}

/**
 * Money not yet bet after that many rows: 1, 1/2, then ever more slowly towards 0.
 *
 * @param {number} rows
 */
function cash(rows) {
  return rows ? 1 / (2 + Math.log2(rows)) : 1;
}

/**
 * (K,) λ in equal ratios, from a quarter of the bound up to half of what ruin allows.
 *
 * @param {number} bound
 * @param {number} low
 */
function stakesOf(bound, low) {
  const first = Math.log(bound / 4);
  const step = (Math.log(MOST) - first) / (STAKES - 1);
  return Array.from({ length: STAKES }, (_, k) => Math.exp(first + k * step) / (bound - low));
}
