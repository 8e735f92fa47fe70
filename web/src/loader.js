/**
 * Where a bundle's files come from. All that the rest knows is the interface, so a cache or an
 * archive can stand in for either of the two that are here: `fetch`, and a folder in Node.
 *
 * @typedef {object} Loader
 * @property {string} place for messages
 * @property {(name: string, most: number) => Promise<Uint8Array<ArrayBuffer>>} read
 *   the content of a file, of which no more than `most` bytes are taken in; throws ArtefactError
 * @property {(folder: string) => Loader} inside the folder of that name below this one
 */

import { ConfigError, CorruptArtefactError, MissingArtefactError, shown } from "./errors.js";

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

/** @param {string} text */
function urlOf(text) {
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
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   */
  async read(name, most) {
    const url = this.#url(name);
    let answer;
    try {
      answer = await fetch(url);
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
    return bodyOf(answer, url, most);
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
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function bodyOf(answer, url, most) {
  /** @type {Uint8Array[]} */
  const parts = [];
  let size = 0;
  try {
    const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      size += part.value.length;
      if (size > most) {
        await reader.cancel();
        throw new CorruptArtefactError(`${url} is larger than the ${most} bytes expected`);
      }
      parts.push(part.value);
    }
  } catch (error) {
    if (error instanceof CorruptArtefactError) throw error;
    throw new MissingArtefactError(
      `${url} was not sent to its end (${error instanceof Error ? error.message : error}); ` +
        "try again",
    );
  }
  const whole = new Uint8Array(size);
  let end = 0;
  for (const part of parts) {
    whole.set(part, end);
    end += part.length;
  }
  return whole;
}
