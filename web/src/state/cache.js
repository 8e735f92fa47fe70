/**
 * Files of bundles in the origin's private file system, so that a second start fetches none.
 *
 * A file lies under its hash in a folder of its bundle's address. What is read is hashed again by
 * whoever asked; a damaged or half-written one counts as none. Nothing here is an error: a browser
 * that has no room, or no such file system, fetches every time. Two tabs write the same content.
 */

import { sha256 } from "../hashing.js";

const ROOT = "dimec";

/**
 * A file that is open to be written in its place, which the types of a page do not know.
 *
 * @typedef {object} SyncAccess
 * @property {(size: number) => void | Promise<void>} truncate
 * @property {(content: Uint8Array, options: {at: number}) => number} write bytes that were written
 * @property {() => void | Promise<void>} flush
 * @property {() => void | Promise<void>} close
 */

/** What has been fetched before, by hash. */
export class FileCache {
  #folder;

  /** @param {FileSystemDirectoryHandle} folder of one bundle */
  constructor(folder) {
    this.#folder = folder;
  }

  /**
   * The file of a hash, whole and unaltered; null where there is none.
   *
   * @param {string} hash
   * @param {number} bytes its size
   * @returns {Promise<Uint8Array<ArrayBuffer> | null>}
   */
  async read(hash, bytes) {
    try {
      const handle = await this.#folder.getFileHandle(hash);
      const file = await handle.getFile();
      if (file.size !== bytes) return null;
      const content = new Uint8Array(await file.arrayBuffer());
      return (await sha256(content)) === hash ? content : null;
    } catch {
      return null;
    }
  }

  /**
   * Keep a file, if there is room.
   *
   * @param {string} hash
   * @param {Uint8Array<ArrayBuffer>} content
   */
  async write(hash, content) {
    try {
      const handle = await this.#folder.getFileHandle(hash, { create: true });
      if (typeof handle.createWritable === "function") await writeWhole(handle, content);
      else await this.#writeInPlace(handle, content);
    } catch {
      // No room, or another tab has it open.
    }
  }

  /**
   * For Safari before 26, whose files can be written in a worker only, and in their place: what is
   * half written is removed, and what a crash leaves half written has another hash.
   *
   * @param {FileSystemFileHandle} handle
   * @param {Uint8Array<ArrayBuffer>} content
   */
  async #writeInPlace(handle, content) {
    /** @type {SyncAccess | null} */
    let access = null;
    let whole = false;
    try {
      access = await /** @type {any} */ (handle).createSyncAccessHandle();
      // Each of these was a promise once.
      await access?.truncate(0);
      whole = access?.write(content, { at: 0 }) === content.length;
      await access?.flush();
    } finally {
      await access?.close();
      if (!whole) await this.#folder.removeEntry(handle.name);
    }
  }

  /**
   * Remove whatever the bundle has no more.
   *
   * @param {ReadonlySet<string>} hashes of its files
   */
  async keep(hashes) {
    try {
      const names = [];
      for await (const name of this.#folder.keys()) if (!hashes.has(name)) names.push(name);
      await Promise.all(names.map((name) => this.#folder.removeEntry(name)));
    } catch {
      // Another tab is at it, or has it open.
    }
  }
}

/**
 * Write a file that takes its place as a whole when it is closed.
 *
 * @param {FileSystemFileHandle} handle
 * @param {Uint8Array<ArrayBuffer>} content
 */
async function writeWhole(handle, content) {
  const stream = await handle.createWritable();
  try {
    await stream.write(content);
    await stream.close();
  } catch (error) {
    await stream.abort().catch(() => undefined);
    throw error;
  }
}

/**
 * The cache of a bundle; null where there is none.
 *
 * @param {string} place the bundle's address
 * @param {boolean} wanted
 * @returns {Promise<FileCache | null>}
 */
export async function cacheOf(place, wanted) {
  const storage = globalThis.navigator?.storage;
  if (!wanted || typeof storage?.getDirectory !== "function") return null;
  try {
    const root = await storage.getDirectory();
    const all = await root.getDirectoryHandle(ROOT, { create: true });
    const name = await sha256(new TextEncoder().encode(place));
    return new FileCache(await all.getDirectoryHandle(name, { create: true }));
  } catch {
    return null;
  }
}
