/**
 * Requests of the Open Inference Protocol v2: a JSON object, in which a tensor's values are JSON
 * numbers and strings, or raw bytes behind the JSON (Triton's binary tensor extension); the header
 * {@link BINARY_HEADER} then says where the JSON ends.
 */

import { roundHalfEven } from "../numbers.js";
import { contentDigest, DIGEST_HEADER } from "./digests.js";
import { bytesOf, joined } from "./octets.js";
import { toRaw } from "./texts.js";

export const BINARY_HEADER = "Inference-Header-Content-Length";

/**
 * A tensor to send: whole numbers, or texts in UTF-8.
 *
 * @typedef {object} Input
 * @property {"INT64" | "BYTES"} datatype
 * @property {readonly number[]} shape
 * @property {BigInt64Array | readonly Uint8Array[]} values row by row
 */

/**
 * @typedef {object} Asked
 * @property {Readonly<Record<string, Input>>} inputs
 * @property {string} id names the request; the response repeats it
 * @property {readonly string[]} outputs the names of those that are wanted, 1 or more
 * @property {number} timeout seconds after which the answer is of no use
 */

/**
 * The bytes of a request, and the HTTP headers that belong to them.
 *
 * @param {Asked} asked
 * @param {boolean} binary whether tensors go, and are wanted back, as raw bytes
 */
export async function encodeRequest({ inputs, id, outputs, timeout }, binary) {
  /** @type {Uint8Array[]} */
  const raw = [];
  const entries = Object.entries(inputs).map(([name, { datatype, shape, values }]) => {
    if (!binary) return { name, datatype, shape, data: jsonValues(values) };
    raw.push(values instanceof BigInt64Array ? bytesOf(values) : toRaw(values));
    const parameters = { binary_data_size: /** @type {Uint8Array} */ (raw.at(-1)).length };
    return { name, datatype, shape, parameters };
  });
  const microseconds = roundHalfEven(Math.min(Math.max(timeout * 1e6, 1), 1e18));
  const header = {
    ...(id && { id }),
    outputs: outputs.map((name) => ({ name, parameters: { binary_data: binary } })),
    parameters: { timeout: microseconds },
    inputs: entries,
  };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const body = joined([text, ...raw]);
  /** @type {Record<string, string>} */
  const headers = { "Content-Type": binary ? "application/octet-stream" : "application/json" };
  if (binary) headers[BINARY_HEADER] = String(text.length);
  headers[DIGEST_HEADER] = await contentDigest(body);
  return { headers, body };
}

/** @param {BigInt64Array | readonly Uint8Array[]} values */
function jsonValues(values) {
  if (values instanceof BigInt64Array) return Array.from(values, Number); // token ids are small
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return values.map((value) => decoder.decode(value));
}
