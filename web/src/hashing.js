/** SHA-256 of files, by the platform's own Web Crypto. */

import { ConfigError } from "./errors.js";

/**
 * Hexadecimal SHA-256.
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Promise<string>}
 * @throws {ConfigError} the page is not in a secure context, where browsers have no Web Crypto
 */
export async function sha256(bytes) {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) {
    throw new ConfigError(
      "files cannot be checked here: browsers hash on pages from https:// or localhost only; " +
        "serve the page so",
    );
  }
  const digest = new Uint8Array(await subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
