/** Messages, digests, verdicts and the circuit breaker against what Python's say of random cases. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { sha256 } from "../src/hashing.js";
import { CircuitBreaker } from "../src/net/breaker.js";
import { decodeResponse } from "../src/net/decoding.js";
import { digestMatches, statesDigest } from "../src/net/digests.js";
import { encodeRequest } from "../src/net/encoding.js";
import { endpointOf } from "../src/net/endpoint.js";
import { Failure, pauseBefore, ProtocolError } from "../src/net/errors.js";
import { judge, retryAfter, wireId } from "../src/net/judging.js";
import { utf8Of } from "../src/net/texts.js";
import { ConfigError } from "../src/errors.js";
import { casesOf } from "./support.js";

const cases = casesOf("net.json");

/** @param {string} base64 */
function bytesIn(base64) {
  return Uint8Array.from(Buffer.from(base64, "base64"));
}

test(`the bytes of ${cases.requests.length} requests are Python's`, async () => {
  for (const { inputs, id, timeout, binary, headers, body } of cases.requests) {
    const given = inputs.map((/** @type {any} */ [name, datatype, shape, values]) => {
      const told = datatype === "BYTES" ? values.map(bytesIn) : BigInt64Array.from(values, BigInt);
      return [name, { datatype, shape, values: told }];
    });
    const asked = { inputs: Object.fromEntries(given), id, outputs: ["probabilities"], timeout };
    const message = await encodeRequest(asked, binary);
    assert.deepEqual(message.headers, headers);
    assert.equal(Buffer.from(message.body).toString("base64"), body);
  }
});

test(`${cases.responses.length} responses, whole and altered, are read as in Python`, () => {
  for (const { body, length, said } of cases.responses) {
    const bytes = bytesIn(body);
    const where = `${length}: ${Buffer.from(bytes).toString("latin1")}`;
    if (said === null) {
      assert.throws(() => decodeResponse(bytes, length), ProtocolError, where);
      continue;
    }
    const { outputs, ...names } = decodeResponse(bytes, length);
    const told = [...outputs].map(([name, { datatype, shape, values }]) => {
      return [name, datatype, shape, Array.from(values, (one) => plainOf(one, datatype))];
    });
    assert.deepEqual({ ...names, outputs: told }, said, where);
  }
});

/**
 * @param {any} value
 * @param {string} datatype
 */
function plainOf(value, datatype) {
  if (datatype === "BYTES") return Buffer.from(value).toString("base64");
  const number = datatype === "FP32" ? Math.fround(value) : Number(value);
  return Number.isFinite(number) ? number : null;
}

test(`${cases.judged.length} replies are judged as in Python`, async () => {
  const endpoint = endpointOf({ tier: "edge", url: "http://x:1", version: "41", classes: 3 });
  const question = { endpoint, inputs: {}, id: "an id", traceparent: null, rows: 1 };
  for (const { status, headers, body, required, ...expected } of cases.judged) {
    const content = bytesIn(body);
    const reply = { status, headers: new Headers(headers), body: content, sent: 0, received: 0 };
    const where = `${status} ${JSON.stringify(headers)} ${Buffer.from(content)}`;
    try {
      const probabilities = Array.from(await judge(question, reply, required));
      assert.deepEqual({ probabilities }, expected, where);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const { after, counts, notUnderstood, reason, retry, sent } = error;
      const failure = { after, counts, notUnderstood, reason, retry, sent };
      assert.deepEqual({ failure }, expected, `${where}: ${error.detail}`);
    }
  }
});

test("Content-Digest is read, and ids are made fit, as in Python", async () => {
  for (const { value, body, matches, states } of cases.digests) {
    assert.equal(await digestMatches(value, bytesIn(body)), matches, value);
    assert.equal(statesDigest(value), states, value);
  }
  for (const { id, wire } of cases.ids) assert.equal(await wireId(id), wire);
});

test("long texts are cut where Python cuts them", async () => {
  for (const { unit, count, bytes, sha256: expected } of cases.texts) {
    const [sent] = utf8Of(unit.repeat(count));
    assert.equal(sent.length, bytes, `${count} × ${unit}`);
    assert.equal(await sha256(Uint8Array.from(sent)), expected, `${count} × ${unit}`);
  }
  assert.deepEqual(
    utf8Of(["a", "é"]).map((part) => [...part]),
    [[97], [0xc3, 0xa9]],
  );
});

test("the pause before another attempt is Python's", () => {
  for (const { attempts, after, chance, pause } of cases.pauses) {
    assert.ok(Math.abs(pauseBefore(attempts, { after }, chance) - pause) < 1e-12);
  }
});

test("Retry-After is seconds or a date of HTTP's, and nothing else", () => {
  const soon = new Date(Date.now() + 60_000).toUTCString();
  const wait = Number(retryAfter(soon));
  assert.ok(wait > 50 && wait <= 60, soon);
  assert.equal(retryAfter("Wed, 21 Oct 2015 07:28:00 GMT"), 0);
  assert.equal(retryAfter("120"), 120);
  for (const value of [null, "", "-5", "1e3", "soon", "Wed, 99 Oct 2015 07:28:00 GMT"]) {
    assert.equal(retryAfter(value), null, String(value));
  }
});

test(`the circuit breaker does as Python's in ${cases.breakers.length} courses`, () => {
  for (const { failures, cooldown, events } of cases.breakers) {
    let now = 100;
    const breaker = new CircuitBreaker(failures, cooldown, () => now);
    /** @type {import("../src/net/breaker.js").Permit[]} */
    const held = [];
    for (const [k, { what, seconds, probe, which, state }] of events.entries()) {
      if (what === "wait") now += seconds;
      else if (what === "acquire") {
        const permit = breaker.acquire();
        assert.equal(permit && permit.probe, probe, `event ${k}`);
        if (permit) held.push(permit);
      } else breaker[/** @type {"fail"} */ (what)](held.splice(which, 1)[0]);
      assert.equal(breaker.state, state, `event ${k}: ${what}`);
    }
  }
  for (const [failures, cooldown] of [
    [0, 1],
    [1, 0],
    [1, NaN],
  ]) {
    assert.throws(() => new CircuitBreaker(failures, cooldown), ConfigError);
  }
});

test("addresses, tokens and times that cannot work are refused", () => {
  const sound = { tier: "edge", url: "http://127.0.0.1:8001/", version: "41", classes: 2 };
  assert.equal(endpointOf(sound).model, "http://127.0.0.1:8001/v2/models/edge/versions/41");
  for (const host of ["localhost", "127.8.9.1", "[::1]"]) {
    const { headers } = endpointOf({ ...sound, url: `http://${host}:8001`, token: "secret" });
    assert.deepEqual(headers, { Authorization: "Bearer secret" });
  }
  for (const more of [{ url: "https://edge.example" }, { insecure: true }]) {
    endpointOf({ ...sound, url: "http://edge.example", token: "secret", ...more });
  }
  /** @type {[object, RegExp][]} */
  const wrong = [
    [{ url: "ftp://127.0.0.1" }, /expected an address such as http/],
    [{ url: "http://" }, /expected an address/],
    [{ url: "http://127.0.0.1:0" }, /expected an address/],
    [{ url: "http://127.0.0.1:8001 " }, /expected an address/],
    [{ url: "http:\\\\127.0.0.1" }, /expected an address/],
    [{ url: "http://a\tb" }, /expected an address/],
    [{ url: 7 }, /expected an address/],
    [{ url: "http://me:secret@127.0.0.1" }, /must not hold a name or password/],
    [{ url: "http://me:secret@" }, /got one with a name or password/],
    [{ url: "http://127.0.0.1/?a=1" }, /must end before/],
    [{ url: "http://127.0.0.1/#a" }, /must end before/],
    [{ token: "", url: "https://x" }, /printable ASCII/],
    [{ token: "a\nb" }, /printable ASCII/],
    [{ token: "secret", url: "http://edge.example" }, /would travel unencrypted to edge.example/],
    [{ token: "secret", url: "http://127.0.0.1.example" }, /would travel unencrypted/],
    [{ timeout: 0 }, /timeout above 0/],
    [{ timeout: NaN }, /timeout above 0/],
    [{ timeout: 3601 }, /timeout above 0/],
    [{ retries: -1 }, /0 retries or more/],
    [{ retries: 0.5 }, /0 retries or more/],
    [{ classes: 0 }, /1 class or more/],
  ];
  for (const [change, problem] of wrong) {
    assert.throws(
      () => endpointOf({ ...sound, ...change }),
      (error) => {
        assert.ok(error instanceof ConfigError, String(error));
        assert.match(error.message, problem);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
  }
});
