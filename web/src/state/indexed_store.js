/**
 * A state in the browser's IndexedDB.
 *
 * Transactions are "relaxed", as sqlite's are in Python: whoever kills the tab or the browser loses
 * nothing that was recorded; when the whole machine dies the last answers may be gone, with all
 * that was learnt from them, and what is left goes together. "strict" would wait for the disk at
 * each answer.
 */

import { DimecError } from "../errors.js";
import { lockOf } from "./lock.js";
import { refused } from "./state.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./store.js").Transaction} Transaction */

const ALL = ["answers", "audits", "rest"];
const REST = "rest"; // the only key of its store

/** @implements {Store} */
export class IndexedStore {
  /** @type {IDBDatabase | null} */
  #database = null;
  /** @type {(() => void) | null} */
  #unlock = null;
  #closed = false;

  /** @param {string} name of the state, which no other state of this origin has */
  constructor(name) {
    this.name = `dimec ${name}`;
    this.place = `the state "${name}" of this site`;
  }

  get open() {
    return this.#database !== null;
  }

  /** Hold it, open it, and read what is not an answer. */
  async load() {
    if (this.#closed) throw refused(this.place, "it is closed");
    try {
      this.#unlock ??= await lockOf(this.name, this.place);
      this.#database = await this.#opened();
      const transaction = this.#database.transaction(ALL);
      const [rest, answers] = await Promise.all([
        resultOf(transaction.objectStore("rest").get(REST)),
        resultOf(transaction.objectStore("answers").count()),
      ]);
      return { rest: rest ?? null, answers };
    } catch (error) {
      throw error instanceof DimecError ? error : refused(this.place, error);
    }
  }

  /** @param {string} id */
  async find(id) {
    if (!this.#database) return null;
    try {
      const store = this.#database.transaction("answers").objectStore("answers");
      return (await resultOf(store.get(id))) ?? null;
    } catch (error) {
      throw refused(this.place, error);
    }
  }

  /**
   * @template T
   * @param {(transaction: Transaction) => Promise<T>} work which waits for nothing but the
   *   transaction: it ends when nothing more is asked of it
   * @returns {Promise<T>}
   */
  async transact(work) {
    /** @type {IDBTransaction | null} */
    let transaction = null;
    try {
      if (!this.#database) throw new Error("it is closed");
      transaction = this.#database.transaction(ALL, "readwrite", { durability: "relaxed" });
      const done = endOf(transaction);
      done.catch(() => undefined); // what work throws comes first
      const result = await work(stepsOf(transaction));
      transaction.commit?.();
      await done;
      return result;
    } catch (error) {
      try {
        transaction?.abort();
      } catch {
        // It has ended already.
      }
      throw error instanceof DimecError ? error : refused(this.place, error);
    }
  }

  async close() {
    this.#closed = true;
    this.#database?.close();
    this.#database = null;
    this.#unlock?.();
    this.#unlock = null;
  }

  /** @returns {Promise<IDBDatabase>} */
  #opened() {
    return new Promise((resolve, reject) => {
      const request = indexedDB.open(this.name, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("answers", { keyPath: "id" });
        request.result.createObjectStore("audits", { keyPath: "row" }).createIndex("id", "id");
        request.result.createObjectStore("rest");
      };
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const database = request.result;
        const gone = () => {
          if (this.#database === database) this.#database = null;
        };
        // Whoever clears the site's data, or removes this, does not wait for us.
        database.onclose = gone;
        database.onversionchange = () => {
          database.close();
          gone();
        };
        resolve(database);
      };
    });
  }
}

/**
 * @param {IDBTransaction} transaction
 * @returns {Transaction}
 */
function stepsOf(transaction) {
  const [answers, audits, rest] = ALL.map((name) => transaction.objectStore(name));
  return {
    has: async (id) => (await resultOf(answers.getKey(id))) !== undefined,
    add: (answer) => void answers.add(answer),
    find: async (id) => (await resultOf(answers.get(id))) ?? null,
    audit: (row) => void audits.put(row),
    audited: async (id) => (await resultOf(audits.index("id").get(id))) ?? null,
    auditsFrom: (from, most) => resultOf(audits.getAll(IDBKeyRange.lowerBound(from), most)),
    put: (all) => void rest.put(all, REST),
  };
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function resultOf(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * @param {IDBTransaction} transaction
 * @returns {Promise<void>}
 */
function endOf(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("it was given up"));
  });
}
