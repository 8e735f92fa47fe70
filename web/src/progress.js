/** How far the files of a bundle have come, told now and then. */

/** @typedef {import("../mobile.js").Progress} Told */

const STEPS = 100; // of all bytes, so that a large bundle does not tell thousands of times

/** Adds up what has come of each file. */
export class Progress {
  #tell;
  /** @type {ReadonlyMap<string, {bytes: number}>} */
  #files;
  /** @type {Map<string, number>} bytes, by file */
  #came = new Map();
  #total;
  #loaded = 0;
  #told = -Infinity;
  #done = 0;

  /**
   * @param {ReadonlyMap<string, {bytes: number}>} files by name
   * @param {(told: Told) => void} tell
   */
  constructor(files, tell) {
    this.#files = files;
    this.#tell = tell;
    this.#total = [...files.values()].reduce((sum, file) => sum + file.bytes, 0);
  }

  /**
   * More of a file has come.
   *
   * @param {string} file
   * @param {number} bytes
   */
  came(file, bytes) {
    this.#came.set(file, (this.#came.get(file) ?? 0) + bytes);
    this.#loaded += bytes;
    if (this.#loaded - this.#told >= this.#total / STEPS) this.#say(file);
  }

  /**
   * A file is there as a whole, however much of it was told before.
   *
   * @param {string} file
   */
  whole(file) {
    this.#loaded += (this.#files.get(file)?.bytes ?? 0) - (this.#came.get(file) ?? 0);
    this.#done += 1;
    this.#say(file);
  }

  /** @param {string} file */
  #say(file) {
    this.#told = this.#loaded;
    this.#tell({
      file,
      loaded: this.#loaded,
      total: this.#total,
      done: this.#done,
      files: this.#files.size,
    });
  }
}
