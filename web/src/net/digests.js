/** `Content-Digest` (RFC 9530): a body that was altered on its way is told from the one sent. */

import { base64Of } from "./octets.js";

export const DIGEST_HEADER = "Content-Digest";
// In an answer: the digest of the request's body as it arrived. It is needed where a request's
// digest and its body are both altered: the server then has nothing to hold against it.
export const RECEIVED_HEADER = "X-Request-Digest";

/** @type {Readonly<Record<string, string>>} as the header names it → as Web Crypto does */
const HASHES = Object.freeze({ "sha-256": "SHA-256", "sha-512": "SHA-512" });

/**
 * Value of the header `Content-Digest` for a body.
 *
 * @param {Uint8Array<ArrayBuffer>} body
 */
export async function contentDigest(body) {
  return `sha-256=:${await hashed("sha-256", body)}:`;
}

/**
 * Whether a `Content-Digest` names an algorithm that is known here, so that it can fail.
 *
 * @param {string} value
 */
export function statesDigest(value) {
  return membersOf(value).length > 0;
}

/**
 * Whether a body is the one that a `Content-Digest` was made for.
 *
 * A value that names no algorithm known here says nothing, as if there were none: true. Where
 * several are named, all that are known must match.
 *
 * @param {string} value
 * @param {Uint8Array<ArrayBuffer>} body
 */
export async function digestMatches(value, body) {
  for (const [algorithm, digest] of membersOf(value)) {
    if (digest !== `:${await hashed(algorithm, body)}:`) return false;
  }
  return true;
}

/**
 * Algorithm, and digest between colons, of each known member of a structured dictionary.
 *
 * @param {string} value
 */
function membersOf(value) {
  const members = value.split(",").map((member) => {
    const [algorithm, ...digest] = member.split("=");
    return [algorithm.trim().toLowerCase(), digest.join("=").trim()];
  });
  return members.filter(([algorithm]) => Object.hasOwn(HASHES, algorithm));
}

/**
 * @param {string} algorithm
 * @param {Uint8Array<ArrayBuffer>} body
 */
async function hashed(algorithm, body) {
  return base64Of(new Uint8Array(await crypto.subtle.digest(HASHES[algorithm], body)));
}
