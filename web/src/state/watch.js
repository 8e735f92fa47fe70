/**
 * What an audit knows after the rows so far.
 *
 * Each audited answer is a row. Rows are numbered in the order in which chance picked their texts,
 * and the monitors see them in that order.
 */

import { InOrder } from "../contract/in_order.js";
import { Monitor } from "../contract/monitor.js";
import { DataError, shown } from "../errors.js";
import { countAudit } from "./sums.js";

/** @typedef {import("../contract/watched.js").Watched} Watched */
/** @typedef {import("./store.js").AuditRow} AuditRow */
/** @typedef {import("./store.js").Transaction} Transaction */

const BLOCK = 64; // rows read at once

/** The numbers drawn while a state is open; those of another session count no more. */
export class Session {
  #next;
  /** @type {Set<number>} */
  #gone = new Set();

  /** @param {number} due number of the first row */
  constructor(due) {
    this.#next = due;
  }

  /** The number of the next row. */
  draw() {
    return this.#next++;
  }

  /**
   * Say that a row will never be settled, so that those behind it need not wait.
   *
   * @param {number} row
   */
  giveUp(row) {
    this.#gone.add(row);
  }

  /**
   * The rows from `due` on that were given up, in order.
   *
   * @param {number} due
   */
  gone(due) {
    this.#gone = new Set([...this.#gone].filter((row) => row >= due));
    return [...this.#gone].sort((a, b) => a - b);
  }
}

/** A text that was picked, and what the last tier says of it. */
export class Audited {
  /** @type {string | null} the last tier's label; null where it gave no answer */
  reference = null;
  /** Whether it has spoken, or failed. */
  settled = false;
  /** λ of asking it. */
  cost = 0;

  /**
   * @param {Session} session
   * @param {number} tier position of the last, which is asked
   */
  constructor(session, tier) {
    this.session = session;
    this.row = session.draw();
    this.tier = tier;
  }

  /**
   * @param {string | null} reference the last tier's label, or null where it gave none
   * @param {number} cost of asking it
   */
  settle(reference, cost) {
    this.reference = reference;
    this.cost = cost;
    this.settled = true;
  }

  /** Its text gets no answer. */
  giveUp() {
    this.session.giveUp(this.row);
  }
}

export class Watch {
  /**
   * @param {Monitor} differences of the share of different answers
   * @param {Monitor | null} drops of the drop in accuracy; null where no contract is of one
   * @param {InOrder} line settled rows that wait for earlier ones
   * @param {{dropsDue: number, safeSince: number | null, session: Session}} told the first row that
   *   `drops` has not seen; answers that were recorded when the alarm was raised
   */
  constructor(differences, drops, line, { dropsDue, safeSince, session }) {
    this.differences = differences;
    this.drops = drops;
    this.line = line;
    this.dropsDue = dropsDue;
    this.safeSince = safeSince;
    this.session = session;
  }

  /**
   * A new one.
   *
   * @param {Watched} watched
   * @param {number} due number of the first row, behind all that are stored
   */
  static begin({ different, drop, alpha }, due) {
    const drops = drop === null ? null : new Monitor(drop, alpha, -1);
    const told = { dropsDue: due, safeSince: null, session: new Session(due) };
    return new Watch(new Monitor(different, alpha, 0), drops, new InOrder(due), told);
  }

  /**
   * What was stored. Rows that an earlier session had not settled when it ended never will be:
   * those that waited for them are taken in by the next row.
   *
   * @param {any} stored
   * @throws {Error} it was altered
   */
  static of(stored) {
    const line = InOrder.of(stored.line);
    const { dropsDue, safeSince } = stored;
    const sound =
      Number.isSafeInteger(dropsDue) &&
      dropsDue >= 1 &&
      dropsDue <= line.due &&
      (safeSince === null || (Number.isSafeInteger(safeSince) && safeSince >= 0));
    if (!sound) throw new Error("what its audit knows contradicts itself");
    const due = Math.max(line.due - 1, ...line.waiting.keys()) + 1;
    const session = new Session(due);
    for (let row = line.due; row < due; row += 1) if (!line.has(row)) session.giveUp(row);
    return new Watch(
      Monitor.of(stored.differences),
      stored.drops === null ? null : Monitor.of(stored.drops),
      line,
      { dropsDue, safeSince, session },
    );
  }

  /** What {@link Watch.of} takes. */
  stored() {
    const { differences, drops, line, dropsDue, safeSince } = this;
    return JSON.parse(JSON.stringify({ differences, drops, line, dropsDue, safeSince }));
  }

  /** The bounds that it holds answers to. @returns {Watched} */
  get watched() {
    const { bound: different, alpha } = this.differences;
    return { different, drop: this.drops && this.drops.bound, alpha };
  }

  /** The audited row at which a monitor raised the alarm; null for no alarm. */
  get alarm() {
    const alarms = [this.differences, this.drops].flatMap((one) => (one?.alarm ? [one.alarm] : []));
    return alarms.length ? Math.min(...alarms) : null;
  }

  /** Another one that knows the same, and goes on with the same session. */
  copy() {
    const { dropsDue, safeSince, session } = this;
    return new Watch(this.differences.copy(), this.drops?.copy() ?? null, this.line.copy(), {
      dropsDue,
      safeSince,
      session,
    });
  }

  /**
   * Take in audited answers, whose rows are written.
   *
   * @param {Transaction} transaction
   * @param {readonly {id: string, label: string, audited: Audited}[]} answers
   * @param {import("./sums.js").Sums} sums are changed
   */
  async enter(transaction, answers, sums) {
    for (const { id, label, audited } of answers) {
      if (audited.session !== this.session) continue; // drawn before the audit was begun anew
      const { row, reference, cost } = audited;
      const different = reference === null ? null : Number(reference !== label);
      const found = { row, id, reference, different, lost: different === 0 ? 0 : null, cost };
      transaction.audit(found);
      countAudit(sums, found);
      this.#settle(row, different);
    }
    for (const row of this.session.gone(this.line.due)) {
      if (!this.line.has(row)) this.#settle(row, null);
    }
    await this.#end(transaction, sums);
  }

  /**
   * Take in the true label of an audited text; its D: -1, 0 or 1.
   *
   * @param {Transaction} transaction
   * @param {string} id
   * @param {string} label
   * @param {import("./sums.js").Sums} sums
   * @throws {DataError} the text was not audited, the last tier gave no answer, or another label
   *   was given before
   */
  async label(transaction, id, label, sums) {
    const found = await transaction.audited(id);
    const answer = found && (await transaction.find(id));
    if (!found || !answer || found.reference === null) {
      const what = found ? "has no answer of the last tier" : "was not audited";
      throw new DataError(`the text ${shown(id)} ${what}, so no label of it is needed`);
    }
    const lost = Number(found.reference === label) - Number(answer.label === label);
    if (found.lost === null) {
      transaction.audit({ ...found, lost });
      await this.#end(transaction, sums);
    } else if (found.lost !== lost) {
      throw new DataError(`the text ${shown(id)} was given another label before`);
    }
    return lost;
  }

  /**
   * @param {number} row
   * @param {number | null} different
   */
  #settle(row, different) {
    this.differences.extend(this.line.settle(row, different));
  }

  /**
   * See the drops that are due, and note an alarm.
   *
   * @param {Transaction} transaction
   * @param {import("./sums.js").Sums} sums
   */
  async #end(transaction, sums) {
    if (this.drops) await this.#seeDrops(transaction, this.drops);
    if (this.alarm !== null && this.safeSince === null) this.safeSince = sums.answers;
  }

  /**
   * Rows up to the first that differs and has no label yet, or is not settled.
   *
   * @param {Transaction} transaction
   * @param {Monitor} drops
   */
  async #seeDrops(transaction, drops) {
    for (let more = true; more;) {
      const rows = await transaction.auditsFrom(this.dropsDue, BLOCK);
      more = rows.length === BLOCK;
      for (const { row, different, lost } of rows) {
        if (row >= this.line.due || (different !== null && lost === null)) {
          this.dropsDue = Math.min(row, this.line.due);
          return;
        }
        if (lost !== null) drops.update(lost);
        this.dropsDue = row + 1;
      }
    }
    this.dropsDue = this.line.due;
  }
}
