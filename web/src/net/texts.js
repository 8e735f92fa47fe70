/**
 * Tensors of `BYTES`: texts in UTF-8, raw as a length in 4 bytes, little-endian, and the bytes.
 *
 * What stands behind the first 256 KiB of a text is not sent: a server takes requests of 1 MiB,
 * unless it is told otherwise, and far less makes all the tokens that a model reads.
 */

import { ProtocolError } from "./errors.js";
import { joined } from "./octets.js";

export const LENGTH = 4; // bytes that say how many follow
export const LONGEST = 1 << 18; // bytes of one text, a quarter of the largest that a server takes

/**
 * A text, or the two of a pair, in UTF-8; of a long one its beginning, in whole characters.
 *
 * @param {import("../tokens.js").Text} text
 * @returns {Uint8Array[]}
 */
export function utf8Of(text) {
  return (typeof text === "string" ? [text] : text).map(beginning);
}

/** @param {string} text */
function beginning(text) {
  const room = new Uint8Array(Math.min(LONGEST, 3 * text.length));
  const { written } = new TextEncoder().encodeInto(text, room); // stops before a half of one
  return room.subarray(0, written);
}

/**
 * Lengths and bytes of elements.
 *
 * @param {readonly Uint8Array[]} values
 */
export function toRaw(values) {
  return joined(values.flatMap((value) => [lengthOf(value), value]));
}

/** @param {Uint8Array} value */
function lengthOf({ length }) {
  const bytes = new Uint8Array(LENGTH);
  new DataView(bytes.buffer).setUint32(0, length, true);
  return bytes;
}

/**
 * The elements that raw bytes hold, all of them and nothing else.
 *
 * @param {Uint8Array} raw
 * @param {number} count of elements
 * @param {string} where the tensor's name in a message
 * @returns {Uint8Array[]}
 * @throws {ProtocolError} the lengths do not sum up to the bytes, or an element is no UTF-8
 */
export function fromRaw(raw, count, where) {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const values = [];
  let end = 0;
  for (let k = 0; k < count; k += 1) {
    const left = raw.length - end - LENGTH;
    const length = left < 0 ? 0 : view.getUint32(end, true);
    if (left < 0 || length > left) {
      throw new ProtocolError(`${where}: the bytes end before its element ${k} does`);
    }
    values.push(raw.slice(end + LENGTH, end + LENGTH + length));
    end += LENGTH + length;
  }
  if (end !== raw.length) {
    throw new ProtocolError(
      `${where}: expected ${end} bytes by the lengths of its elements, got ${raw.length}`,
    );
  }
  const wrong = values.findIndex((value) => !isText(value));
  if (wrong >= 0) throw new ProtocolError(`${where}: element ${wrong} is no UTF-8`);
  return values;
}

/**
 * Whether bytes are UTF-8.
 *
 * @param {Uint8Array} value
 */
export function isText(value) {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(value);
    return true;
  } catch {
    return false;
  }
}
