/** The device's folder of a bundle: every file that its manifest names, whole and unaltered. */

import { CorruptArtefactError } from "./errors.js";
import { sha256 } from "./hashing.js";
import { firstTier, jsonOf, LARGEST_MANIFEST, MANIFEST, manifestOf } from "./manifest.js";
import { Progress } from "./progress.js";

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
 * @param {(progress: import("../mobile.js").Progress) => void} [tell] how far they have come
 * @returns {Promise<Bundle>}
 * @throws {import("./errors.js").ArtefactError} something is missing, or not what it must be
 */
export async function openBundle(loader, cache = null, tell = () => undefined) {
  let stored = await manifestAt(loader);
  const first = firstTier(stored, `${loader.place}/${MANIFEST}`);
  if (first !== null) {
    loader = loader.inside(first);
    stored = await manifestAt(loader);
  }
  const manifest = manifestOf(stored, `${loader.place}/${MANIFEST}`);
  const found = await filesOf(loader, manifest, cache, new Progress(manifest.files, tell));
  await cache?.keep(new Set([...manifest.files.values()].map((file) => file.sha256)));
  const files = new Map(found.map(({ name, content }) => [name, content]));
  const cached = found.every((file) => file.cached);
  return new Bundle(loader.place, manifest, files, cached);
}

/** @param {Loader} loader */
async function manifestAt(loader) {
  const bytes = await loader.read(MANIFEST, LARGEST_MANIFEST);
  return jsonOf(bytes, `${loader.place}/${MANIFEST}`);
}

/**
 * @typedef {object} Wanted what is common to all files of a folder
 * @property {Loader} loader
 * @property {Manifest} manifest
 * @property {import("./state/cache.js").FileCache | null} cache
 * @property {Progress} progress
 * @property {AbortSignal} signal once one of them has failed
 */

/**
 * All files, side by side; where one fails nothing more is fetched or told.
 *
 * @param {Loader} loader
 * @param {Manifest} manifest
 * @param {import("./state/cache.js").FileCache | null} cache
 * @param {Progress} progress
 */
async function filesOf(loader, manifest, cache, progress) {
  const failed = new AbortController();
  const wanted = { loader, manifest, cache, progress, signal: failed.signal };
  try {
    return await Promise.all([...manifest.files.keys()].map((name) => fileOf(name, wanted)));
  } catch (error) {
    failed.abort();
    throw error;
  }
}

/**
 * @param {string} name
 * @param {Wanted} wanted
 */
async function fileOf(name, wanted) {
  const { cache, manifest, progress, signal } = wanted;
  const record = recordOf(manifest, name);
  const kept = await cache?.read(record.sha256, record.bytes);
  const content = kept ?? (await checked(name, wanted));
  if (!kept) await cache?.write(record.sha256, content);
  if (!signal.aborted) progress.whole(name);
  return { name, content, cached: Boolean(kept) };
}

/**
 * @param {string} name
 * @param {Wanted} wanted
 */
async function checked(name, { loader, manifest, progress, signal }) {
  const record = recordOf(manifest, name);
  const content = await loader.read(name, record.bytes, {
    came: (bytes) => (signal.aborted ? undefined : progress.came(name, bytes)),
    signal,
  });
  if (content.length !== record.bytes || (await sha256(content)) !== record.sha256) {
    throw new CorruptArtefactError(
      `${loader.place}/${name} was altered or truncated after it was exported (its size or hash ` +
        "does not match the manifest); copy it again, or make the bundle again with: dimec export",
    );
  }
  return content;
}

/**
 * @param {Manifest} manifest
 * @param {string} name
 */
function recordOf({ files }, name) {
  return /** @type {{sha256: string, bytes: number}} */ (files.get(name));
}
