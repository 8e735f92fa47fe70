/**
 * Answers of the Open Inference Protocol v2. The bytes are a stranger's: whatever they are, what
 * comes out is what the types say, or a ProtocolError.
 */

import { shown } from "../errors.js";
import { ofHalves } from "../float16.js";
import { BINARY_HEADER } from "./encoding.js";
import { plain, ProtocolError } from "./errors.js";
import { fromRaw, LENGTH } from "./texts.js";

const MOST = { tensors: 8, elements: 2 ** 20, dimensions: 8, text: 256 };

/**
 * Bytes of an element, how raw ones are read, and what a JSON value must be.
 *
 * @typedef {object} Datatype
 * @property {number} size
 * @property {(raw: Uint8Array<ArrayBuffer>) => ArrayLike<any>} read whole, and at its own place
 * @property {(value: any) => boolean} fits
 */

/** @type {ReadonlyMap<string, Datatype>} */
const DATATYPES = new Map([
  ["BOOL", { size: 1, read: (raw) => raw, fits: (value) => typeof value === "boolean" }],
  ["INT8", whole(1, Int8Array)],
  ["INT16", whole(2, Int16Array)],
  ["INT32", whole(4, Int32Array)],
  ["INT64", whole(8, BigInt64Array)],
  ["UINT8", whole(1, Uint8Array, 0)],
  ["UINT16", whole(2, Uint16Array, 0)],
  ["UINT32", whole(4, Uint32Array, 0)],
  ["UINT64", whole(8, BigUint64Array, 0)],
  ["FP16", real(2, (raw) => ofHalves(new Uint16Array(raw.buffer)), 65_520)],
  ["FP32", real(4, (raw) => new Float32Array(raw.buffer), 2 ** 128 - 2 ** 103)],
  ["FP64", real(8, (raw) => new Float64Array(raw.buffer), Infinity)],
  ["BYTES", { size: LENGTH, read: (raw) => raw, fits: (value) => typeof value === "string" }],
]);

/**
 * @typedef {object} Output
 * @property {string} datatype as the protocol names it
 * @property {readonly number[]} shape
 * @property {ArrayLike<any>} values row by row
 */

/**
 * @typedef {object} InferResponse
 * @property {string} model
 * @property {string} version "" where it states none
 * @property {string} id
 * @property {ReadonlyMap<string, Output>} outputs
 */

/**
 * What a response's bytes say.
 *
 * @param {Uint8Array<ArrayBuffer>} body the whole body
 * @param {string | null} headerLength value of {@link BINARY_HEADER}; null where there is none
 * @returns {InferResponse}
 * @throws {ProtocolError} anything that the protocol does not allow
 */
export function decodeResponse(body, headerLength) {
  const { header, raw } = split(body, headerLength);
  return {
    model: named(header.model_name, "model_name"),
    version: named(header.model_version ?? "", "model_version", true),
    id: named(header.id ?? "", "id", true),
    outputs: tensorsOf(header.outputs ?? [], raw),
  };
}

/**
 * The text of an error's body on one line, "" where it has none.
 *
 * @param {Uint8Array} body
 */
export function decodeError(body) {
  try {
    const { error } = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    return typeof error === "string" ? plain(error.slice(0, 300)) : "";
  } catch {
    return "";
  }
}

/**
 * @param {Uint8Array<ArrayBuffer>} body
 * @param {string | null} headerLength
 */
function split(body, headerLength) {
  let end = body.length;
  if (headerLength !== null) {
    const told = /^[0-9]{1,18}$/.test(headerLength) ? Number(headerLength) : Infinity;
    check(told <= end, `${BINARY_HEADER}: expected at most ${end}, got ${shown(headerLength, 60)}`);
    end = told;
  }
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body.subarray(0, end)));
  } catch {
    const hint = headerLength === null ? `; is the header ${BINARY_HEADER} missing?` : "";
    throw new ProtocolError(`the body is not JSON${hint}`);
  }
  check(isObject(header), `the body: expected a JSON object, got ${shown(header, 60)}`);
  return { header, raw: body.subarray(end) };
}

/**
 * @param {any} entries
 * @param {Uint8Array<ArrayBuffer>} raw
 * @returns {Map<string, Output>}
 */
function tensorsOf(entries, raw) {
  check(Array.isArray(entries) && entries.every(isObject), "outputs: expected a list of objects");
  check(entries.length <= MOST.tensors, `outputs: at most ${MOST.tensors} are allowed`);
  /** @type {Map<string, Output>} */
  const found = new Map();
  let offset = 0;
  for (const entry of entries) {
    const name = named(entry.name, "a name in outputs");
    check(!found.has(name), "outputs: two of them have the same name; every name must differ");
    const where = `tensor ${shown(name, 60)}`;
    const { output, size } = tensorOf(entry, raw.subarray(offset), where);
    found.set(name, output);
    offset += size;
  }
  check(offset === raw.length, `expected ${offset} bytes behind the JSON, got ${raw.length}`);
  return found;
}

/**
 * @param {any} entry
 * @param {Uint8Array<ArrayBuffer>} raw where its bytes begin
 * @param {string} where
 */
function tensorOf(entry, raw, where) {
  const { datatype, shape, data = null } = entry;
  const parameters = entry.parameters ?? {};
  const type = DATATYPES.get(datatype);
  if (!type) throw new ProtocolError(`${where}: unknown datatype ${shown(datatype ?? null, 60)}`);
  const count = countOf(shape, where);
  check(isObject(parameters), `parameters of ${where}: expected an object`);
  for (const extension of ["shared_memory_region", "classification"]) {
    check(parameters[extension] == null, `${where} has ${extension}, which is not supported`);
  }
  const size = parameters.binary_data_size ?? null;
  check(
    (size === null) !== (data === null),
    `${where}: expected either 'data' or the parameter 'binary_data_size'`,
  );
  if (size === null) {
    return { output: { datatype, shape, values: jsonValues(data, type, shape, where) }, size: 0 };
  }
  const least = count * type.size;
  const text = datatype === "BYTES";
  const fits = Number.isInteger(size) && (text ? size >= least : size === least);
  check(fits, `${where}: binary_data_size must be ${least}${text ? " or more" : ""}`);
  check(size <= raw.length, `${where}: expected ${size} bytes behind the JSON, got ${raw.length}`);
  const own = raw.slice(0, size); // a copy: arrays cannot begin at an odd address
  const values = text ? fromRaw(own, count, where) : type.read(own);
  if (datatype === "BOOL") {
    check(
      own.every((byte) => byte <= 1),
      `${where}: a byte of a BOOL must be 0 or 1`,
    );
  }
  return { output: { datatype, shape, values }, size };
}

/**
 * Elements that a shape has.
 *
 * @param {any} shape
 * @param {string} where
 * @returns {number}
 */
function countOf(shape, where) {
  const most = MOST.elements;
  const fits =
    Array.isArray(shape) &&
    shape.length >= 1 &&
    shape.length <= MOST.dimensions &&
    shape.every((one) => Number.isInteger(one) && one >= 0 && one <= most);
  check(fits, `${where}: expected a shape of 1 to ${MOST.dimensions} whole numbers`);
  const count = shape.reduce((/** @type {number} */ product, /** @type {number} */ one) => {
    return product * one;
  }, 1);
  check(count <= most, `${where}: at most ${most} elements are allowed`);
  return count;
}

/**
 * Values row by row, from one flat list or from lists nested as the shape says.
 *
 * @param {any} data
 * @param {Datatype} type
 * @param {number[]} shape
 * @param {string} where
 */
function jsonValues(data, type, shape, where) {
  check(Array.isArray(data), `${where}: expected a list as data`);
  let values = data;
  if (Array.isArray(data[0])) {
    values = [data];
    for (const size of shape) {
      const fits = values.every((/** @type {any} */ row) => {
        return Array.isArray(row) && row.length === size;
      });
      check(fits, `${where}: the nested lists in data do not have its shape`);
      values = values.flat();
    }
  }
  const count = countOf(shape, where);
  check(values.length === count, `${where}: expected ${count} values, got ${values.length}`);
  check(values.every(type.fits), `${where}: a value is not of its datatype`);
  return values;
}

/**
 * @param {unknown} value
 * @param {string} what
 * @param {boolean} [empty]
 * @returns {string}
 */
function named(value, what, empty = false) {
  const most = MOST.text;
  const fits =
    typeof value === "string" && !/[^\P{C}]|[^\P{Z} ]/u.test(value) && [...value].length <= most;
  check(fits, `${what}: expected at most ${most} printable characters`);
  check(value || empty, `${what} is empty; give it a name`);
  return String(value);
}

/**
 * @param {number} size
 * @param {new (buffer: ArrayBuffer) => ArrayLike<any>} kind
 * @param {number} [least] 0 for numbers without a sign
 * @returns {Datatype}
 */
function whole(size, kind, least = -(2 ** (8 * size - 1))) {
  const most = least + 2 ** (8 * size);
  return {
    size,
    read: (raw) => new kind(raw.buffer),
    fits: (value) => Number.isInteger(value) && value >= least && value < most,
  };
}

/**
 * @param {number} size
 * @param {(raw: Uint8Array<ArrayBuffer>) => ArrayLike<number>} read
 * @param {number} limit the least that is rounded to infinity
 * @returns {Datatype}
 */
function real(size, read, limit) {
  return { size, read, fits: (value) => typeof value === "number" && Math.abs(value) < limit };
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {unknown} fits
 * @param {string} problem
 * @returns {asserts fits}
 */
function check(fits, problem) {
  if (!fits) throw new ProtocolError(problem);
}
