/** A tier of the tests' own behind a real socket, which does as it is told. */

import { createHash } from "node:crypto";
import { createServer } from "node:http";

import { endpointOf } from "../src/net/endpoint.js";
import { TierClient } from "../src/net/tier_client.js";

/** @typedef {import("node:http").IncomingMessage} IncomingMessage */
/** @typedef {import("node:http").ServerResponse} ServerResponse */

/**
 * @typedef {object} Asked
 * @property {import("node:http").IncomingHttpHeaders} headers
 * @property {string | undefined} url
 * @property {Buffer} body
 * @property {any} told the request's JSON
 */

/** @typedef {(response: ServerResponse, asked: Asked, times: number) => unknown} Script */

export const SAID = [0.25, 0.75];

/**
 * A server that answers by a script; what it was asked, and a client of it.
 *
 * @param {import("node:test").TestContext} context
 * @param {Script} [script]
 * @param {{timeout?: number, retries?: number, token?: string,
 *   breaker?: import("../src/net/breaker.js").CircuitBreaker}} [options]
 */
export async function tier(context, script = answer, { breaker, ...settings } = {}) {
  /** @type {Asked[]} */
  const asked = [];
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const { headers, url } = request;
    const length = Number(headers["inference-header-content-length"] ?? body.length);
    asked.push({
      headers,
      url,
      body,
      told: JSON.parse(String(body.subarray(0, length)) || "null"),
    });
    script(response, asked[asked.length - 1], asked.length);
  });
  const url = await listening(context, server);
  const given = { tier: "edge", url, version: "41", classes: 2, timeout: 20, ...settings };
  const client = new TierClient(endpointOf(given), { breaker, random: () => 0 });
  return { asked, client, server, url };
}

/**
 * The address of a server that is closed after the test, whatever is under way.
 *
 * @param {import("node:test").TestContext} context
 * @param {import("node:http").Server} server
 */
export async function listening(context, server) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return `http://127.0.0.1:${port}`;
}

/**
 * The answer to what was asked.
 *
 * @param {ServerResponse} response
 * @param {Asked} asked
 */
export function answer(response, asked) {
  const { body, headers } = answerTo(asked);
  response.writeHead(200, headers).end(body);
}

/**
 * Bytes and headers of a sound answer; its digest is that of its body as it is here.
 *
 * @param {Asked} asked
 * @param {object} [changes] of its JSON
 */
export function answerTo({ body: request, told }, changes = {}) {
  const raw = told.outputs[0].parameters.binary_data;
  const values = Buffer.from(Float32Array.from(SAID).buffer);
  const output = { name: "probabilities", datatype: "FP32", shape: [1, SAID.length] };
  const data = raw ? { parameters: { binary_data_size: values.length } } : { data: SAID };
  const named = { model_name: "edge", model_version: "41", id: told.id };
  const json = Buffer.from(
    JSON.stringify({ ...named, outputs: [{ ...output, ...data }], ...changes }),
  );
  const body = raw ? Buffer.concat([json, values]) : json;
  /** @type {Record<string, string>} */
  const headers = { "Content-Digest": digestOf(body), "X-Request-Digest": digestOf(request) };
  if (raw) headers["Inference-Header-Content-Length"] = String(json.length);
  return { body, headers };
}

/** @param {Buffer} body */
export function digestOf(body) {
  return `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
}

/**
 * Inputs of one row.
 *
 * @type {Record<string, import("../src/net/encoding.js").Input>}
 */
export const inputs = {
  input_ids: { datatype: "INT64", shape: [1, 3], values: BigInt64Array.of(5n, 7n, 9n) },
  attention_mask: { datatype: "INT64", shape: [1, 3], values: BigInt64Array.of(1n, 1n, 1n) },
};

/**
 * Ask once: what was said or why nothing was, and what it took.
 *
 * @param {TierClient} client
 * @param {{timeout?: number}} [options]
 */
export async function ask(client, options) {
  const took = { tries: 0, sentBytes: 0, receivedBytes: 0 };
  const { said, error } = await client.infer(inputs, { id: "a-1", took, ...options }).then(
    (said) => ({ said: [...said], error: null }),
    (error) => ({ said: null, error }),
  );
  if (error && !("reason" in error)) throw error;
  const [reason, sent, detail] = [error?.reason, error?.sent, error?.detail];
  return { said, reason, sent, detail, ...took };
}
