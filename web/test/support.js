/** What tests of bundles share: bundles with golden vectors, and how numbers are compared. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

export const TOLERANCE = 1e-4; // of what a graph in single precision says

/** The folders of all bundles below DIMEC_BUNDLES that have golden vectors. */
export function bundles() {
  const root = process.env.DIMEC_BUNDLES;
  assert.ok(root, "DIMEC_BUNDLES must name a folder of exported bundles");
  const folders = readdirSync(root)
    .sort()
    .map((name) => path.join(root, name));
  const found = folders.filter((folder) => existsSync(path.join(folder, "golden.json")));
  assert.ok(found.length, `${root} has no bundle with a golden.json`);
  return found;
}

/** @param {string} folder of a bundle */
export function goldenOf(folder) {
  const golden = JSON.parse(readFileSync(path.join(folder, "golden.json"), "utf-8"));
  assert.equal(golden.kind, "dimec golden vectors");
  assert.equal(golden.format, 1);
  return golden;
}

/**
 * An input as the mobile takes it.
 *
 * @param {{text: string, pair?: string | null}} input
 * @returns {string | [string, string]}
 */
export function textOf({ text, pair }) {
  return pair === undefined || pair === null ? text : [text, pair];
}

/**
 * @param {ArrayLike<number>} got
 * @param {ArrayLike<number>} expected
 * @param {string} where
 * @param {number} [tolerance]
 */
export function assertClose(got, expected, where, tolerance = TOLERANCE) {
  assert.equal(got.length, expected.length, where);
  for (let k = 0; k < got.length; k += 1) {
    const apart = Math.abs(got[k] - expected[k]);
    assert.ok(apart <= tolerance, `${where}: ${got[k]} at ${k}, expected ${expected[k]}`);
  }
}

/** The paper's prices for exits 2, 3 and 6. @type {import("../src/tiers.js").Tier[]} */
export const paperTiers = [
  ["mobile", 2, 1.5, 0, 0],
  ["edge", 3, 1, 2.5, 0],
  ["cloud", 6, 0, 3, 6],
].map(([name, layer, layerPrice, sendPrice, visitPrice]) => ({
  name: String(name),
  layer: Number(layer),
  layerPrice: Number(layerPrice),
  sendPrice: Number(sendPrice),
  visitPrice: Number(visitPrice),
  source: "",
  version: "1",
  takes: "tokens",
}));

/**
 * A file of cases beside the bundles.
 *
 * @param {string} name
 */
export function casesOf(name) {
  return JSON.parse(readFileSync(path.join(String(process.env.DIMEC_BUNDLES), name), "utf-8"));
}

/**
 * A bundle below DIMEC_BUNDLES, and its golden vectors.
 *
 * @param {string} system
 */
export function bundleOf(system) {
  const folder = path.join(String(process.env.DIMEC_BUNDLES), system);
  return { folder, golden: goldenOf(folder) };
}

/**
 * A copy of a bundle that may be damaged; it is gone after the test.
 *
 * @param {import("node:test").TestContext} context
 * @param {string} folder
 */
export function copyOf(context, folder) {
  const copy = mkdtempSync(path.join(tmpdir(), "dimec-web-"));
  context.after(() => rmSync(copy, { recursive: true }));
  cpSync(folder, copy, { recursive: true });
  return copy;
}

/**
 * Put another content in place of a device's file, of which the manifest then vouches.
 *
 * @param {string} bundle
 * @param {string} name
 * @param {(content: any) => any} change of the file's JSON
 */
export function rewrite(bundle, name, change) {
  const file = path.join(bundle, "mobile", name);
  const told = JSON.stringify(change(JSON.parse(readFileSync(file, "utf-8"))));
  writeFileSync(file, told);
  if (name === "manifest.json") return;
  const sha256 = createHash("sha256").update(told).digest("hex");
  rewrite(bundle, "manifest.json", (manifest) => {
    const record = { sha256, bytes: Buffer.byteLength(told) };
    return { ...manifest, files: { ...manifest.files, [name]: record } };
  });
}
