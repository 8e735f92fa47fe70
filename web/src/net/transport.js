/**
 * Sends one request by `fetch`: within its time, over a shaped link, up to so many bytes.
 *
 * A deadline is for the whole of it, until the last byte of the answer. Redirects are not followed,
 * nothing is taken from a cache, and neither cookies nor the page's address go along.
 */

import { Failure } from "./errors.js";
import { joined } from "./octets.js";

/** @typedef {import("./judging.js").Attempt} Attempt */
/** @typedef {import("./judging.js").Reply} Reply */
/** @typedef {import("./link.js").ShapedLink} ShapedLink */

const TIMEOUT = "no answer in time";

// What Node says where no connection came about, so that no byte has left. A browser does not tell.
const NO_CONNECTION =
  /^(ECONNREFUSED|ENOTFOUND|EAI_\w+|E(HOST|NET)UNREACH|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT)$/;
const CERTIFICATE = /CERT|UNABLE_TO_(VERIFY|GET)|SELF_SIGNED/;
// Of an answer that is no HTTP, or that is none at all.
const NO_HTTP = /^(HPE_\w+|UND_ERR_\w+)$/;

/**
 * @param {Attempt} attempt
 * @param {ShapedLink} link
 * @param {{answered: boolean}} kept whether an answer came before, so that a connection may be kept
 * @returns {Promise<Reply>}
 * @throws {Failure} there is no answer
 */
export async function send(attempt, link, kept) {
  const cut = link.signal;
  const own = new AbortController();
  const timer = setTimeout(() => own.abort(new Failure("timeout", TIMEOUT)), 1e3 * attempt.seconds);
  const end = () => own.abort(new Failure("unreachable", "the link was cut", { retry: false }));
  cut.addEventListener("abort", end, { once: true });
  const state = { answered: false };
  try {
    return await exchanged(attempt, link, own.signal, state);
  } catch (error) {
    if (own.signal.aborted) throw own.signal.reason;
    throw error instanceof Failure ? error : explain(error, attempt.url, state, kept);
  } finally {
    kept.answered ||= state.answered;
    clearTimeout(timer);
    cut.removeEventListener("abort", end);
    own.abort(); // an answer that is not read to its end is of no more use
  }
}

/**
 * @param {Attempt} attempt
 * @param {ShapedLink} link
 * @param {AbortSignal} signal
 * @param {{answered: boolean}} state
 * @returns {Promise<Reply>}
 */
async function exchanged(attempt, link, signal, state) {
  const { body, headers, limit, method, url } = attempt;
  const sent = sentBytes(attempt);
  await link.go(sent, signal);
  const answer = await fetch(url, {
    method,
    headers,
    body: method === "GET" ? undefined : body,
    signal,
    cache: "no-store",
    credentials: "omit",
    mode: "cors",
    redirect: "manual",
    referrerPolicy: "no-referrer",
  });
  state.answered = true;
  const content = await bodyOf(answer, limit);
  const received = receivedBytes(answer, content);
  await link.come(received, signal);
  return { status: answer.status, headers: answer.headers, body: content, sent, received };
}

/**
 * @param {Response} answer
 * @param {number} limit
 */
async function bodyOf(answer, limit) {
  /** @type {(size: number) => void} */
  const check = (size) => {
    if (size > limit) throw new Failure("broken answer", `it is longer than ${limit} bytes`);
  };
  const declared = answer.headers.get("Content-Length") ?? "";
  if (/^[0-9]{1,18}$/.test(declared)) check(Number(declared));
  /** @type {Uint8Array[]} */
  const parts = [];
  let size = 0;
  const reader = answer.body?.getReader();
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    size += part.value.length;
    check(size);
    parts.push(part.value);
  }
  return joined(parts);
}

/**
 * The failure that an error of `fetch` stands for.
 *
 * @param {unknown} error
 * @param {string} url
 * @param {{answered: boolean}} state
 * @param {{answered: boolean}} kept
 */
function explain(error, url, { answered }, kept) {
  const { code, message } = causeOf(error);
  const detail = `${new URL(url).origin}: ${message}`;
  if (NO_CONNECTION.test(code)) return new Failure("unreachable", detail, { sent: false });
  if (CERTIFICATE.test(code)) {
    return new Failure("unreachable", detail, { sent: false, retry: false });
  }
  // A server closes connections that were kept and not used; which one it was is not told.
  const stale = Boolean(code) && !answered && kept.answered;
  if (NO_HTTP.test(code)) return new Failure("broken answer", detail, { stale });
  if (code) return new Failure("unreachable", detail, { stale });
  if (answered) return new Failure("broken answer", `${detail}: it was cut off`);
  // All that a browser says: nothing. Where it knows that there is no network, nothing was sent.
  const sent = globalThis.navigator?.onLine !== false;
  return new Failure("unreachable", `${detail}${hintOf(url)}`, { sent });
}

/**
 * What Node knows of it: the error of the socket is below that of `fetch`.
 *
 * @param {unknown} error
 * @returns {{code: string, message: string}}
 */
function causeOf(error) {
  let told = { code: "", message: error instanceof Error ? error.message : String(error) };
  let at = /** @type {any} */ (error);
  for (let depth = 0; at && depth < 5; depth += 1) {
    const { code } = at;
    if (typeof code === "string") told = { code, message: String(at.message || code) };
    at = at.cause ?? at.errors?.[0]; // of several addresses the first
  }
  return told;
}

/** @param {string} url */
function hintOf(url) {
  const page = globalThis.location?.origin;
  if (!page || page === new URL(url).origin) return "";
  return `; no server is there, or it does not let pages of ${page} ask (dimec serve --cors-origin)`;
}

/**
 * Bytes of a request as HTTP/1.1 writes what is known of it here; without what a browser adds.
 *
 * @param {Attempt} attempt
 */
function sentBytes({ body, headers, method, url }) {
  const { host, pathname } = new URL(url);
  const start = `${method} ${pathname} HTTP/1.1\r\nHost: ${host}\r\n`;
  const length = method === "GET" ? "" : `Content-Length: ${body.length}\r\n`;
  return start.length + length.length + headBytes(Object.entries(headers)) + body.length;
}

/**
 * Bytes of an answer, likewise; of another origin's, a browser shows the headers that it may.
 *
 * @param {Response} answer
 * @param {Uint8Array} body
 */
function receivedBytes({ headers, status, statusText }, body) {
  return `HTTP/1.1 ${status} ${statusText}\r\n`.length + headBytes(headers) + body.length;
}

/** @param {Iterable<[string, string]>} headers */
function headBytes(headers) {
  let size = 2; // the empty line behind them
  for (const [name, value] of headers) size += name.length + value.length + 4;
  return size;
}
