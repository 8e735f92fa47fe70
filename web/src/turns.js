/** One at a time, in the order of asking: the graphs' runtime takes no two runs at once. */
export class Turns {
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();

  /**
   * Call when all that asked before are done.
   *
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  take(work) {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined); // what failed is its own caller's
    return done;
  }
}
