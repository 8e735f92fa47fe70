/** The manifest of the first tier's folder, read and checked. */

import { CorruptArtefactError, shown } from "./errors.js";

export const MANIFEST = "manifest.json";
export const EXIT0 = "exit0.safetensors";
export const LARGEST_MANIFEST = 1 << 20; // bytes; a real one has 4,000
const FORMAT = 4;
// Far beyond any text classifier, and few enough that no manifest can ask for all the memory.
const MOST = { layers: 10_000, tokens: 1 << 17, wide: 1 << 16, words: 1 << 24, tiers: 16 };
const PLAIN = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$/;
const INPUTS = ["input_ids", "attention_mask", "token_type_ids"];

/** @typedef {import("./tiers.js").Tier} Tier */

/**
 * @typedef {object} Manifest
 * @property {string} tier the name of the first tier, whose folder this is
 * @property {readonly Tier[]} tiers of the whole bundle
 * @property {"fp32" | "int8"} precision
 * @property {readonly string[]} labels names of the C classes
 * @property {readonly string[]} inputs names of the tensors that the model takes
 * @property {number} vocabulary token ids are 0 … vocabulary - 1
 * @property {number} maxTokens the longest input, in tokens
 * @property {boolean} pairs whether an input is a pair of texts
 * @property {number} width D, of an embedding
 * @property {readonly number[]} segments the layers after which the device's are cut, ascending
 * @property {Record<string, any>} provenance model, task, exits, sources, …
 * @property {ReadonlyMap<string, {sha256: string, bytes: number}>} files of the folder, by name
 */

/**
 * The JSON value of a manifest's bytes.
 *
 * @param {Uint8Array} bytes
 * @param {string} place for messages
 * @returns {Record<string, any>}
 */
export function jsonOf(bytes, place) {
  let value;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw refused(place, "is no JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refused(place, "is no JSON object");
  }
  return value;
}

/**
 * The name of the first tier, where a manifest is that of a whole bundle; else null.
 *
 * @param {Record<string, any>} stored
 * @param {string} place
 * @returns {string | null}
 */
export function firstTier(stored, place) {
  if (stored.kind !== "dimec bundle") return null;
  const name = stored.tiers?.[0]?.name;
  if (typeof name !== "string" || !PLAIN.test(name)) throw refused(place, "names no tier");
  return name;
}

/**
 * @param {Record<string, any>} stored
 * @param {string} place for messages
 * @returns {Manifest}
 * @throws {CorruptArtefactError} it is no manifest of a first tier that this version reads
 */
export function manifestOf(stored, place) {
  /** @type {(fits: unknown, problem: string) => void} */
  const check = (fits, problem) => {
    if (!fits) throw refused(place, `is no manifest that this version of dimec reads (${problem})`);
  };
  check(stored.kind === "dimec tier", `kind: ${shown(stored.kind ?? null, 40)}`);
  check(stored.format === FORMAT, `format ${shown(stored.format ?? null, 20)}, expected ${FORMAT}`);
  check(Array.isArray(stored.tiers) && within(stored.tiers.length, 1, MOST.tiers), "tiers");
  const tiers = stored.tiers.map((/** @type {any} */ one) => tierOf(one, check));
  const names = tiers.map((/** @type {Tier} */ one) => one.name);
  check(new Set(names).size === names.length, "tiers: two have one name");
  check(names.includes(stored.tier), "tier: it must be one of the tiers");
  if (stored.tier !== names[0]) {
    const told = `is the bundle of the ${stored.tier} tier, expected the ${names[0]} tier's`;
    throw new CorruptArtefactError(`${place} ${told}; give the folder ${names[0]}/ of the export`);
  }
  checkModel(stored, check);
  checkSegments(stored.segments, tiers[0].layer, check);
  check(typeof stored.provenance === "object" && stored.provenance !== null, "provenance");
  return {
    tier: stored.tier,
    tiers,
    precision: stored.precision,
    labels: stored.labels,
    inputs: stored.inputs,
    vocabulary: stored.vocabulary,
    maxTokens: stored.max_tokens,
    pairs: stored.pairs,
    width: stored.width,
    segments: stored.segments,
    provenance: stored.provenance,
    files: filesOf(stored.files, check),
  };
}

/**
 * Fingerprint of the model behind the device; undefined where the bundle does not say.
 *
 * @param {Manifest} manifest
 * @returns {unknown}
 */
export function deviceModel({ provenance, tiers }) {
  return provenance.models?.[tiers[0].source] || provenance.model;
}

/**
 * Names of the device's graphs, in the order in which they run.
 *
 * @param {readonly number[]} segments
 */
export function graphNames(segments) {
  return ["embed.onnx", ...segments.map((exit) => `layers-${exit}.onnx`)];
}

/**
 * @typedef {(fits: unknown, problem: string) => void} Check
 */

/**
 * @param {any} one
 * @param {Check} check
 * @returns {Tier}
 */
function tierOf(one, check) {
  check(typeof one?.name === "string" && /^[a-z][a-z0-9_-]{0,31}$/.test(one.name), "a tier's name");
  check(within(one.layer, 1, MOST.layers), `${one.name}: layer`);
  for (const price of ["layer_price", "send_price", "visit_price"]) {
    check(Number.isFinite(one[price]) && one[price] >= 0 && one[price] <= 1e12, `${price}`);
  }
  check(typeof one.version === "string" && /^[1-9][0-9]{0,17}$/.test(one.version), "version");
  const { source = "", takes = "tokens" } = one;
  check(typeof source === "string" && ["tokens", "text"].includes(takes), `${one.name}: takes`);
  return {
    name: one.name,
    layer: one.layer,
    layerPrice: one.layer_price,
    sendPrice: one.send_price,
    visitPrice: one.visit_price,
    source,
    version: one.version,
    takes,
  };
}

/**
 * @param {Record<string, any>} stored
 * @param {Check} check
 */
function checkModel({ labels, inputs, ...stored }, check) {
  check(["fp32", "int8"].includes(stored.precision), "precision");
  check(listOf(labels, (one) => typeof one === "string") && labels.length > 0, "labels");
  check(new Set(labels).size === labels.length, "labels: two are the same");
  check(
    listOf(inputs, (one) => INPUTS.includes(one)),
    "inputs",
  );
  check(new Set(inputs).size === inputs.length, "inputs: two are the same");
  check(within(stored.vocabulary, 1, MOST.words), "vocabulary");
  check(within(stored.max_tokens, 1, MOST.tokens), "max_tokens");
  check(within(stored.width, 1, MOST.wide), "width");
  check(typeof stored.pairs === "boolean", "pairs");
}

/**
 * @param {any} segments
 * @param {number} exit
 * @param {Check} check
 */
function checkSegments(segments, exit, check) {
  check(
    listOf(segments, (one) => within(one, 1, MOST.layers)),
    "segments",
  );
  const ascends = segments.every((/** @type {number} */ one, /** @type {number} */ k) => {
    return k === 0 || one > segments[k - 1];
  });
  check(ascends && segments.at(-1) === exit, "segments: they go up to the device's exit");
}

/**
 * @param {any} files
 * @param {Check} check
 */
function filesOf(files, check) {
  check(typeof files === "object" && files !== null, "files");
  const found = new Map();
  for (const [name, record] of Object.entries(files)) {
    check(PLAIN.test(name), `files: ${shown(name, 60)} is no plain name`);
    const { sha256, bytes } = record ?? {};
    check(typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256), `files: ${name}`);
    check(within(bytes, 0, Number.MAX_SAFE_INTEGER), `files: ${name}`);
    found.set(name, { sha256, bytes });
  }
  return found;
}

/**
 * @param {unknown} value
 * @param {number} least
 * @param {number} most
 */
function within(value, least, most) {
  return Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
}

/**
 * @param {unknown} value
 * @param {(one: any) => boolean} fits
 */
function listOf(value, fits) {
  return Array.isArray(value) && value.every(fits);
}

/**
 * @param {string} place
 * @param {string} problem
 */
function refused(place, problem) {
  return new CorruptArtefactError(`${place} ${problem}; make the bundle again with: dimec export`);
}
