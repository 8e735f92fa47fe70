/** What to send to a tier, and what to make of what comes back. */

import { shown } from "../errors.js";
import { sha256 } from "../hashing.js";
import { decodeError, decodeResponse } from "./decoding.js";
import { DIGEST_HEADER, digestMatches, RECEIVED_HEADER, statesDigest } from "./digests.js";
import { BINARY_HEADER, encodeRequest } from "./encoding.js";
import { Failure, ProtocolError } from "./errors.js";

/** @typedef {import("./encoding.js").Input} Input */
/** @typedef {import("./endpoint.js").Endpoint} Endpoint */

export const OUTPUT = "probabilities";

// Statuses by which a server may say that it has never heard of binary tensors. Among them 500,
// since one that takes the whole body for JSON may well fall over it.
const NOT_UNDERSTOOD = [400, 415, 422, 500, 501];
// Statuses that are about the one request, not about the tier.
const THIS_INPUT = [400, 413, 414, 415, 422, 431];

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * One HTTP request to make.
 *
 * @typedef {object} Attempt
 * @property {"GET" | "POST"} method
 * @property {string} url
 * @property {Readonly<Record<string, string>>} headers
 * @property {Uint8Array<ArrayBuffer>} body
 * @property {number} seconds how long all of it may take, until the last byte of the answer
 * @property {number} limit bytes of the answer's body that are read at most
 */

/**
 * What came back.
 *
 * @typedef {object} Reply
 * @property {number} status 0 where a browser does not show where it is sent
 * @property {{get(name: string): string | null}} headers
 * @property {Uint8Array<ArrayBuffer>} body
 * @property {number} sent bytes
 * @property {number} received
 */

/**
 * What one call asks for, and what its answer is held against.
 *
 * @typedef {object} Question
 * @property {Endpoint} endpoint
 * @property {Readonly<Record<string, Input>>} inputs
 * @property {string} id of {@link wireId}
 * @property {string | null} traceparent
 * @property {number} rows
 */

/**
 * An id that fits into a header: itself, or a hash of it where it would not.
 *
 * @param {string} id
 */
export async function wireId(id) {
  if (/^[!-~]{1,128}$/.test(id)) return id;
  return `sha256-${await sha256(new TextEncoder().encode(id))}`;
}

/**
 * The request that puts a question.
 *
 * @param {Question} question
 * @param {number} seconds what is left until the deadline; the server is told
 * @param {boolean} binary send and want raw tensors rather than JSON numbers and strings
 * @returns {Promise<Attempt>}
 */
export async function ask({ endpoint, id, inputs, traceparent, rows }, seconds, binary) {
  const message = await encodeRequest({ inputs, id, outputs: [OUTPUT], timeout: seconds }, binary);
  /** @type {Record<string, string>} */
  const headers = { ...endpoint.headers, ...message.headers, "X-Request-Id": id };
  if (traceparent !== null && TRACEPARENT.test(traceparent)) headers.Traceparent = traceparent;
  // As JSON a float32 is at most 24 characters; a dimec server's own header is below 1 KiB.
  const limit = 65_536 + 32 * rows * endpoint.classes;
  const url = `${endpoint.model}/infer`;
  return { method: "POST", url, headers, body: message.body, seconds, limit };
}

/**
 * The request that asks whether a tier is ready.
 *
 * @param {Endpoint} endpoint
 * @returns {Attempt}
 */
export function askReady({ headers, model, timeout: seconds }) {
  const body = new Uint8Array();
  return { method: "GET", url: `${model}/ready`, headers, body, seconds, limit: 65_536 };
}

/**
 * Whether the server got the request that was sent, as far as it says.
 *
 * @param {Attempt} attempt
 * @param {Reply} reply of any status
 * @param {boolean} required the server always says: what does not say was altered on its way
 * @throws {Failure} what it got was altered on its way
 */
export function checkReceived(attempt, { headers, status }, required) {
  const received = headers.get(RECEIVED_HEADER) ?? "";
  if (received && received !== attempt.headers[DIGEST_HEADER]) {
    throw new Failure("broken answer", `the request was altered on its way (HTTP ${status})`);
  }
  // 400 without it: the server could not make out a request at all.
  if (required && !received && [200, 400].includes(status)) {
    const detail = `HTTP ${status} without the ${RECEIVED_HEADER} of this server`;
    throw new Failure("broken answer", detail);
  }
}

/**
 * The probabilities (B, C) that a reply holds, row by row, checked in every way.
 *
 * `Content-Encoding` is not looked at: a browser asks for compressed answers whatever the page
 * wants, and hands over what it has unpacked, which is what the digest is held against.
 *
 * @param {Question} question
 * @param {Reply} reply
 * @param {boolean} digestRequired an answer without a digest was altered on its way
 * @returns {Promise<Float32Array>}
 * @throws {Failure} it is not an answer to what was asked
 */
export async function judge(question, reply, digestRequired) {
  if (reply.status !== 200) throw badStatus(reply);
  const digest = reply.headers.get(DIGEST_HEADER) ?? "";
  if (!(await digestMatches(digest, reply.body))) {
    const detail = `it was altered on its way (${DIGEST_HEADER} differs)`;
    throw new Failure("broken answer", detail);
  }
  if (digestRequired && !statesDigest(digest)) {
    const detail = `it lacks the ${DIGEST_HEADER} that this server sends`;
    throw new Failure("broken answer", detail);
  }
  const response = decoded(reply);
  checkNames(question, response);
  const output = response.outputs.get(OUTPUT);
  if (!output) throw new Failure("broken answer", `it has no output ${OUTPUT}`);
  return checkedProbabilities(question, output);
}

/** @param {Reply} reply */
function decoded({ body, headers }) {
  try {
    return decodeResponse(body, headers.get(BINARY_HEADER));
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new Failure("broken answer", error.message);
  }
}

/**
 * @param {Question} question
 * @param {import("./decoding.js").InferResponse} response
 */
function checkNames({ endpoint, id }, response) {
  if (response.model !== endpoint.tier) {
    const got = shown(response.model, 40);
    throw new Failure("broken answer", `expected the model ${endpoint.tier}, got ${got}`);
  }
  if (response.version !== endpoint.version) {
    const got = shown(response.version || "none", 40);
    throw new Failure("wrong version", `expected ${endpoint.version}, got ${got}`);
  }
  if (response.id !== id) {
    const got = shown(response.id, 40);
    throw new Failure("broken answer", `it is the answer to ${got}, not to ${id}`);
  }
}

/**
 * @param {Question} question
 * @param {import("./decoding.js").Output} output
 */
function checkedProbabilities({ endpoint, rows }, { datatype, shape, values }) {
  const { classes } = endpoint;
  if (datatype !== "FP32" || String(shape) !== `${rows},${classes}`) {
    const detail = `expected ${OUTPUT} FP32 [${rows},${classes}], got ${datatype} [${shape}]`;
    throw new Failure("broken answer", detail);
  }
  const said = Float32Array.from(values);
  // Written so that NaN fails: every comparison with it is false.
  let sound = said.every((one) => one >= 0 && one <= 1.001);
  for (let row = 0; row < rows; row += 1) {
    const sum = said.subarray(row * classes, (row + 1) * classes).reduce((a, b) => a + b, 0);
    sound &&= Math.abs(sum - 1) <= 1e-3;
  }
  if (!sound) throw new Failure("broken answer", `rows of ${OUTPUT} are not finite and of sum 1`);
  return said;
}

/**
 * The failure that a status other than 200 stands for.
 *
 * @param {Reply} reply
 */
function badStatus({ body, headers, status }) {
  const text = decodeError(body);
  const detail = `HTTP ${status || "redirect"}${text ? `: ${text}` : ""}`;
  if (!status || (status >= 300 && status < 400)) {
    const where = shown(headers.get("Location") ?? "nowhere that is shown", 100);
    return new Failure("refused", `${detail} sends elsewhere (${where})`, { counts: true });
  }
  if (status === 404) return new Failure("wrong version", detail);
  if ([429, 503].includes(status)) {
    return new Failure("overloaded", detail, { after: retryAfter(headers.get("Retry-After")) });
  }
  if ([408, 504].includes(status)) return new Failure("timeout", detail);
  if (status === 400 && (!text || text.toLowerCase().includes(DIGEST_HEADER.toLowerCase()))) {
    // The model server found that the body was altered, or the HTTP server before it could make
    // nothing of what arrived.
    const told = `the request was altered on its way (${detail})`;
    return new Failure("broken answer", told, { notUnderstood: true });
  }
  const notUnderstood = NOT_UNDERSTOOD.includes(status);
  if (status >= 500) return new Failure("server error", detail, { notUnderstood });
  if (status < 400) return new Failure("broken answer", detail);
  return new Failure("refused", detail, { counts: !THIS_INPUT.includes(status), notUnderstood });
}

/**
 * Seconds, from seconds or a date; null where it is neither.
 *
 * @param {string | null} value
 */
export function retryAfter(value) {
  const text = value?.trim() ?? "";
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  // Only what has the form of HTTP's dates: JavaScript takes nearly anything for a date.
  const then = /^[A-Za-z]{3,9}, ?[0-9]{1,2}[ -][A-Za-z]{3}[ -]/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(then) ? null : Math.max(0, (then - Date.now()) / 1e3);
}
