/** Kinds of policies by name, and the policy of a bundle, at work on its tiers. */

import {
  ConfigError,
  CorruptArtefactError,
  DimecError,
  MismatchError,
  problemOf,
  shown,
} from "../errors.js";
import { jsonOf } from "../manifest.js";
import { arraysOf } from "../safetensors.js";
import { siteOf } from "../site.js";
import { ceebert, dee, lee, ueeUcb } from "./bandits.js";
import { cascade } from "./cascade.js";
import { deebert, maxSoftmax, maxSoftmaxTiers, pabee } from "./exits.js";
import { bert, centroid, neighbours, tier } from "./one_step.js";
import { checkServed } from "./reach.js";
import { cats, deferral, exitThresholds } from "./walk.js";

const POLICY = "policy.json";
const ARRAYS = "policy.safetensors";
const FORMAT = 1;

/**
 * What a kind makes steps of. `adaptive` is what the caller wants; null leaves it as it was fitted.
 *
 * @typedef {object} Parts
 * @property {Record<string, any>} settings
 * @property {import("../safetensors.js").Arrays} arrays
 * @property {import("../site.js").Site} site
 * @property {boolean | null} adaptive
 *
 * @typedef {(parts: Parts) => import("../step.js").Steps} Make
 */

/** @type {ReadonlyMap<string, Make>} */
const KINDS = new Map([
  ["centroid", centroid],
  ["tier", tier],
  ["cascade", cascade],
  ["bert", bert],
  ["deebert", deebert],
  ["pabee", pabee],
  ["uee-ucb", ueeUcb],
  ["lee", lee],
  ["dee", dee],
  ["ceebert", ceebert],
  ["max-softmax", maxSoftmax],
  ["max-softmax-tiers", maxSoftmaxTiers],
  ["exit-thresholds", exitThresholds],
  ["deferral", deferral],
  ["neighbours", neighbours],
  ["cats", cats],
]);

/** The kinds of policies that can be run here. */
export const kinds = Object.freeze([...KINDS.keys()]);

/**
 * A policy at work.
 *
 * @typedef {object} Fitted
 * @property {string} name
 * @property {string} kind
 * @property {import("../step.js").Steps} steps
 * @property {import("../step.js").Steps} twin another of the same, by which a state learns
 * @property {import("../step.js").Learns} learns when it learns here
 * @property {Record<string, any>} fittedOn
 */

/**
 * The policy that was exported with the device, at work on the bundle's tiers.
 *
 * @param {import("../bundle.js").Bundle} bundle
 * @param {boolean | null} adaptive whether it learns; null for what was fitted
 * @returns {Fitted}
 * @throws {ConfigError} a kind that is not known here, steps that cannot be taken here, or one that
 *   is to learn and cannot
 * @throws {import("../errors.js").ArtefactError} missing, no policy, or of another model or bundle
 */
export function policyOf(bundle, adaptive) {
  const { manifest, place } = bundle;
  const stored = jsonOf(bundle.read(POLICY), `${place}/${POLICY}`);
  const { kind, name, settings } = stored;
  const make = makeOf(kind, stored.format, `${place}/${POLICY}`);
  const fittedOn = stored.fitted_on ?? {};
  const model = manifest.provenance.model;
  if (fittedOn.model !== undefined && model !== undefined && fittedOn.model !== model) {
    throw new MismatchError(
      `${place}/${POLICY} was fitted on another model than the one of this bundle; make the ` +
        "bundle again with: dimec export",
    );
  }
  try {
    const site = siteOf(manifest);
    const arrays = storedArrays(bundle, stored);
    const [steps, twin] = [0, 1].map(() => make({ settings, arrays, site, adaptive }));
    if (adaptive && steps.learns === "never") {
      throw new ConfigError(
        `the policy ${name} has nothing to learn from inputs; leave adaptive out`,
      );
    }
    checkServed(name, steps, site, manifest);
    const learns = adaptive === false ? "never" : steps.learns;
    return { name, kind, steps, twin, learns, fittedOn };
  } catch (error) {
    if (error instanceof DimecError) throw error;
    throw new CorruptArtefactError(
      `${place}/${POLICY} does not go with this bundle (${problemOf(error)}); make the bundle ` +
        "again with: dimec export",
    );
  }
}

/**
 * How policies of a stored kind are made.
 *
 * @param {unknown} kind
 * @param {unknown} format of the file
 * @param {string} path for messages
 * @returns {Make}
 */
export function makeOf(kind, format, path) {
  if (format !== FORMAT) {
    throw new CorruptArtefactError(
      `${path} has the format ${shown(format ?? null, 20)}, this version reads ${FORMAT}; make ` +
        "the bundle again with: dimec export",
    );
  }
  const make = KINDS.get(String(kind));
  if (!make) {
    throw new ConfigError(
      `${path} is of the kind ${shown(kind ?? null, 40)}, which cannot be run here; export a ` +
        `policy of one of ${kinds.join(", ")}`,
    );
  }
  return make;
}

/**
 * @param {import("../bundle.js").Bundle} bundle
 * @param {Record<string, any>} stored
 * @returns {import("../safetensors.js").Arrays}
 */
function storedArrays(bundle, { kind, name, arrays: names }) {
  if (!names.length) return new Map();
  const { arrays, metadata } = arraysOf(bundle.read(ARRAYS), "policy", `${bundle.place}/${ARRAYS}`);
  const found = [...arrays.keys()].sort().join();
  if (metadata.kind !== kind || metadata.name !== name || found !== [...names].sort().join()) {
    throw new Error(`${ARRAYS} belongs to another policy`);
  }
  return arrays;
}
