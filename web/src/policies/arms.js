/**
 * The arms of a bandit over the exits of the device, and which one to play.
 *
 * UCB plays each arm once and then the arm of the highest mean reward + c·sqrt(ln(t + 1) / N), with
 * t samples seen and N rewards of the arm (Auer, Cesa-Bianchi and Fischer, Machine Learning 47,
 * 2002).
 */

import { checkLearnt } from "../learnt.js";
import { argmax } from "../numbers.js";
import { Go } from "../step.js";
import { bestOf, named, plainly } from "./reasons.js";

/** Of what a bandit has learnt, what counts something. */
export const WHOLE = ["counts", "seen"];

/**
 * The first of the arms whose index is the highest.
 *
 * @param {readonly number[]} values K mean rewards, with what is known beside
 * @param {readonly number[]} counts K numbers of rewards seen, each of at least 1
 * @param {number} c weight of the exploration term
 * @param {number} t samples seen before
 */
export function bestArm(values, counts, c, t) {
  return argmax(indexesOf(values, counts, c, t));
}

/**
 * Of each arm, the mean reward and what it may be more.
 *
 * @param {readonly number[]} values
 * @param {readonly number[]} counts
 * @param {number} c
 * @param {number} t
 */
function indexesOf(values, counts, c, t) {
  const log = Math.log(t + 1);
  return values.map((value, k) => value + c * Math.sqrt(log / counts[k]));
}

/**
 * What a bandit has learnt.
 *
 * @param {readonly number[]} shape of the table of arms, or of contexts
 * @param {readonly number[]} totals the rewards summed up
 * @param {readonly number[]} counts how many they were
 * @param {number} seen samples learnt from
 * @returns {import("../learnt.js").Learnt}
 */
export function tallyOf(shape, totals, counts, seen) {
  return {
    totals: { shape, data: Float64Array.from(totals) },
    counts: { shape, data: Float64Array.from(counts) },
    seen: { shape: [], data: Float64Array.of(seen) },
  };
}

/** Steps on the device that play one of K arms for each input. */
export class ArmSteps {
  /** @type {import("../step.js").Learns} */
  learns = "answered";
  #c;
  #opening;
  #offsets;
  #totals;
  #counts;
  #seen = 0;

  /**
   * @param {readonly number[]} layers the exits
   * @param {readonly string[]} arms names of the K arms
   * @param {number} c
   * @param {{opening?: readonly number[], offsets?: readonly number[]}} [told] arms of the first
   *   samples, each arm once by default; K numbers that are known without playing
   */
  constructor(layers, arms, c, { opening, offsets } = {}) {
    const all = arms.map((_, k) => k);
    this.layers = layers;
    this.arms = arms;
    this.reach = layers.map((layer) => new Go(0, layer));
    this.#c = c;
    this.#opening = opening ?? all;
    this.#offsets = offsets ?? all.map(() => 0);
    this.#totals = all.map(() => 0);
    this.#counts = all.map(() => 0);
  }

  /** The arm to play now, and why. */
  arm() {
    const samples = this.#seen;
    if (samples < this.#opening.length) return this.#tried(this.#opening[samples], samples);
    // Where inputs overlap, an opening may end before each arm has had its reward.
    const none = this.#counts.indexOf(0);
    if (none >= 0) return this.#tried(none, samples);
    const values = this.#totals.map((total, k) => total / this.#counts[k] + this.#offsets[k]);
    const indexes = indexesOf(values, this.#counts, this.#c, samples);
    const arm = argmax(indexes);
    const telling = () => ({
      why: `${bestOf(this.arms, indexes, arm, { of: "index" })}, after ${samples} inputs`,
      values: {
        played: this.arms[arm],
        indexes: named(this.arms, indexes),
        means: named(this.arms, values),
        samples,
      },
    });
    return { arm, telling };
  }

  /**
   * @param {number} arm
   * @param {number} samples
   */
  #tried(arm, samples) {
    const played = this.arms[arm];
    const telling = plainly(`${played} is tried, as it has no reward yet`, { played, samples });
    return { arm, telling };
  }

  /**
   * Count what an input has earned.
   *
   * @param {readonly (readonly [number, number])[]} rewards arms, and the reward of each
   */
  count(rewards) {
    for (const [arm, reward] of rewards) {
      this.#totals[arm] += reward;
      this.#counts[arm] += 1;
    }
    this.#seen += 1;
  }

  state() {
    return tallyOf([this.#totals.length], this.#totals, this.#counts, this.#seen);
  }

  /** @param {import("../learnt.js").Learnt} state */
  restore(state) {
    checkLearnt(state, this.state(), WHOLE);
    this.#totals = [...state.totals.data];
    this.#counts = [...state.counts.data];
    this.#seen = state.seen.data[0];
  }
}
