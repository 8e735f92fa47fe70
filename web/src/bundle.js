/** The device's folder of a bundle: every file that its manifest names, whole and unaltered. */

import { CorruptArtefactError } from "./errors.js";
import { sha256 } from "./hashing.js";
import { firstTier, jsonOf, LARGEST_MANIFEST, MANIFEST, manifestOf } from "./manifest.js";

/** @typedef {import("./loader.js").Loader} Loader */
/** @typedef {import("./manifest.js").Manifest} Manifest */

/** Files in memory, checked, each handed out once: what was used need not be kept. */
export class Bundle {
  /** @type {Map<string, Uint8Array<ArrayBuffer>>} */
  #files;

  /**
   * @param {string} place
   * @param {Manifest} manifest
   * @param {Map<string, Uint8Array<ArrayBuffer>>} files
   */
  constructor(place, manifest, files) {
    this.place = place;
    this.manifest = manifest;
    this.#files = files;
  }

  /** @param {string} name */
  has(name) {
    return this.#files.has(name);
  }

  /** @returns {IterableIterator<string>} names of the files that are still here */
  names() {
    return this.#files.keys();
  }

  /**
   * The content of a file.
   *
   * @param {string} name
   * @throws {CorruptArtefactError} the manifest names no such file
   */
  read(name) {
    const content = this.#files.get(name);
    if (content === undefined) {
      throw new CorruptArtefactError(
        `${this.place}: ${MANIFEST} names no ${name}; make the bundle again with: dimec export`,
      );
    }
    return content;
  }

  /** Let go of all content. */
  release() {
    this.#files.clear();
  }
}

/**
 * Read and check the first tier's folder: the one of the loader, or that below it.
 *
 * @param {Loader} loader
 * @returns {Promise<Bundle>}
 * @throws {import("./errors.js").ArtefactError} something is missing, or not what it must be
 */
export async function openBundle(loader) {
  let stored = await manifestAt(loader);
  const first = firstTier(stored, `${loader.place}/${MANIFEST}`);
  if (first !== null) {
    loader = loader.inside(first);
    stored = await manifestAt(loader);
  }
  const manifest = manifestOf(stored, `${loader.place}/${MANIFEST}`);
  const names = [...manifest.files.keys()];
  const contents = await Promise.all(names.map((name) => checked(loader, name, manifest)));
  const files = new Map(names.map((name, k) => [name, contents[k]]));
  return new Bundle(loader.place, manifest, files);
}

/** @param {Loader} loader */
async function manifestAt(loader) {
  const bytes = await loader.read(MANIFEST, LARGEST_MANIFEST);
  return jsonOf(bytes, `${loader.place}/${MANIFEST}`);
}

/**
 * @param {Loader} loader
 * @param {string} name
 * @param {Manifest} manifest
 */
async function checked(loader, name, manifest) {
  const record = /** @type {{sha256: string, bytes: number}} */ (manifest.files.get(name));
  const content = await loader.read(name, record.bytes);
  if (content.length !== record.bytes || (await sha256(content)) !== record.sha256) {
    throw new CorruptArtefactError(
      `${loader.place}/${name} was altered or truncated after it was exported (its size or hash ` +
        "does not match the manifest); copy it again, or make the bundle again with: dimec export",
    );
  }
  return content;
}
