/** The client of a tier against servers that are slow, wrong, altered on their way, or not there. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { ConfigError } from "../src/errors.js";
import { CircuitBreaker } from "../src/net/breaker.js";
import { endpointOf } from "../src/net/endpoint.js";
import { TierClient } from "../src/net/tier_client.js";
import { answer, answerTo, ask, inputs, listening, SAID, tier } from "./net_support.js";

/** @typedef {import("./net_support.js").Script} Script */

test("a request says what the protocol wants said, and nothing of the page", async (context) => {
  const { asked, client } = await tier(context, answer, { token: "secret" });
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  for (const trace of [traceparent, "no trace\n"]) {
    const said = await client.infer(inputs, { id: "a-1", traceparent: trace, timeout: 3 });
    assert.deepEqual([...said], SAID);
  }
  const [{ headers, told, url }, other] = asked;
  assert.equal(url, "/v2/models/edge/versions/41/infer");
  assert.equal(headers.authorization, "Bearer secret");
  assert.equal(headers["x-request-id"], "a-1");
  assert.equal(headers.traceparent, traceparent);
  assert.equal(other.headers.traceparent, undefined);
  for (const name of ["cookie", "referer"]) assert.equal(headers[name], undefined);
  assert.equal(told.id, "a-1");
  assert.ok(told.parameters.timeout > 0 && told.parameters.timeout <= 3e6);
  assert.ok(await (await tier(context, (response) => response.end())).client.ready());
  assert.ok(!(await (await tier(context, status(503))).client.ready()));
  client.close();
  await assert.rejects(client.infer(inputs, { id: "a" }), ConfigError);
});

/**
 * @param {number} code
 * @param {string} [body]
 * @param {Record<string, string>} [headers]
 */
function status(code, body = JSON.stringify({ error: "as told" }), headers = {}) {
  /** @type {(response: import("node:http").ServerResponse) => unknown} */
  return (response) => response.writeHead(code, headers).end(body);
}

test("statuses are reasons, and a token that is not taken is told as such", async (context) => {
  /** @type {[number, string, RegExp][]} */
  const cases = [
    [401, "refused", /^HTTP 401: as told$/],
    [403, "refused", /^HTTP 403: as told$/],
    [404, "wrong version", /^HTTP 404/],
    [413, "refused", /^HTTP 413/],
    [418, "refused", /^HTTP 418/],
    [501, "server error", /^HTTP 501/],
    [504, "timeout", /^HTTP 504/],
  ];
  for (const [code, reason, detail] of cases) {
    const { asked, client } = await tier(context, status(code));
    const got = await ask(client);
    assert.deepEqual([got.reason, got.sent, got.tries], [reason, true, asked.length]);
    assert.match(got.detail, detail);
    assert.equal(got.tries, [501].includes(code) ? 2 : 1); // in JSON too, where that may help
    assert.ok(got.sentBytes > 0 && got.receivedBytes > 0);
  }
});

test("a redirect is refused, and not followed", async (context) => {
  const other = await tier(context);
  const { asked, client } = await tier(context, status(307, "", { Location: other.url }));
  const got = await ask(client);
  assert.deepEqual([got.reason, got.tries, asked.length], ["refused", 1, 1]);
  assert.match(got.detail, /sends elsewhere/);
  assert.equal(other.asked.length, 0);
});

test("an overloaded server is asked again, not before it wants to be", async (context) => {
  /** @type {Script} */
  const script = (response, asked, times) => {
    if (times < 3) response.writeHead(503, { "Retry-After": "0" }).end();
    else answer(response, asked);
  };
  const { client } = await tier(context, script);
  const got = await ask(client);
  assert.deepEqual([got.said, got.tries], [SAID, 3]);
  const late = await tier(context, status(429, "", { "Retry-After": "30" }));
  const { reason, tries } = await ask(late.client); // beyond its deadline
  assert.deepEqual([reason, tries], ["overloaded", 1]);
  const never = await tier(context, status(503, "", {}), { retries: 1 });
  assert.deepEqual((await ask(never.client)).tries, 2);
});

test("a server that knows no raw tensors is asked in JSON from then on", async (context) => {
  /** @type {Script} */
  const script = (response, asked) => {
    if (asked.headers["inference-header-content-length"]) status(400)(response);
    else answer(response, asked);
  };
  const { asked, client } = await tier(context, script);
  assert.deepEqual(await ask(client).then((got) => [got.said, got.tries]), [SAID, 2]);
  assert.deepEqual(asked[1].told.inputs[0].data, [5, 7, 9]);
  assert.deepEqual(await ask(client).then((got) => [got.said, got.tries]), [SAID, 1]);
});

test("an answer that is not to what was asked is no answer", async (context) => {
  /** @type {[object, string][]} */
  const cases = [
    [{ model_name: "cloud" }, "broken answer"],
    [{ model_version: "42" }, "wrong version"],
    [{ id: "another" }, "broken answer"],
    [{ outputs: [] }, "broken answer"],
  ];
  for (const [changes, reason] of cases) {
    const { client } = await tier(
      context,
      (response, asked) => {
        const { body, headers } = answerTo(asked, changes);
        response.writeHead(200, headers).end(body);
      },
      { retries: 0 },
    );
    assert.equal((await ask(client)).reason, reason, JSON.stringify(changes));
  }
});

test("a bit that was altered, either way, is noticed and asked again", async (context) => {
  /** @type {((answer: {body: Buffer, headers: Record<string, string>}) => void)[]} */
  const alterations = [
    ({ body }) => (body[body.length - 1] ^= 1),
    ({ body }) => (body[0] ^= 1),
    ({ headers }) => (headers["Content-Digest"] = headers["X-Request-Digest"]),
    ({ headers }) => (headers["X-Request-Digest"] = headers["Content-Digest"]),
    // A header that is gone, of a server that has sent it before.
    ({ headers }) => delete headers["Content-Digest"],
    ({ headers }) => delete headers["X-Request-Digest"],
  ];
  for (const [k, alter] of alterations.entries()) {
    const { client } = await tier(context, (response, asked, times) => {
      const told = answerTo(asked);
      if (times === 2) alter(told);
      response.writeHead(200, told.headers).end(told.body);
    });
    assert.equal((await ask(client)).tries, 1);
    const { said, tries } = await ask(client);
    assert.deepEqual([said, tries], [SAID, 2], `alteration ${k}`);
  }
});

test("a server that never sends a digest is believed", async (context) => {
  const { client } = await tier(context, (response, asked) => {
    const { body, headers } = answerTo(asked);
    const length = headers["Inference-Header-Content-Length"];
    response.writeHead(200, { "Inference-Header-Content-Length": length }).end(body);
  });
  for (let k = 0; k < 2; k += 1) assert.deepEqual((await ask(client)).said, SAID);
});

test("more bytes than an answer can have are not read", async (context) => {
  /** @type {Script[]} */
  const scripts = [
    (response) => response.writeHead(200, { "Content-Length": 1e6 }).write("{"),
    (response) => {
      const write = () => {
        if (!response.destroyed) response.write(" ".repeat(30_000), write);
      };
      write();
    },
  ];
  for (const script of scripts) {
    const { client } = await tier(context, script, { retries: 0 });
    const { detail, reason } = await ask(client);
    assert.equal(reason, "broken answer");
    assert.match(detail, /longer than 65600 bytes/);
  }
});

test("a deadline holds for all of a call, however slowly bytes drip in", async (context) => {
  const { asked, client } = await tier(context, (response) => {
    response.writeHead(200);
    const drip = setInterval(() => response.write(" "), 5);
    response.on("close", () => clearInterval(drip));
  });
  const dripping = await ask(client, { timeout: 1 });
  assert.deepEqual([dripping.reason, dripping.sent, dripping.tries], ["timeout", true, 1]);
  const silent = await tier(context, () => undefined);
  assert.equal((await ask(silent.client, { timeout: 0.2 })).reason, "timeout");
  assert.equal(asked.length, 1);
  const none = await ask(client, { timeout: 0 });
  assert.deepEqual([none.reason, none.sent, none.tries], ["timeout", false, 0]);
});

test("nobody listens: nothing was sent", async (context) => {
  const server = createServer();
  const url = await listening(context, server);
  server.close();
  await once(server, "close");
  const endpoint = endpointOf({ tier: "edge", url, version: "41", classes: 2, timeout: 20 });
  const client = new TierClient(endpoint);
  const got = await ask(client);
  assert.deepEqual([got.reason, got.sent, got.tries], ["unreachable", false, 3]);
  assert.equal(got.sentBytes, 0);
  assert.equal(await client.ready(), false);
});

test("an answer that is cut off, or is no HTTP, is asked for again", async (context) => {
  /** @type {Script[]} */
  const scripts = [
    (response) => response.socket?.destroy(),
    (response) => response.socket?.end("what?\r\n\r\n"),
    (response) => {
      response.writeHead(200, { "Content-Length": 100 });
      response.write("{", () => response.socket?.end());
    },
  ];
  for (const [k, script] of scripts.entries()) {
    const { client } = await tier(context, (response, asked, times) => {
      (times === 1 ? script : answer)(response, asked, times);
    });
    const { said, tries } = await ask(client);
    assert.deepEqual([said, tries], [SAID, 2], `script ${k}`);
    const always = await tier(context, script, { retries: 0 });
    const { reason, sent } = await ask(always.client);
    assert.ok(["broken answer", "unreachable"].includes(reason), reason);
    assert.equal(sent, true);
  }
});

test("a kept connection that the server drops costs no retry", async (context) => {
  /** @type {Script} */
  const script = (response, asked, times) => {
    if (times === 2) response.socket?.destroy();
    else answer(response, asked);
  };
  const { client } = await tier(context, script, { retries: 0 });
  assert.equal((await ask(client)).tries, 1);
  assert.deepEqual(await ask(client).then((got) => [got.said, got.tries]), [SAID, 2]);
});

test("after five failures in a row it is left alone, and a probe tries once", async (context) => {
  let now = 0;
  let up = false;
  const breaker = new CircuitBreaker(5, 5, () => now);
  /** @type {Script} */
  const script = (response, asked) => (up ? answer : status(503))(response, asked);
  const { asked, client } = await tier(context, script, { breaker, retries: 0 });
  for (let k = 0; k < 5; k += 1) assert.equal((await ask(client)).reason, "overloaded");
  assert.equal(breaker.state, "open");
  const alone = await ask(client);
  assert.deepEqual([alone.reason, alone.sent, alone.tries], ["circuit open", false, 0]);
  assert.equal(asked.length, 5);
  now = 5;
  assert.equal((await ask(client)).reason, "overloaded");
  assert.equal(breaker.state, "open");
  [now, up] = [10, true];
  assert.deepEqual((await ask(client)).said, SAID);
  assert.equal(breaker.state, "closed");
});

test("a request that is refused for what it holds does not count", async (context) => {
  const breaker = new CircuitBreaker(1, 5);
  const refusing = await tier(context, status(413), { breaker });
  assert.equal((await ask(refusing.client)).reason, "refused");
  assert.equal(breaker.state, "closed");
  const closed = await tier(context, status(401), { breaker });
  assert.equal((await ask(closed.client)).reason, "refused");
  assert.equal(breaker.state, "open");
});

test("a link that is cut, slow or narrow is so until it is shaped anew", async (context) => {
  let hold = false;
  /** @type {() => void} */
  let arrived = () => undefined;
  const { asked, client } = await tier(context, (response, told) => {
    if (hold) arrived();
    else answer(response, told);
  });
  client.link.shape({ cut: true });
  const cut = await ask(client);
  assert.deepEqual([cut.reason, cut.sent, cut.tries], ["unreachable", false, 1]);
  client.link.shape({ up: 100 }); // two requests' worth in a minute or so
  assert.equal((await ask(client, { timeout: 0.1 })).reason, "timeout");
  assert.equal(asked.length, 0);
  client.link.shape({ down: 100 });
  assert.equal((await ask(client, { timeout: 2 })).reason, "timeout");
  assert.equal(asked.length, 1);
  client.link.shape({ roundTrip: 40, up: 1e6, down: 1e6 });
  assert.deepEqual((await ask(client)).said, SAID);
  client.link.shape(null);
  hold = true;
  const under = new Promise((resolve) => {
    arrived = () => resolve(null);
  });
  const lost = ask(client);
  await under;
  client.link.shape({ cut: true });
  const { reason, sent, tries } = await lost;
  assert.deepEqual([reason, sent, tries], ["unreachable", true, 1]);
  hold = false;
  client.link.shape(null);
  assert.deepEqual((await ask(client)).said, SAID);
  for (const wrong of [{ up: 0 }, { down: NaN }, { roundTrip: -1 }, { cut: 1 }, { speed: 1 }, 7]) {
    assert.throws(() => client.link.shape(/** @type {any} */ (wrong)), ConfigError);
  }
  assert.deepEqual((await ask(client)).said, SAID); // what was refused has changed nothing
});
