/** Where a tier is reached, and how long that may take. */

import { ConfigError, shown } from "../errors.js";

export const LONGEST_TIMEOUT = 3600; // seconds

/**
 * @typedef {object} Settings
 * @property {string} tier such as "edge"; also the name of the model that is asked for
 * @property {string} url http:// or https://, host, port, and a path where the server has a prefix
 * @property {string} version of the model, from the bundle's manifest
 * @property {number} classes C, the number of probabilities of a row
 * @property {string | null} [token] bearer token; never shown
 * @property {number} [timeout] seconds for a whole call
 * @property {number} [retries] further attempts after the first one
 * @property {boolean} [insecure] send the token over plain HTTP to another machine all the same
 */

/**
 * @typedef {object} Endpoint
 * @property {string} tier
 * @property {string} version
 * @property {number} classes
 * @property {number} timeout seconds
 * @property {number} retries
 * @property {string} url as it was given
 * @property {string} model address of the model's version, without a slash at its end
 * @property {Readonly<Record<string, string>>} headers that every request has
 */

/**
 * Settings, checked, and what is the same in every request.
 *
 * @param {Settings} settings
 * @returns {Endpoint}
 * @throws {ConfigError} a value that cannot work, or a token that would travel in the clear
 */
export function endpointOf(settings) {
  const { tier, url, version, classes, token = null, insecure = false } = settings;
  const { timeout = 1, retries = 2 } = settings;
  const place = checkedUrl(tier, url);
  if (!tier || !version) throw new ConfigError("an endpoint needs a tier's name and a version's");
  if (!(Number.isInteger(classes) && classes >= 1)) {
    throw new ConfigError(`${tier}: expected 1 class or more, got ${shown(classes)}`);
  }
  if (!(Number.isInteger(retries) && retries >= 0)) {
    throw new ConfigError(`${tier}: expected 0 retries or more, got ${shown(retries)}`);
  }
  if (!(typeof timeout === "number" && timeout > 0 && timeout <= LONGEST_TIMEOUT)) {
    throw new ConfigError(
      `${tier}: expected a timeout above 0 and up to ${LONGEST_TIMEOUT} seconds, got ` +
        shown(timeout),
    );
  }
  if (token !== null) checkToken(tier, token, place, insecure);
  const names = `models/${encodeURIComponent(tier)}/versions/${encodeURIComponent(version)}`;
  return {
    tier,
    version,
    classes,
    timeout,
    retries,
    url,
    model: `${place.href.replace(/\/+$/, "")}/v2/${names}`,
    headers: token === null ? {} : { Authorization: `Bearer ${token}` },
  };
}

/**
 * A user's name and password are not repeated in the complaint.
 *
 * @param {string} tier
 * @param {unknown} text
 * @returns {URL}
 */
function checkedUrl(tier, text) {
  // Characters that a URL parser would drop or replace without a word, after which another place
  // is meant than was written.
  const sound = typeof text === "string" && /^https?:\/\/(?!\/)[!-~]+$/i.test(text);
  const url = sound && !text.includes("\\") && URL.canParse(text) ? new URL(text) : null;
  if (!url || url.port === "0") {
    const secret = typeof text === "string" && text.includes("@");
    const got = secret ? "one with a name or password" : shown(text, 100);
    throw new ConfigError(`${tier}: expected an address such as http://127.0.0.1:8001, got ${got}`);
  }
  if (url.username || url.password) {
    throw new ConfigError(`${tier}: an address must not hold a name or password; use a token`);
  }
  if (url.search || url.hash) {
    throw new ConfigError(`${tier}: an address must end before '?' and '#', got ${shown(text)}`);
  }
  return url;
}

/**
 * @param {string} tier
 * @param {unknown} token
 * @param {URL} url
 * @param {boolean} insecure
 */
function checkToken(tier, token, { protocol, hostname }, insecure) {
  if (typeof token !== "string" || !/^[ -~]+$/.test(token)) {
    throw new ConfigError(`${tier}: the token must be printable ASCII characters, and one or more`);
  }
  if (protocol === "http:" && !isLoopback(hostname) && !insecure) {
    throw new ConfigError(
      `${tier}: the token would travel unencrypted to ${hostname}; use an https:// address, or ` +
        "allow it with insecure: true",
    );
  }
}

/** @param {string} host as a URL parser writes it */
function isLoopback(host) {
  return host === "localhost" || host === "[::1]" || /^127(\.[0-9]+){3}$/.test(host);
}
