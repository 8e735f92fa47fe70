/** The mobile as its users have it: whom it asks, what it refuses, and where bundles come from. */

import assert from "node:assert/strict";
import { readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import * as api from "../src/index.js";
import { WebLoader } from "../src/loader.js";
import { assertClose, bundleOf, copyOf, rewrite } from "./support.js";

const { ConfigError, CorruptArtefactError, DataError, MissingArtefactError, Mobile, TierError } =
  api;
const router = bundleOf("dimec");
const sendPrice = 3; // o_c, the paper's

/** Inputs whose first step is to the tier of this name, and clearly so.
 * @param {any} golden
 * @param {string} tier */
function inputsTo(golden, tier) {
  const found = golden.inputs.filter((/** @type {any} */ input) => {
    return input.alone.clear && input.alone.first.tier === tier;
  });
  assert.ok(found.length, `no input goes to ${tier}`);
  return found;
}

/** What an exit says of an input.
 * @param {any} input
 * @param {string} tier
 * @param {number} layer
 * @returns {number[]} */
function saidAt(input, tier, layer) {
  return input.exits.find((/** @type {any} */ exit) => {
    return exit.tier === tier && exit.layer === layer;
  }).probabilities;
}

test("a tier without an address is passed over, and the answer says so", async () => {
  const mobile = await Mobile.open(router.folder);
  for (const input of inputsTo(router.golden, "cloud")) {
    const answer = await mobile.predict(input.text);
    assert.deepEqual([answer.route, answer.answeredBy], ["cloud", "mobile"]);
    assert.equal(answer.fallbackReason, "cloud: not configured");
    assert.deepEqual(answer.tried, ["cloud"]);
    assert.deepEqual(answer.path, [{ tier: "mobile", start: 0, stop: 2, payload: null }]);
    assert.equal(answer.cost, 3); // λ_m·2: nothing was sent
    const [{ milliseconds, ...call }] = answer.calls;
    assert.ok(milliseconds >= 0 && answer.calls.length === 1);
    const [reason, detail] = ["not configured", "no address was given"];
    assert.deepEqual(call, {
      tier: "cloud",
      tries: 0,
      sentBytes: 0,
      receivedBytes: 0,
      reason,
      detail,
    });
    assertClose(Object.values(answer.probabilities), saidAt(input, "mobile", 2), input.of);
  }
  await mobile.close();
});

test("where a tier fails behind an exit that has spoken, that exit answers", async () => {
  const { folder, golden } = bundleOf("max-softmax-tiers");
  const infer = async () => {
    throw new TierError("cloud", "timeout", "no answer within 1 s", true);
  };
  const mobile = await Mobile.open(folder, { clients: { cloud: { infer } } });
  const asked = golden.inputs.filter((/** @type {any} */ { alone }) => {
    return alone.clear && alone.seen.length > 1 && alone.seen.at(-1)[0] === "cloud";
  });
  assert.ok(asked.length);
  for (const input of asked) {
    const [[tier, layer]] = input.alone.seen.slice(-2);
    const answer = await mobile.predict(input.text);
    assert.equal(answer.fallbackReason, "cloud: timeout");
    assert.equal(answer.answeredBy, tier);
    assertClose(Object.values(answer.probabilities), saidAt(input, tier, layer), input.of);
    assert.equal(answer.cost, 1.5 * layer + sendPrice);
  }
  await mobile.close();
});

test("an answer that is none is a failure, and a client's own error is its own", async () => {
  const [input] = inputsTo(router.golden, "cloud");
  for (const said of [[1], [NaN, 1]]) {
    const infer = async () => Float32Array.from(said);
    const mobile = await Mobile.open(router.folder, { clients: { cloud: { infer } } });
    const answer = await mobile.predict(input.text);
    assert.equal(answer.fallbackReason, "cloud: broken answer");
    assert.equal(answer.cost, 3 + sendPrice);
    await mobile.close();
  }
  const infer = async () => {
    throw new RangeError("of the client's own");
  };
  const mobile = await Mobile.open(router.folder, { clients: { cloud: { infer } } });
  await assert.rejects(mobile.predict(input.text), RangeError);
  await mobile.close();
});

test("texts that are asked at once learn in the order of asking", async () => {
  const { folder, golden } = bundleOf("dimec-adaptive-paper");
  const [first, second] = [await Mobile.open(folder), await Mobile.open(folder)];
  assert.ok(first.adaptive);
  const texts = golden.inputs.map((/** @type {any} */ input) => input.text);
  const together = await Promise.all(
    texts.map((/** @type {string} */ text) => first.predict(text)),
  );
  const told = (/** @type {import("../mobile.js").Prediction} */ one) => [one.route, one.distances];
  for (const [k, text] of texts.entries()) {
    assert.deepEqual(told(await second.predict(text)), told(together[k]), text);
  }
  await Promise.all([first.close(), second.close()]);
});

test("a bundle is the same over HTTP, by its own folder, and by a file's URL", async (context) => {
  const base = await served(context, router.folder);
  const places = [base, `${base}/mobile/`, path.join(router.folder, "mobile")];
  const [{ text }] = router.golden.inputs;
  const answers = [];
  for (const place of [...places, pathToFileURL(router.folder), new WebLoader(new URL(base))]) {
    const mobile = await Mobile.open(place);
    const { milliseconds, parts, calls, ...answer } = await mobile.predict(text, { id: "one" });
    assert.ok(parts.embed > 0);
    assert.ok(milliseconds > 0);
    answers.push({ ...answer, asked: calls.map((call) => [call.tier, call.reason, call.tries]) });
    await mobile.close();
  }
  for (const answer of answers) assert.deepEqual(answer, answers[0]);
  await assert.rejects(Mobile.open(`${base}/nowhere`), MissingArtefactError);
  await assert.rejects(Mobile.open("http://127.0.0.1:1/"), MissingArtefactError);
  await assert.rejects(
    new WebLoader(new URL(base)).read("manifest.json", 10),
    CorruptArtefactError,
  );
});

test("a file that was altered, cut short, left out or linked is refused", async (context) => {
  const { files } = JSON.parse(
    readFileSync(path.join(router.folder, "mobile/manifest.json"), "utf-8"),
  );
  for (const name of Object.keys(files)) {
    const bundle = copyOf(context, router.folder);
    const file = path.join(bundle, "mobile", name);
    const content = readFileSync(file);
    content[content.length >> 1] ^= 1;
    writeFileSync(file, content);
    await assert.rejects(Mobile.open(bundle), refusal(CorruptArtefactError, name));
    writeFileSync(file, content.subarray(1));
    await assert.rejects(Mobile.open(bundle), refusal(CorruptArtefactError, name));
    rmSync(file);
    await assert.rejects(Mobile.open(bundle), refusal(MissingArtefactError, name));
    symlinkSync(path.join(router.folder, "mobile", name), file);
    await assert.rejects(Mobile.open(bundle), refusal(CorruptArtefactError, name));
  }
});

test("a manifest that is none, or another tier's, is refused", async (context) => {
  await assert.rejects(Mobile.open(path.join(router.folder, "cloud")), /of the cloud tier/);
  /** @type {[object, RegExp][]} */
  const changes = [
    [{ format: 3 }, /format 3, expected 4/],
    [{ segments: [2, 1] }, /segments/],
    [{ labels: ["a", "a"] }, /two are the same/],
    [{ files: { "../x": { sha256: "0".repeat(64), bytes: 1 } } }, /no plain name/],
    [{ width: 7 }, /do not do what its manifest says|does not go with this bundle/],
    [{ max_tokens: 1e9 }, /max_tokens/],
  ];
  for (const [change, problem] of changes) {
    const bundle = copyOf(context, router.folder);
    rewrite(bundle, "manifest.json", (manifest) => ({ ...manifest, ...change }));
    await assert.rejects(Mobile.open(bundle), refusal(CorruptArtefactError, problem));
  }
  const bundle = copyOf(context, router.folder);
  writeFileSync(path.join(bundle, "manifest.json"), "{");
  await assert.rejects(Mobile.open(bundle), refusal(CorruptArtefactError, /no JSON/));
});

test("a policy that cannot be run on these tiers is refused", async (context) => {
  /** @type {[object, RegExp][]} */
  const changes = [
    [{ kind: "adaee", settings: {} }, /of the kind adaee, which cannot be run here/],
    [{ kind: "tier", settings: { tier: 7 } }, /does not go with this bundle/],
    [
      { kind: "deebert", settings: { threshold: 0.1 } },
      /looks at the exit of layer 1 on the cloud/,
    ],
    [{ kind: "lee", settings: { c: 1, weight: 1, mu: 0 } }, /layer 4 on the mobile/],
    [
      {
        kind: "exit-thresholds",
        settings: {
          way: [
            [0, 9],
            [1, 4],
          ],
        },
      },
      /other exits or tiers/,
    ],
    [{ format: 2 }, /format 2/],
  ];
  for (const [change, problem] of changes) {
    const bundle = copyOf(context, router.folder);
    rewrite(bundle, "policy.json", (policy) => ({ ...policy, arrays: [], ...change }));
    await assert.rejects(Mobile.open(bundle), refusal(api.DimecError, problem));
  }
  const bundle = copyOf(context, router.folder);
  rewrite(bundle, "policy.json", (policy) => {
    return { ...policy, fitted_on: { ...policy.fitted_on, model: "another" } };
  });
  await assert.rejects(Mobile.open(bundle), refusal(api.MismatchError, /another model/));
});

test("a device that has lost its segment or its tokenizer says which", async (context) => {
  const bundle = copyOf(context, router.folder);
  const device = path.join(bundle, "mobile");
  renameSync(path.join(device, "layers-1.onnx"), path.join(device, "layers-1.onnx.away"));
  await assert.rejects(Mobile.open(bundle), refusal(MissingArtefactError, "layers-1.onnx"));
  const other = copyOf(context, router.folder);
  rewrite(other, "tokenizer.json", (told) => ({ ...told, model: { type: "WordLevel" } }));
  await assert.rejects(Mobile.open(other), refusal(CorruptArtefactError, "tokenizer.json"));
});

test("options that there are not, or that cannot be, are refused", async () => {
  /** @type {[any, RegExp][]} */
  const wrong = [
    [
      { urls: { cloud: "http://x" } },
      /no option urls; there are adaptive, audit, .* clients, fallback/,
    ],
    [{ fallback: "luck" }, /fallback must be one of accuracy, cost/],
    [{ clients: { mobile: { infer() {} } } }, /with a server are cloud/],
    [{ tiers: { edge: "http://x" } }, /address was given for edge; .*with a server are cloud/],
    [{ tiers: { cloud: "x" } }, /cloud: expected an address such as/],
    [{ tiers: { cloud: "http://x" }, clients: { cloud: { infer() {} } } }, /address and a client/],
    [{ tiers: { cloud: "http://x" }, token: "secret" }, /would travel unencrypted to x/],
    [{ tiers: { cloud: "http://x" }, timeout: 0 }, /timeout above 0/],
    [{ token: { edge: "secret" } }, /a token was given for edge/],
    [{ links: { cloud: {} } }, /a link was given for cloud; .*given an address are none/],
    [
      { tiers: { cloud: "http://x" }, links: { cloud: { up: 0 } } },
      /link to cloud: up cannot be 0/,
    ],
    [{ tiers: ["http://x"] }, /address was given for 0/],
    [{ tiers: "http://x" }, /expected an address of each tier by its name/],
    [{ clients: { cloud: {} } }, /has no function infer/],
  ];
  for (const [options, problem] of wrong) {
    await assert.rejects(Mobile.open(router.folder, options), refusal(ConfigError, problem));
  }
  const { folder } = bundleOf("bert-cloud");
  const learning = Mobile.open(folder, { adaptive: true });
  await assert.rejects(learning, refusal(ConfigError, /nothing to learn/));
});

test("what is no text for the task is refused, and nothing after the end is answered", async () => {
  const mobile = await Mobile.open(router.folder);
  for (const wrong of [["a", "b"], 7, null, undefined, "half \ud83d of a pair"]) {
    const text = /** @type {any} */ (wrong);
    await assert.rejects(mobile.predict(text), DataError);
    await assert.rejects(mobile.decide(text), DataError);
  }
  assert.equal(
    (await mobile.predict("\u{1f600}")).route,
    (await mobile.decide("\u{1f600}")).tierName,
  );
  await mobile.close();
  await mobile.close();
  await assert.rejects(mobile.predict("a film"), refusal(ConfigError, /closed/));
});

test("what is declared is there, and what is there is declared", () => {
  const told = readFileSync(new URL("../mobile.d.ts", import.meta.url), "utf-8");
  const names = [...told.matchAll(/^export (?:class|const) (\w+)/gm)].map((match) => match[1]);
  assert.deepEqual(names.sort(), Object.keys(api).sort());
  const [, body] = /export class Mobile \{(.*?)^\}/ms.exec(told) ?? [];
  const members = [...body.matchAll(/^ {2}(?:get |static )?(\w+)\(/gm)].map((match) => match[1]);
  const own = [...Object.getOwnPropertyNames(Mobile.prototype), "open"];
  assert.deepEqual(
    members.filter((name) => name !== "constructor").sort(),
    own.filter((name) => name !== "constructor").sort(),
  );
});

/**
 * Whether an error is of a class, and its message names something.
 *
 * @param {new (...args: any[]) => Error} kind
 * @param {RegExp | string} problem
 */
function refusal(kind, problem) {
  return (/** @type {unknown} */ error) => {
    assert.ok(error instanceof kind, String(error));
    const { message } = /** @type {Error} */ (error);
    assert.ok(
      typeof problem === "string" ? message.includes(problem) : problem.test(message),
      message,
    );
    assert.ok(!message.includes("\n"), message);
    return true;
  };
}

/**
 * A folder behind a real socket; its base URL.
 *
 * @param {import("node:test").TestContext} context
 * @param {string} folder
 */
async function served(context, folder) {
  const server = createServer((request, response) => {
    try {
      response.end(
        readFileSync(path.join(folder, new URL(String(request.url), "http://x").pathname)),
      );
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  context.after(() => server.close());
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return `http://127.0.0.1:${port}`;
}
