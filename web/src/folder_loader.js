/** A bundle in a folder, for Node; a browser never imports this file. */

import { constants } from "node:fs";
import { open } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { CorruptArtefactError, MissingArtefactError } from "./errors.js";

/** Plain files of one folder; a link, a pipe or a device is not opened. */
export class FolderLoader {
  /** @param {string | URL} folder */
  constructor(folder) {
    this.place = folder instanceof URL ? fileURLToPath(folder) : folder;
  }

  /** @param {string} folder */
  inside(folder) {
    return new FolderLoader(path.join(this.place, folder));
  }

  /**
   * @param {string} name
   * @param {number} most
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   */
  async read(name, most) {
    const file = path.join(this.place, name);
    let handle;
    try {
      // A link may lead elsewhere; to open a pipe is to wait for whoever writes to it.
      handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const found = await handle.stat();
      if (!found.isFile()) throw notPlain(file);
      if (found.size > most) {
        throw new CorruptArtefactError(`${file} is larger than the ${most} bytes expected`);
      }
      return new Uint8Array(await handle.readFile());
    } catch (error) {
      throw asArtefactError(error, file);
    } finally {
      await handle?.close();
    }
  }
}

/**
 * @param {unknown} error
 * @param {string} file
 */
function asArtefactError(error, file) {
  const code = /** @type {NodeJS.ErrnoException} */ (error).code;
  if (code === "ELOOP") return notPlain(file);
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new MissingArtefactError(`${file} does not exist; make it with: dimec export`);
  }
  return code === undefined ? error : new CorruptArtefactError(`${file} cannot be read: ${code}`);
}

/** @param {string} file */
function notPlain(file) {
  return new CorruptArtefactError(`${file} is a link or no plain file; a bundle holds plain files`);
}
