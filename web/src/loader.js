/**
 * Where a bundle's files come from. All that the rest knows is the interface, so a cache or an
 * archive can stand in for either of the two that are here: `fetch`, and a folder in Node.
 *
 * @typedef {object} Loader
 * @property {string} place for messages
 * @property {(name: string, most: number, watched?: Watched) => Promise<Uint8Array<ArrayBuffer>>}
 *   read the content of a file, of which no more than `most` bytes are taken in; throws
 *   ArtefactError
 * @property {(folder: string) => Loader} inside the folder of that name below this one
 */

import { ConfigError, CorruptArtefactError, MissingArtefactError, shown } from "./errors.js";

/**
 * What goes with a reading. A loader may leave it aside.
 *
 * @typedef {object} Watched
 * @property {(bytes: number) => void} came is told of so many more bytes
 * @property {AbortSignal} signal once nobody wants the file any more
 */

const SCHEME = /^[a-z][a-z0-9+.-]+:/i;

/**
 * The loader of a place: a base URL, a folder's path in Node, or a loader already.
 *
 * @param {string | URL | Loader} place
 * @returns {Promise<Loader>}
 * @throws {ConfigError} nothing of these
 */
export async function loaderOf(place) {
  if (typeof place === "object" && "read" in place && "inside" in place) return place;
  const text = String(place);
  if (inNode() && (!SCHEME.test(text) || text.startsWith("file:"))) {
    const { FolderLoader } = await import("./folder_loader.js");
    return new FolderLoader(
      place instanceof URL || text.startsWith("file:") ? new URL(text) : text,
    );
  }
  return new WebLoader(urlOf(text));
}

function inNode() {
  return typeof process === "object" && Boolean(process.versions?.node);
}

/**
 * The URL of an address, which may be relative to the page's.
 *
 * @param {string} text
 * @throws {ConfigError} it is none
 */
export function urlOf(text) {
  const page = globalThis.location?.href;
  try {
    return new URL(text, page);
  } catch {
    throw new ConfigError(`expected the address of a bundle, got ${shown(text, 80)}`);
  }
}

/** Files below a base URL. */
export class WebLoader {
  /** @param {URL} base of the folder; a slash at its end is added */
  constructor(base) {
    this.base = new URL(base);
    if (!this.base.pathname.endsWith("/")) this.base.pathname += "/";
    this.place = this.base.href;
  }

  /** @param {string} folder */
  inside(folder) {
    return new WebLoader(this.#url(`${folder}/`));
  }

  /**
   * @param {string} name
   * @param {number} most
   * @param {Partial<Watched>} [watched]
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   */
  async read(name, most, { came = () => undefined, signal } = {}) {
    const url = this.#url(name);
    let answer;
    try {
      answer = await fetch(url, { signal });
    } catch (error) {
      throw new MissingArtefactError(
        `${url} cannot be fetched (${error instanceof Error ? error.message : error}); see ` +
          "whether the server runs and lets this page read it",
      );
    }
    if (!answer.ok) {
      throw new MissingArtefactError(
        `${url} cannot be fetched (status ${answer.status}); give the folder of an export`,
      );
    }
    return bodyOf(answer, url, most, came);
  }

  /** @param {string} name */
  #url(name) {
    const url = new URL(this.base);
    url.pathname += name.split("/").map(encodeURIComponent).join("/");
    return url;
  }
}

/**
 * @param {Response} answer
 * @param {URL} url
 * @param {number} most
 * @param {(bytes: number) => void} came
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function bodyOf(answer, url, most, came) {
  /** @type {Uint8Array[]} */
  const parts = [];
  let size = 0;
  if (!answer.body) return new Uint8Array(0); // of a status such as 204
  const reader = answer.body.getReader();
  for (let part = await next(reader, url); part; part = await next(reader, url)) {
    size += part.length;
    if (size > most) {
      await reader.cancel();
      throw new CorruptArtefactError(`${url} is larger than the ${most} bytes expected`);
    }
    parts.push(part);
    came(part.length);
  }
  const whole = new Uint8Array(size);
  let end = 0;
  for (const part of parts) {
    whole.set(part, end);
    end += part.length;
  }
  return whole;
}

/**
 * The next bytes; null at the end.
 *
 * @param {ReadableStreamDefaultReader<Uint8Array>} reader
 * @param {URL} url
 */
async function next(reader, url) {
  try {
    const { done, value } = await reader.read();
    return done ? null : value;
  } catch (error) {
    throw new MissingArtefactError(
      `${url} was not sent to its end (${error instanceof Error ? error.message : error}); ` +
        "try again",
    );
  }
}
