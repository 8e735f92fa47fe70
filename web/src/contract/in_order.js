/**
 * Audited rows in the order of the audit, however late what is known of them comes.
 *
 * A monitor that took rows as they are settled would see those that agree first. So a row waits
 * until all before it are settled.
 */
export class InOrder {
  /**
   * @param {number} [due] number of the first row that is not settled; rows count from 1
   * @param {Map<number, number | null>} [waiting] number → value of each settled row behind it;
   *   null for one that was given up
   */
  constructor(due = 1, waiting = new Map()) {
    this.due = due;
    this.waiting = waiting;
  }

  /**
   * Whether a row has been settled already.
   *
   * @param {number} row
   */
  has(row) {
    return row < this.due || this.waiting.has(row);
  }

  /**
   * Say what a row's value is; get the values that are due by this, in order.
   *
   * @param {number} row
   * @param {number | null} value null for one that was given up, which is left out
   * @returns {number[]} none while a row before waits
   */
  settle(row, value) {
    if (this.has(row)) throw new Error(`row ${row} of the audit has been settled`);
    this.waiting.set(row, value);
    const values = [];
    for (let next = this.waiting.get(this.due); next !== undefined;) {
      if (next !== null) values.push(next);
      this.waiting.delete(this.due);
      this.due += 1;
      next = this.waiting.get(this.due);
    }
    return values;
  }

  /** Another one that knows the same. */
  copy() {
    return new InOrder(this.due, new Map(this.waiting));
  }

  toJSON() {
    return { due: this.due, waiting: [...this.waiting].sort(([a], [b]) => a - b) };
  }

  /**
   * What was written as JSON.
   *
   * @param {any} stored
   * @throws {Error} its rows contradict each other
   */
  static of({ due, waiting: pairs }) {
    /** @type {Map<number, number | null>} */
    const waiting = new Map(pairs);
    const whole = Number.isInteger(due) && due >= 1;
    const behind = [...waiting.keys()].every((row) => Number.isInteger(row) && row > due);
    const known = [...waiting.values()].every((value) => [-1, 0, 1, null].includes(value));
    if (!whole || !behind || !known) throw new Error("rows of the audit contradict each other");
    return new InOrder(due, waiting);
  }
}
