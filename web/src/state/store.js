/**
 * Where a state lies: answers by id, rows of the audit, and one record of all the rest.
 *
 * Whatever is written goes through `transact`, all of it or nothing. Two stores are here, one in
 * memory and one in IndexedDB; another may stand in for them.
 *
 * @typedef {import("../../mobile.js").Store} Store
 * @typedef {import("../../mobile.js").StoreTransaction} Transaction
 * @typedef {import("../../mobile.js").AuditRow} AuditRow
 */

/** A state that is gone when its mobile is.
 * @implements {Store} */
export class MemoryStore {
  place = ":memory:";
  open = false;
  /** @type {Map<string, any>} */
  #answers = new Map();
  /** @type {Map<number, AuditRow>} */
  #audits = new Map();
  /** @type {Map<string, number>} number of the audit's row of an answer */
  #rows = new Map();
  #last = 0; // number of the last row
  #rest = null;

  async load() {
    this.open = true;
    return { rest: this.#rest, answers: this.#answers.size };
  }

  /** @param {string} id */
  async find(id) {
    return this.#answers.get(id) ?? null;
  }

  /**
   * @template T
   * @param {(transaction: Transaction) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async transact(work) {
    const answers = new Map();
    const audits = new Map();
    let rest = this.#rest;
    const rowAt = (/** @type {number} */ row) => audits.get(row) ?? this.#audits.get(row);
    const result = await work({
      has: async (id) => answers.has(id) || this.#answers.has(id),
      add: (answer) => void answers.set(answer.id, answer),
      find: async (id) => answers.get(id) ?? this.find(id),
      audit: (row) => void audits.set(row.row, row),
      audited: async (id) => rowAt(this.#rows.get(id) ?? 0) ?? null,
      auditsFrom: async (from, most) => {
        const found = [];
        const last = Math.max(this.#last, ...audits.keys());
        for (let row = from; row <= last && found.length < most; row += 1) {
          if (rowAt(row)) found.push(rowAt(row));
        }
        return found;
      },
      put: (all) => void (rest = all),
    });
    this.#rest = rest;
    for (const [id, answer] of answers) this.#answers.set(id, answer);
    for (const [number, row] of audits) {
      this.#audits.set(number, row);
      this.#rows.set(row.id, number);
      this.#last = Math.max(this.#last, number);
    }
    return result;
  }

  async close() {
    this.open = false;
  }
}
