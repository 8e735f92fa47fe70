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
   * @param {boolean} [cached] whether none had to be fetched
   */
  constructor(place, manifest, files, cached = false) {
    this.place = place;
    this.manifest = manifest;
    this.cached = cached;
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
 * @param {import("./state/cache.js").FileCache | null} [cache] files that were fetched before
 * @returns {Promise<Bundle>}
 * @throws {import("./errors.js").ArtefactError} something is missing, or not what it must be
 */
export async function openBundle(loader, cache = null) {
  let stored = await manifestAt(loader);
  const first = firstTier(stored, `${loader.place}/${MANIFEST}`);
  if (first !== null) {
    loader = loader.inside(first);
    stored = await manifestAt(loader);
  }
  const manifest = manifestOf(stored, `${loader.place}/${MANIFEST}`);
  const names = [...manifest.files.keys()];
  const found = await Promise.all(names.map((name) => fileOf(loader, name, manifest, cache)));
  await cache?.keep(new Set([...manifest.files.values()].map((file) => file.sha256)));
  const files = new Map(names.map((name, k) => [name, found[k].content]));
  return new Bundle(
    loader.place,
    manifest,
    files,
    found.every(({ cached }) => cached),
  );
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
 * @param {import("./state/cache.js").FileCache | null} cache
 */
async function fileOf(loader, name, manifest, cache) {
  const record = /** @type {{sha256: string, bytes: number}} */ (manifest.files.get(name));
  const kept = await cache?.read(record.sha256, record.bytes);
  if (kept) return { content: kept, cached: true };
  const content = await checked(loader, name, manifest);
  await cache?.write(record.sha256, content);
  return { content, cached: false };
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
