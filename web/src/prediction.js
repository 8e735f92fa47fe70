/** What a mobile answers: plain objects, named as in Python but for the case of letters. */

import { Go } from "./step.js";
import { costOf } from "./tiers.js";

/** @typedef {import("./tiers.js").Tier} Tier */
/** @typedef {import("../mobile.js").Choice} Choice */
/** @typedef {import("../mobile.js").Prediction} Prediction */

/**
 * Where a text would be sent first.
 *
 * @param {import("./step.js").Go} first
 * @param {readonly Tier[]} tiers
 * @returns {Choice}
 */
export function choiceOf(first, tiers) {
  return {
    tier: first.tier,
    tierName: tiers[first.tier].name,
    scores: scoresOf(first, tiers),
    margin: marginOf(first),
  };
}

/**
 * @param {import("./course.js").Course} course which has come to its end
 * @param {Pick<Prediction, "id" | "safe" | "policy" | "contract" | "milliseconds" | "calls" |
 *   "parts"> & {tiers: readonly Tier[], labels: readonly string[]}} told
 * @returns {Prediction}
 */
export function predictionOf(course, { tiers, labels, ...told }) {
  const { answer, failures, first, path } = course;
  if (!answer) throw new Error("this input has no answer yet");
  const names = tiers.map((tier) => tier.name);
  const vain = failures.filter((one) => one.sent).map((one) => names.indexOf(one.tier));
  return {
    id: told.id,
    label: labels[answer.prediction],
    probability: answer.confidence,
    probabilities: Object.fromEntries(labels.map((label, c) => [label, answer.probabilities[c]])),
    route: names[first.tier],
    distances: scoresOf(first, tiers),
    margin: marginOf(first),
    path: path.map(({ tier, start, stop, payload }) => ({
      tier: names[tier],
      start,
      stop,
      payload,
    })),
    answeredBy: names[answer.tier],
    fallbackReason: course.reason,
    tried: failures.map((one) => one.tier),
    milliseconds: told.milliseconds,
    parts: told.parts,
    calls: told.calls,
    cost: costOf(path, vain, tiers),
    steps: stepsOf(course, names),
    recorded: true,
    safe: told.safe,
    policy: told.policy,
    contract: told.contract,
  };
}

/**
 * The policy's steps, each from the exit that had spoken last, with their reasons.
 *
 * @param {import("./course.js").Course} course
 * @param {readonly string[]} names of the tiers
 * @returns {Prediction["steps"]}
 */
function stepsOf({ steps, walk }, names) {
  /** @param {{tier: number, layer: number}} place */
  const place = ({ tier, layer }) => ({ tier: names[tier], layer });
  return steps.map((step, k) => ({
    at: k ? place(walk.looks[k - 1]) : null,
    next: step instanceof Go ? place(step) : "answer",
    ...(step.telling?.() ?? { why: "the policy gives no reason", values: {} }),
  }));
}

/**
 * Tier → score; empty where the policy measures none.
 *
 * @param {import("./step.js").Go} first
 * @param {readonly Tier[]} tiers
 */
function scoresOf({ scores }, tiers) {
  return Object.fromEntries(scores.map((score, k) => [tiers[k].name, finite(score)]));
}

/** @param {import("./step.js").Go} first */
function marginOf({ scores, margin }) {
  return scores.length ? finite(margin) : null;
}

/**
 * Null for infinity, the score of a tier that cannot be reached.
 *
 * @param {number} value
 */
function finite(value) {
  return Number.isFinite(value) ? value : null;
}
