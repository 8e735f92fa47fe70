/** Whether every step that a policy may take can be taken where it is served. */

import { ConfigError, CorruptArtefactError, problemOf } from "../errors.js";
import { EXIT0 } from "../manifest.js";
import { Go, Walk } from "../step.js";

/** @typedef {import("../site.js").Site} Site */
/** @typedef {import("../step.js").Steps} Steps */
/** @typedef {import("../manifest.js").Manifest} Manifest */

/**
 * A server takes texts and answers at its tier's own exit; on the device the layers are cut.
 *
 * @param {string} name of the policy
 * @param {Steps} steps
 * @param {Site} site
 * @param {Manifest} manifest
 * @throws {ConfigError} a step that cannot be taken here
 * @throws {CorruptArtefactError} it cannot decide on such embeddings, or go on behind such answers
 */
export function checkServed(name, steps, site, manifest) {
  const stops = [...(manifest.files.has(EXIT0) ? [0] : []), ...manifest.segments];
  for (const step of steps.reach) checkStep(name, step, site, stops);
  const classes = manifest.labels.length;
  const torn = new Array(classes).fill(1 / classes);
  const sure = [0, classes - 1].map((place) => torn.map((_, k) => Number(k === place)));
  for (const said of [torn, ...sure]) {
    const walk = new Walk({ embedding: new Float32Array(manifest.width), tokens: 2 });
    try {
      takeWay(walk, steps, site, Float32Array.from(said));
    } catch (error) {
      throw new CorruptArtefactError(
        `the policy ${name} cannot go on behind ${walk.looks.length} exits of ${classes} classes ` +
          `(${problemOf(error)}); make the bundle again with: dimec export`,
      );
    }
  }
}

/**
 * @param {string} name
 * @param {Go} step
 * @param {Site} site
 * @param {readonly number[]} stops
 */
function checkStep(name, step, site, stops) {
  const tier = site.tiers[step.tier];
  if (!tier)
    throw new ConfigError(`the policy ${name} goes to tier ${step.tier} of ${site.tiers.length}`);
  if (step.payload === "hidden") {
    throw new ConfigError(
      `the policy ${name} hands on hidden states to the ${tier.name}, and a server takes texts ` +
        "only; export another policy",
    );
  }
  const cut = step.tier ? [tier.layer] : stops;
  if (!cut.includes(step.layer)) {
    throw new ConfigError(
      `the policy ${name} looks at the exit of layer ${step.layer} on the ${tier.name}, which ` +
        `can stop at ${cut.join(", ")}; export it with looks at the exits that it wants`,
    );
  }
}

/**
 * One whole way, each of whose exits says the same.
 *
 * @param {Walk} walk
 * @param {Steps} steps
 * @param {Site} site
 * @param {Float32Array} said
 */
function takeWay(walk, steps, site, said) {
  let step = steps.begin(walk.signal);
  if (!(step instanceof Go)) throw new Error("it answers before any exit was seen");
  if (![0, site.tiers.length].includes(step.scores.length)) {
    throw new Error(`it scores ${step.scores.length} tiers`);
  }
  while (step instanceof Go) {
    walk.go(step, site.tiers);
    walk.see(said);
    step = steps.after(walk);
  }
  walk.answer(step);
}
