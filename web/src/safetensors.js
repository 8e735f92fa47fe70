/**
 * Arrays of a safetensors file: 8 bytes with the length of a JSON header, the header, and data.
 *
 * The checksum that dimec keeps in the header is not looked at: the manifest's hash of the whole
 * file vouches for it already.
 */

import { CorruptArtefactError, shown } from "./errors.js";
import { ofHalves } from "./float16.js";

const FORMAT = "1"; // of dimec's metadata

/**
 * An array as it is stored; `data` has whole numbers of 64 bits as numbers, halves as singles.
 *
 * @typedef {object} Stored
 * @property {string} dtype such as "F32"
 * @property {readonly number[]} shape
 * @property {Float64Array | Float32Array | Int32Array | Int8Array | Uint8Array} data
 */

/** @typedef {ReadonlyMap<string, Stored>} Arrays */

/** @type {Record<string, [number, (bytes: ArrayBuffer) => Stored["data"]]>} */
const TYPES = {
  F64: [8, (bytes) => new Float64Array(bytes)],
  F32: [4, (bytes) => new Float32Array(bytes)],
  F16: [2, (bytes) => ofHalves(new Uint16Array(bytes))],
  I64: [8, (bytes) => Float64Array.from(new BigInt64Array(bytes), exactly)],
  I32: [4, (bytes) => new Int32Array(bytes)],
  I8: [1, (bytes) => new Int8Array(bytes)],
  U8: [1, (bytes) => new Uint8Array(bytes)],
};

/**
 * The arrays and the metadata of a file of dimec's.
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {string} kind that it must be of
 * @param {string} place for messages
 * @returns {{arrays: Arrays, metadata: Record<string, any>}}
 * @throws {CorruptArtefactError} it is none
 */
export function arraysOf(bytes, kind, place) {
  try {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const size = Number(view.getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
    const { __metadata__: told = {}, ...tensors } = header;
    if (told["dimec.kind"] !== kind || told["dimec.format"] !== FORMAT) {
      throw new Error(`of the kind ${shown(told["dimec.kind"] ?? null, 40)}, expected ${kind}`);
    }
    const data = bytes.subarray(8 + size);
    const arrays = new Map(
      Object.entries(tensors).map(([name, one]) => [name, arrayOf(name, one, data)]),
    );
    const own = Object.entries(told).filter(([key]) => !key.startsWith("dimec."));
    const metadata = Object.fromEntries(own.map(([key, value]) => [key, JSON.parse(value)]));
    return { arrays, metadata };
  } catch (error) {
    const problem = shown(error instanceof Error ? error.message : error);
    throw new CorruptArtefactError(
      `${place} is not a ${kind} file (${problem}); make the bundle again with: dimec export`,
    );
  }
}

/**
 * An array that must be there, of a type and a number of axes.
 *
 * @param {Arrays} arrays
 * @param {string} name
 * @param {string} dtype
 * @param {number} axes
 * @returns {Stored}
 * @throws {Error} it is not
 */
export function required(arrays, name, dtype, axes) {
  const found = arrays.get(name);
  if (found?.dtype !== dtype || found.shape.length !== axes) {
    const got = found ? `${found.dtype} of ${found.shape.length} axes` : "none";
    throw new Error(`expected ${name}, ${dtype} of ${axes} axes, got ${got}`);
  }
  if (!found.data.every(Number.isFinite)) throw new Error(`${name}: not all are finite numbers`);
  return found;
}

/**
 * The rows of a table, as views into it.
 *
 * @template {Float64Array | Float32Array | Int32Array | Int8Array | Uint8Array} T
 * @param {T} data
 * @param {number} width
 * @returns {T[]}
 */
export function rowsOf(data, width) {
  const size = width ? data.length / width : 0;
  return Array.from({ length: size }, (_, k) => {
    return /** @type {T} */ (data.subarray(k * width, (k + 1) * width));
  });
}

/**
 * @param {string} name
 * @param {any} one
 * @param {Uint8Array<ArrayBuffer>} data
 * @returns {Stored}
 */
function arrayOf(name, one, data) {
  const type = TYPES[one.dtype];
  if (!type) throw new Error(`${name} is of the type ${shown(one.dtype ?? null, 20)}`);
  const [width, make] = type;
  const [start, end] = one.data_offsets;
  const items = one.shape.reduce((/** @type {number} */ n, /** @type {number} */ m) => n * m, 1);
  if (!(start >= 0 && end <= data.length && end - start === items * width)) {
    throw new Error(`${name} has another size than its shape`);
  }
  // A copy: an array of wide numbers must begin at a multiple of their width.
  return { dtype: one.dtype, shape: one.shape, data: make(data.slice(start, end).buffer) };
}

/** @param {bigint} value */
function exactly(value) {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new Error(`${value} is beyond 2^53`);
  return number;
}
