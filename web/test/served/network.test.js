/**
 * The mobile and its tiers' real servers: tests/web/test_network.py starts them, and says in the
 * file DIMEC_SERVED where they are and what Python's mobile answers.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, request as requestOf } from "node:http";
import { after, before, test } from "node:test";

import { Mobile } from "../../src/index.js";
import { listening } from "../net_support.js";
import { assertClose, copyOf, rewrite } from "../support.js";

/** @typedef {import("../../mobile.js").Options} Options */
/** @typedef {import("../../mobile.js").Prediction} Prediction */

const told = JSON.parse(readFileSync(String(process.env.DIMEC_SERVED), "utf-8"));
/** @type {{tiers: Record<string, string>, token: string, inputs: any[]}} */
const { tiers, token, inputs } = told;
const sent = inputs.filter(({ answer }) => {
  return answer.path.some((/** @type {{tier: string}} */ stay) => stay.tier !== told.device);
});
/** @type {Options} */
const reached = { tiers, token, timeout: 60 };
/** @type {Mobile} */
let mobile;

before(async () => {
  mobile = await Mobile.open(told.bundle, reached);
  assert.ok(sent.length > 1);
});
after(() => mobile.close());

test(`${inputs.length} answers are Python's`, async () => {
  for (const { text, answer: expected } of inputs) {
    const { probabilities, calls, ...answer } = await mobile.predict(text);
    const where = String(text).slice(0, 80);
    const names = ["label", "route", "answeredBy", "fallbackReason", "path", "tried", "cost"];
    const got = Object.fromEntries(
      names.map((name) => [name, answer[/** @type {"cost"} */ (name)]]),
    );
    const { probabilities: said, ...same } = expected;
    assert.deepEqual(got, same, where);
    assertClose(Object.values(probabilities), said, where);
    const asked = answer.path.map((stay) => stay.tier).filter((tier) => tier !== told.device);
    assert.deepEqual(
      calls.map((call) => call.tier),
      asked,
    );
    for (const call of calls) {
      assert.deepEqual([call.reason, call.detail, call.tries], [null, null, 1]);
      assert.ok(call.sentBytes > 100 && call.receivedBytes > 100 && call.milliseconds > 0);
    }
  }
  const closed = Object.keys(tiers).map((tier) => [tier, "closed"]);
  assert.deepEqual(mobile.circuits(), Object.fromEntries(closed));
});

test("a wrong token, or none, is told as such, and another tier answers", async () => {
  const wrong = Object.fromEntries(Object.keys(tiers).map((tier) => [tier, "another"]));
  for (const given of ["another", null, wrong]) {
    const answer = await once({ ...reached, token: given }, sent[0].text);
    assert.match(String(answer.fallbackReason), /: refused/);
    assert.equal(answer.answeredBy, told.device);
    const refused = answer.calls.filter((call) => /^HTTP 401: .*token/.test(call.detail ?? ""));
    assert.deepEqual(
      refused.map((call) => call.tier),
      answer.tried,
    );
  }
  const each = Object.fromEntries(Object.keys(tiers).map((tier) => [tier, token]));
  const answer = await once({ ...reached, token: each }, sent[0].text);
  assert.equal(answer.fallbackReason, null);
});

/**
 * One answer of a mobile of its own.
 *
 * @param {Options} options
 * @param {any} text
 * @param {string} [bundle]
 * @returns {Promise<Prediction>}
 */
async function once(options, text, bundle = told.bundle) {
  const own = await Mobile.open(bundle, options);
  try {
    return await own.predict(text);
  } finally {
    await own.close();
  }
}

test("another version of the model than the bundle's is refused", async (context) => {
  const bundle = copyOf(context, told.bundle);
  rewrite(bundle, "manifest.json", (manifest) => {
    const other = manifest.tiers.map((/** @type {any} */ tier) => ({ ...tier, version: "7" }));
    return { ...manifest, tiers: other };
  });
  const answer = await once(reached, sent[0].text, bundle);
  assert.match(String(answer.fallbackReason), /: wrong version/);
  assert.equal(answer.answeredBy, told.device);
});

test("a bit that is altered on its way, there or back, is found and asked again", async (context) => {
  for (const way of ["there", "back"]) {
    let times = 0;
    const first = await proxied(context, way, () => (times += 1) % 2 === 1);
    const answer = await once({ ...reached, tiers: first }, sent[0].text);
    assert.equal(answer.fallbackReason, null, way);
    assert.ok(
      answer.calls.every((call) => call.tries === 2),
      way,
    );
    assertClose(Object.values(answer.probabilities), sent[0].answer.probabilities, way);
    const always = await proxied(context, way, () => true);
    const lost = await once({ ...reached, tiers: always }, sent[0].text);
    assert.match(String(lost.fallbackReason), /: broken answer/, way);
    assert.equal(lost.answeredBy, told.device);
  }
});

/**
 * Addresses of proxies before the tiers, which alter one bit of what passes.
 *
 * @param {import("node:test").TestContext} context
 * @param {string} way "there" or "back"
 * @param {() => boolean} alters asked once a request
 */
async function proxied(context, way, alters) {
  /** @type {[string, string][]} */
  const found = [];
  for (const [tier, url] of Object.entries(tiers)) {
    const server = createServer(async (request, response) => {
      const alter = alters();
      /** @type {(stream: AsyncIterable<Buffer>, here: boolean) => Promise<Buffer>} */
      const through = async (stream, here) => {
        const parts = [];
        for await (const part of stream) parts.push(part);
        const whole = Buffer.concat(parts);
        if (here && alter) whole[whole.length - 2] ^= 1;
        return whole;
      };
      const body = await through(request, way === "there");
      const { headers, method } = request;
      const next = requestOf(new URL(String(request.url), url), { method, headers });
      next.on("response", async (answer) => {
        const content = await through(answer, way === "back");
        response.writeHead(Number(answer.statusCode), answer.headers).end(content);
      });
      next.end(body);
    });
    found.push([tier, await listening(context, server)]);
  }
  return Object.fromEntries(found);
}

test("a link that is cut has the next best tier answer, until it is whole", async () => {
  const [{ text, answer: expected }] = sent;
  for (const tier of Object.keys(tiers)) mobile.link(tier, { cut: true });
  const cut = await mobile.predict(text);
  assert.equal(cut.answeredBy, told.device);
  assert.match(String(cut.fallbackReason), /: unreachable/);
  for (const tier of Object.keys(tiers)) mobile.link(tier, null);
  assert.equal((await mobile.predict(text)).answeredBy, expected.answeredBy);
  assert.throws(() => mobile.link(told.device, null), /no address of/);
});

test("servers that are killed in mid-stream: every input has one answer", async () => {
  const answers = [];
  const many = [...sent, ...sent, ...sent].map((input) => input.text);
  for (const [k, text] of many.entries()) {
    if (k === sent.length) for (const pid of told.pids) process.kill(pid, "SIGKILL");
    answers.push(await mobile.predict(text));
  }
  const [whole, broken] = [answers.slice(0, sent.length), answers.slice(sent.length)];
  assert.ok(whole.every((answer) => answer.fallbackReason === null));
  for (const answer of broken) {
    assert.match(String(answer.fallbackReason), /: (unreachable|broken answer|circuit open)/);
    assert.equal(answer.answeredBy, told.device);
  }
  const known = Object.keys(mobile.circuits());
  assert.deepEqual(known, Object.keys(tiers));
  const failed = broken.flatMap((answer) => answer.calls).map((call) => call.reason);
  assert.ok(failed.includes("unreachable"), String(failed));
});
