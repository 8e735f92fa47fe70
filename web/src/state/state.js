/** What a mobile knows beyond its bundle: answers by id, their sums, what was learnt, the audit. */

import {
  CorruptArtefactError,
  DataError,
  DimecError,
  MismatchError,
  problemOf,
  StorageError,
} from "../errors.js";
import { checkSumOf } from "./check_sum.js";
import { checkSums, count, noSums } from "./sums.js";
import { Watch } from "./watch.js";

/** @typedef {import("../contract/watched.js").Watched} Watched */
/** @typedef {import("../learnt.js").Learnt} Learnt */
/** @typedef {import("../../mobile.js").Prediction} Prediction */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./store.js").Transaction} Transaction */
/** @typedef {Omit<Prediction, "policy" | "contract" | "recorded" | "calls" | "steps" | "parts">}
 *   StoredAnswer */

const KIND = "dimec mobile state";
const FORMAT = 2;

/**
 * An answer to be recorded; what the policy is to learn from it, null for nothing; and what the
 * last tier says of the text, where it was picked for the audit.
 *
 * @typedef {object} Entry
 * @property {Prediction} prediction
 * @property {import("../decisions.js").Decision | null} lesson
 * @property {import("./watch.js").Audited | null} audited
 */

/**
 * Whatever a state knows, in its store and in memory. It has one writer, so memory says it too.
 *
 * One write at a time: the caller sees to it.
 */
export class State {
  #store;
  #identity;
  #tiers;
  #check;
  #watched;
  #sums;
  #due = 1;

  /**
   * For {@link openState}.
   *
   * @param {Store} store
   * @param {string} identity of the bundle
   * @param {readonly string[]} tiers names
   * @param {((learnt: Learnt) => void) | null} check takes up what was learnt; throws a DataError
   *   where it is not the policy's. Null where nobody does
   * @param {Watched | null} watched what an audit that is to begin watches
   */
  constructor(store, identity, tiers, check, watched) {
    this.#store = store;
    this.#identity = identity;
    this.#tiers = tiers;
    this.#check = check;
    this.#watched = watched;
    this.#sums = noSums(tiers);
    /** @type {Learnt | null} null before the first lesson */
    this.learnt = null;
    /** @type {Watch | null} null where nothing is audited */
    this.watch = null;
    /** How often the store was opened; it may go away, and come back with something else. */
    this.opened = 0;
  }

  /** Where it lies, for messages. */
  get place() {
    return this.#store.place;
  }

  /** A copy of the sums. */
  sums() {
    return structuredClone(this.#sums);
  }

  /**
   * Open the store, and take up what is there.
   *
   * @throws {MismatchError} it is of another bundle
   * @throws {CorruptArtefactError} it is damaged
   * @throws {StorageError} it cannot be read
   */
  async open() {
    const { rest, answers } = await this.#store.load();
    if (rest === null && !answers) {
      this.#sums = noSums(this.#tiers);
      [this.learnt, this.watch, this.#due] = [null, null, 1];
    } else {
      this.#take(rest, answers);
    }
    if (!this.watch && this.#watched) this.watch = Watch.begin(this.#watched, this.#due);
    this.opened += 1;
  }

  /**
   * @param {any} rest
   * @param {number} answers
   */
  #take(rest, answers) {
    try {
      if (rest?.kind !== KIND || rest.format !== FORMAT) throw new Error("its format is another");
      if (rest.identity !== this.#identity) {
        throw new MismatchError(
          `${this.place} is the state of another bundle (another model or policy); name another ` +
            "state for this one",
        );
      }
      if (checkSumOf(rest) !== rest.checkSum) {
        throw new Error("its check sum differs: what was learnt or counted was altered");
      }
      checkSums(rest.sums, this.#tiers, answers);
      if (rest.sums.learnt && !rest.learnt) throw new Error("what was learnt is missing");
      const watch = rest.watch && Watch.of(rest.watch);
      if (rest.learnt) this.#check?.(rest.learnt);
      this.#due = rest.due;
      this.#sums = rest.sums;
      this.learnt = rest.learnt;
      this.watch = watch;
    } catch (error) {
      if (error instanceof MismatchError) throw error;
      const problem = error instanceof DimecError ? error.message : problemOf(error);
      throw new CorruptArtefactError(
        `${this.place} is no state that this version can go on from (${problem}); it was left as ` +
          "it is: clear the site's data to start anew, or name another state",
      );
    }
  }

  /**
   * The recorded answer of an input, if there is one.
   *
   * @param {string} id
   * @returns {Promise<StoredAnswer | null>}
   * @throws {StorageError} nobody can say
   */
  async find(id) {
    // A browser closes a database where its data are cleared, and also where it has trouble of its
    // own, with all answers still there: an input that has one must not get another.
    if (!this.#store.open) await this.open();
    return this.#store.find(id);
  }

  /**
   * Record answers, and what was learnt from them, all or none. An answer whose id is recorded
   * already changes nothing.
   *
   * @param {readonly Entry[]} entries in their order
   * @param {(known: Learnt | null, lessons: readonly Entry[]) => Learnt} learn what follows from
   *   what was known and the lessons of new answers
   * @throws {StorageError} the store refuses; all is as it was
   */
  async write(entries, learn) {
    await this.#change(async (transaction, after) => {
      /** @type {Entry[]} */
      const fresh = [];
      const ids = new Set();
      for (const entry of entries) {
        const { id } = entry.prediction;
        if (ids.has(id) || (await transaction.has(id))) entry.audited?.giveUp();
        else fresh.push(entry);
        ids.add(id);
      }
      for (const { prediction, lesson } of fresh) {
        transaction.add(storedAnswer(prediction));
        count(after.sums, prediction, lesson !== null);
      }
      const lessons = fresh.filter((entry) => entry.lesson);
      if (lessons.length) after.learnt = learn(this.learnt, lessons);
      const rows = fresh.flatMap(({ prediction: { id, label }, audited }) => {
        return audited ? [{ id, label, audited }] : [];
      });
      if (after.watch && rows.length) await after.watch.enter(transaction, rows, after.sums);
      after.due = Math.max(after.due, ...rows.map(({ audited }) => audited.row + 1));
    });
  }

  /**
   * Take in the true label of an audited text; its D: -1, 0 or 1.
   *
   * @param {string} id
   * @param {string} label
   * @returns {Promise<number>}
   */
  async label(id, label) {
    return this.#change(async (transaction, after) => {
      if (!after.watch) {
        throw new DataError(`${this.place} has no audit, so no label is needed`);
      }
      return after.watch.label(transaction, id, label, after.sums);
    });
  }

  /** Begin the audit anew, and go back from the safe policy. */
  async beginAudit() {
    await this.#change(async (_, after) => {
      const watched = this.#watched ?? after.watch?.watched ?? null;
      after.watch = watched && Watch.begin(watched, after.due);
    });
  }

  /**
   * Change the store and then memory, or neither.
   *
   * @template T
   * @param {(transaction: Transaction, after: {sums: import("./sums.js").Sums,
   *   learnt: Learnt | null, watch: Watch | null, due: number}) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #change(work) {
    if (!this.#store.open) await this.open();
    const after = {
      sums: this.sums(),
      learnt: this.learnt,
      watch: this.watch?.copy() ?? null,
      due: this.#due,
    };
    const result = await this.#store.transact(async (transaction) => {
      const done = await work(transaction, after);
      const { sums, learnt, watch, due } = after;
      const about = { kind: KIND, format: FORMAT, identity: this.#identity };
      const rest = { ...about, sums, learnt, watch: watch && watch.stored(), due };
      transaction.put({ ...rest, checkSum: checkSumOf(rest) });
      return done;
    });
    this.#sums = after.sums;
    this.learnt = after.learnt;
    this.watch = after.watch;
    this.#due = after.due;
    return result;
  }

  /** Let go of the store. Calling it again does nothing. */
  async close() {
    await this.#store.close();
  }
}

/**
 * An answer as it is stored: what Python's mobile stores, and so nothing that a server wrote, which
 * might quote the text. How it came about is told once, with the answer.
 *
 * @param {Prediction} prediction
 * @returns {StoredAnswer}
 */
function storedAnswer({ policy, contract, recorded, calls, steps, parts, ...answer }) {
  return answer;
}

/**
 * What a caller did not foresee while it wrote, or a store's refusal.
 *
 * @param {string} place
 * @param {unknown} error
 * @returns {StorageError}
 */
export function refused(place, error) {
  return new StorageError(
    `cannot write ${place} (${problemOf(error)}); free some space, or open the mobile with ` +
      'state: ":memory:", which keeps none',
  );
}
