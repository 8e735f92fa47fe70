/** Opening a mobile: how far its files are, and that nothing is left open where it fails. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { mock, test } from "node:test";

import { ConfigError, CorruptArtefactError, DimecError, Mobile } from "../src/index.js";
import { FolderLoader } from "../src/folder_loader.js";
import { Reach } from "../src/net/reach.js";
import { openInWorker } from "../src/remote.js";
import { MemoryStore } from "../src/state/store.js";
import { ort } from "../src/vendor.js";
import { bundleOf, copyOf, rewrite } from "./support.js";

/** @typedef {import("../mobile.js").Options} Options */
/** @typedef {import("../mobile.js").Progress} Progress */

const { folder, golden } = bundleOf("dimec");
const [{ text }] = golden.inputs;
/** @type {Record<string, {bytes: number, sha256: string}>} */
const files = JSON.parse(readFileSync(path.join(folder, "mobile/manifest.json"), "utf-8")).files;
const total = Object.values(files).reduce((sum, file) => sum + file.bytes, 0);

/** A store that says whether it was closed, and may refuse. */
class WatchedStore extends MemoryStore {
  closed = 0;
  /** @type {"" | "load" | "transact" | "close"} */
  refuses = "";

  async load() {
    if (this.refuses === "load") throw new RangeError("of the store's own");
    return super.load();
  }

  /** @type {MemoryStore["transact"]} */
  async transact(work) {
    if (this.refuses === "transact") throw new RangeError("of the store's own");
    return super.transact(work);
  }

  async close() {
    this.closed += 1;
    await super.close();
    if (this.refuses === "close") throw new RangeError("of the store's own");
  }
}

/** @param {string} name @param {(told: any) => any} change */
function edited(name, change) {
  return (/** @type {string} */ bundle) => rewrite(bundle, name, change);
}

/**
 * Another content of a file, of which the manifest vouches.
 *
 * @param {string} name
 * @param {string} [other] the file whose content it has, then; by default it is no graph at all
 */
function garbled(name, other) {
  return (/** @type {string} */ bundle) => {
    const content = other
      ? readFileSync(path.join(bundle, "mobile", other))
      : Buffer.from("no graph");
    writeFileSync(path.join(bundle, "mobile", name), content);
    rewrite(bundle, "manifest.json", (manifest) => {
      const sha256 = createHash("sha256").update(content).digest("hex");
      const record = { bytes: content.length, sha256 };
      return { ...manifest, files: { ...manifest.files, [name]: record } };
    });
  };
}

/** @param {any} policy that never learns, then */
function tier(policy) {
  return { ...policy, kind: "tier", arrays: [], settings: { tier: 1 } };
}

/** @param {any} policy with half a promise, then */
function promising(policy) {
  return { ...policy, fitted_on: { ...policy.fitted_on, contract: { max_cost: 1 } } };
}

const last = Object.keys(files)
  .filter((name) => /^layers-\d+\.onnx$/.test(name))
  .sort()
  .at(-1);

/**
 * @typedef {object} Failing
 * @property {any} [options]
 * @property {(bundle: string) => void} [damage]
 * @property {WatchedStore["refuses"]} [refuses]
 * @property {boolean} [opens] whether it comes as far as the store
 * @property {number} [graphs] that are loaded before it fails
 */

const another = { audit: 0.5, auditBound: 3 };
const graphs = Object.keys(files).filter((name) => name.endsWith(".onnx")).length;
/** @type {Record<string, Failing>} */
const failures = {
  "the policy": { options: { adaptive: true }, damage: edited("policy.json", tier) },
  "the promise": { damage: edited("policy.json", promising) },
  "the audit that is wanted": { options: { audit: 2 } },
  "the state's name": { options: { state: "" } },
  "the state's store": { refuses: "load", opens: true },
  "the audit that is begun": {
    options: { ...another, auditReset: true },
    refuses: "transact",
    opens: true,
  },
  "the audit's bounds": { options: another, opens: true },
  "the first graph": { damage: garbled("embed.onnx"), opens: true },
  "the last graph": { damage: garbled(String(last)), opens: true, graphs: graphs - 1 },
  "what the graphs give": { damage: garbled(String(last), "embed.onnx"), opens: true, graphs },
  "closing what was opened": {
    damage: garbled(String(last)),
    refuses: "close",
    opens: true,
    graphs: graphs - 1,
  },
};

for (const [what, failing] of Object.entries(failures)) {
  const { options = {}, damage, refuses = "", opens = false, graphs: loaded = 0 } = failing;
  test(`nothing is left open where it fails at ${what}`, async (context) => {
    const bundle = copyOf(context, folder);
    const store = new WatchedStore();
    if (options.auditBound) {
      // Begun with another bound.
      const before = await Mobile.open(folder, { state: store, audit: 1, auditBound: 7 });
      await before.predict(text); // what is not answered is not stored
      await before.close();
      store.closed = 0;
    }
    damage?.(bundle);
    store.refuses = refuses;
    const reach = mock.method(Reach.prototype, "close");
    const create = /** @type {any} */ (ort.InferenceSession.create).bind(ort.InferenceSession);
    /** @type {import("node:test").Mock<any>[]} */
    const released = [];
    mock.method(ort.InferenceSession, "create", async (/** @type {any[]} */ ...values) => {
      const session = await create(...values);
      released.push(mock.method(session, "release"));
      return session;
    });
    context.after(() => mock.restoreAll());
    await assert.rejects(Mobile.open(bundle, { state: store, ...options }), (error) => {
      assert.ok(error instanceof DimecError || /store's own/.test(String(error)), String(error));
      return true;
    });
    assert.equal(reach.mock.callCount(), 1);
    assert.equal(store.closed, Number(opens));
    assert.equal(store.open, false);
    assert.equal(released.length, loaded);
    assert.ok(released.every((one) => one.mock.callCount() === 1));
  });
}

/** @param {import("../mobile.js").Loader | string} place @param {Options} [options] */
async function progressOf(place, options) {
  /** @type {Progress[]} */
  const told = [];
  const onProgress = (/** @type {Progress} */ one) => void told.push(one);
  const mobile = await Mobile.open(place, { ...options, onProgress });
  const { bytes } = await mobile.info();
  await mobile.close();
  assert.equal(bytes, total);
  return told;
}

/** @param {readonly Progress[]} told */
function isWhole(told) {
  const names = Object.keys(files);
  const end = { loaded: total, total, done: names.length, files: names.length };
  const { file, ...rest } = told[told.length - 1];
  assert.deepEqual(rest, end);
  assert.ok(told.every((one) => one.total === total && names.includes(one.file)));
  for (const [k, one] of told.slice(1).entries()) {
    assert.ok(one.loaded >= told[k].loaded && one.done >= told[k].done, JSON.stringify(one));
  }
  assert.deepEqual(
    [
      ...new Set(told.filter((one, k) => one.done > (told[k - 1]?.done ?? 0)).map((o) => o.file)),
    ].sort(),
    names.sort(),
  );
}

test("how far the files are is told, over HTTP in parts, and from whatever loader", async (context) => {
  const server = createServer((request, response) => {
    const { pathname } = new URL(String(request.url), "http://x");
    response.end(readFileSync(path.join(folder, pathname)));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  context.after(() => server.close());
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const fetched = await progressOf(`http://127.0.0.1:${port}/`);
  isWhole(fetched);
  assert.ok(fetched.some(({ loaded, done }) => loaded > 0 && done === 0));
  assert.ok(fetched.length <= 101 + Object.keys(files).length, `${fetched.length}`);
  const inFolder = await progressOf(folder);
  isWhole(inFolder);
  assert.equal(inFolder.length, Object.keys(files).length);
  // A loader that says nothing of what comes.
  const own = new FolderLoader(path.join(folder, "mobile"));
  isWhole(
    await progressOf({
      place: "mine",
      read: (name, most) => own.read(name, most),
      inside: () => own,
    }),
  );
});

test("what is told ends where a file fails, and what it throws ends the opening", async (context) => {
  const bundle = copyOf(context, folder);
  const file = path.join(bundle, "mobile", "policy.json");
  writeFileSync(file, readFileSync(file).subarray(1));
  /** @type {Progress[]} */
  const told = [];
  const onProgress = (/** @type {Progress} */ one) => void told.push(one);
  await assert.rejects(Mobile.open(bundle, { onProgress }), CorruptArtefactError);
  const { length } = told;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(told.length, length);
  assert.ok(told.every(({ loaded }) => loaded < total));
  const own = () => {
    throw new RangeError("of the caller's own");
  };
  await assert.rejects(Mobile.open(folder, { onProgress: own }), RangeError);
  const none = /** @type {any} */ ({ onProgress: 7 });
  await assert.rejects(Mobile.open(folder, none), /onProgress must be a function, got 7/);
});

test("an address that is none is a ConfigError in a worker too", async (context) => {
  const world = /** @type {any} */ (globalThis);
  let started = 0;
  world.Worker = class {
    constructor() {
      started += 1;
    }
  };
  context.after(() => delete world.Worker);
  await assert.rejects(openInWorker("http://["), (error) => {
    assert.ok(error instanceof ConfigError, String(error));
    assert.match(error.message, /^expected the address of a bundle, got http:\/\/\[$/);
    return true;
  });
  assert.equal(started, 0);
});
