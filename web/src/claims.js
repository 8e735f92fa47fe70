/**
 * Which inputs are being answered right now, by id: each has one caller working on it.
 */
export class Claims {
  /** @type {Map<string, {done: Promise<void>, release: () => void}>} */
  #held = new Map();

  /**
   * Null: the caller has it now. Else another one has it; ask again when that is done.
   *
   * @param {string} id
   * @returns {Promise<void> | null}
   */
  claim(id) {
    const held = this.#held.get(id);
    if (held) return held.done;
    let release = () => {};
    const done = new Promise((/** @type {(value: void) => void} */ resolve) => (release = resolve));
    this.#held.set(id, { done, release });
    return null;
  }

  /**
   * Let go of an id, its answer recorded or not.
   *
   * @param {string} id
   */
  release(id) {
    this.#held.get(id)?.release();
    this.#held.delete(id);
  }
}
