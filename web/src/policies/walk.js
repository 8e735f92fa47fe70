/**
 * Cascades over exits: through the exits of the device, and then the own exit of each further tier
 * on the way, until a rule says to answer.
 */

import { dot, sigmoid } from "../numbers.js";
import { required, rowsOf } from "../safetensors.js";
import { PlanSteps } from "./exits.js";
import { featuresOf } from "./features.js";
import { reaches, toldApart } from "./reasons.js";

/** @typedef {import("../safetensors.js").Arrays} Arrays */
/** @typedef {import("../site.js").Site} Site */
/** @typedef {readonly [number, number]} Exit a tier and a layer */

/**
 * The exits of a way, in order. A tier whose exit is the one before it is passed over.
 *
 * @param {Site} site
 * @param {{between: boolean, exit0: boolean}} told whether the tiers between are asked, and exit 0
 * @returns {Exit[]}
 */
export function wayOf(site, { between, exit0 }) {
  /** @type {Exit[]} */
  const way = site
    .exitsOf(0)
    .filter((layer) => layer <= site.tiers[0].layer)
    .map((x) => [0, x]);
  if (exit0 && site.exit0) way.unshift([0, 0]);
  for (let k = between ? 1 : site.last; k < site.tiers.length; k += 1) {
    const { source, layer } = site.tiers[k];
    const [tier, deepest] = way.at(-1) ?? [k, 0];
    if (source !== site.tiers[tier].source || layer !== deepest) way.push([k, layer]);
  }
  return way;
}

/**
 * The way of a stored policy, held against the site.
 *
 * @param {Record<string, any>} settings
 * @param {Site} site
 * @returns {Exit[]}
 * @throws {Error} it was fitted for other exits or tiers
 */
function storedWay(settings, site) {
  /** @type {Exit[]} */
  const way = settings.way;
  const exit0 = way[0].join() === "0,0";
  const here = [true, false].map((between) => wayOf(site, { between, exit0 }));
  if (site.tiers.length < 2 || !here.some((one) => one.join(";") === way.join(";"))) {
    throw new Error(`it was fitted for other exits or tiers (${way.join("; ")})`);
  }
  return way;
}

/**
 * Logistic models at an exit: what each says of the exits seen.
 *
 * @param {Arrays} arrays
 * @param {number} exit
 * @param {number} each how many models there must be
 * @returns {(looks: readonly {probabilities: Float32Array}[]) => number[]}
 */
function modelsOf(arrays, exit, each) {
  const weights = required(arrays, `${exit}.weights`, "F64", 2);
  const biases = required(arrays, `${exit}.biases`, "F64", 1);
  if (weights.shape[0] !== each || biases.shape[0] !== each) {
    throw new Error(`expected ${each} models at each exit`);
  }
  const rows = rowsOf(weights.data, weights.shape[1]);
  return (looks) => {
    const x = featuresOf(
      [],
      looks.map((look) => look.probabilities),
    );
    if (x.length !== weights.shape[1]) throw new Error(`expected ${x.length} weights a model`);
    return rows.map((row, k) => sigmoid(dot(x, row) + biases.data[k]));
  };
}

/** Answer where the confidence reaches the threshold of the exit and of the class.
 * @type {import("./kinds.js").Make} */
export function exitThresholds({ settings, arrays, site }) {
  const way = storedWay(settings, site);
  const { data, shape } = required(arrays, "thresholds", "F64", 2);
  if (shape[0] !== way.length - 1)
    throw new Error(`expected thresholds of ${way.length - 1} exits`);
  const rows = rowsOf(data, shape[1]);
  return new PlanSteps(way, (looks) => {
    const { confidence, prediction } = looks[looks.length - 1];
    const threshold = rows[looks.length - 1][prediction];
    return reaches("confidence", confidence, threshold, " of this exit and class");
  });
}

/** Go on where P(last tier right) - P(this exit right) is over the extra cost.
 * @type {import("./kinds.js").Make} */
export function deferral({ settings, arrays, site }) {
  const way = storedWay(settings, site);
  const margins = required(arrays, "margins", "F64", 1);
  if (margins.shape[0] !== way.length - 1) throw new Error("expected a margin of each exit");
  const models = way.slice(1).map((_, exit) => modelsOf(arrays, exit, 2));
  return new PlanSteps(way, (looks) => {
    const here = looks.length - 1;
    const [own, last] = models[here](looks.slice(-1));
    const [gain, margin] = [last - own, margins.data[here]];
    const telling = () => {
      const [more, price] = toldApart(gain, margin);
      const how = gain <= margin ? "no more than" : "more than";
      return {
        why: `the last tier is right ${more} more often than this exit, ${how} it costs, ${price}`,
        values: { right: own, rightAtLast: last, gain, price: margin },
      };
    };
    return { answers: gain <= margin, telling };
  });
}

/** Answer at the first exit that probably agrees with the last.
 * @type {import("./kinds.js").Make} */
export function cats({ settings, arrays, site }) {
  const way = storedWay(settings, site);
  const [threshold] = required(arrays, "threshold", "F64", 1).data;
  const models = way.slice(1).map((_, exit) => modelsOf(arrays, exit, 1));
  return new PlanSteps(way, (looks) => {
    const [agrees] = models[looks.length - 1](looks);
    const telling = () => {
      const [here, there] = toldApart(agrees, threshold);
      const how = agrees > threshold ? "is over" : "is not over";
      return {
        why: `it agrees with the last exit at probability ${here}, which ${how} the threshold ${there}`,
        values: { agreement: agrees, threshold },
      };
    };
    return { answers: agrees > threshold, telling };
  });
}
