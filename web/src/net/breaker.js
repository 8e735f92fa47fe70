/**
 * The circuit breaker of a tier: after failures in a row the tier is left alone for a while.
 *
 *     closed ──failures in a row──▶ open ──cooldown over──▶ half-open ──probe succeeds──▶ closed
 *                                     ▲                          │
 *                                     └──────probe fails─────────┘
 *
 * While it is open no input leaves the device, so that a dead tier costs neither time nor bytes. In
 * half-open state one caller only, the probe, may try.
 */

import { ConfigError } from "../errors.js";

/** @typedef {"closed" | "open" | "half-open"} Circuit */

/**
 * Leave to make one call, to be handed back with its outcome.
 *
 * @typedef {object} Permit
 * @property {boolean} probe whether this call decides if a half-open circuit closes
 * @property {number} era in which it was given; outcomes of a past era no longer count
 */

/** Seconds of a clock that never goes back. */
export function seconds() {
  return performance.now() / 1e3;
}

/**
 * Counts a tier's failures in a row. Every permit is handed back once: `succeed`, `fail` or
 * `abandon`. A probe that is never handed back does not lock the circuit: after another cooldown
 * the next caller becomes the probe.
 */
export class CircuitBreaker {
  #limit;
  #cooldown;
  #clock;
  #failures = 0;
  // Null while closed; otherwise until when nobody may try. A probe moves it on, which is what
  // frees the circuit of a probe that is never heard of again.
  /** @type {number | null} */
  #blockedUntil = null;
  #probing = false;
  // Grows with every change of state and every probe, so that a straggler from before can neither
  // close nor open the circuit.
  #era = 0;

  /**
   * @param {number} [failures] how many in a row open the circuit
   * @param {number} [cooldown] seconds for which it stays open
   * @param {() => number} [clock] seconds that never go back
   * @throws {ConfigError} failures below 1, or a cooldown that is not positive
   */
  constructor(failures = 5, cooldown = 5, clock = seconds) {
    if (!(failures >= 1) || !(cooldown > 0)) {
      throw new ConfigError(
        "a circuit breaker needs at least 1 failure and a cooldown above 0 seconds, got " +
          `${failures} and ${cooldown}`,
      );
    }
    this.#limit = failures;
    this.#cooldown = cooldown;
    this.#clock = clock;
  }

  /**
   * "half-open" where the next caller may probe or one does.
   *
   * @returns {Circuit}
   */
  get state() {
    if (this.#blockedUntil === null) return "closed";
    return this.#probing || this.#clock() >= this.#blockedUntil ? "half-open" : "open";
  }

  /**
   * Leave to make a call, or null where the tier is to be left alone.
   *
   * @returns {Permit | null}
   */
  acquire() {
    if (this.#blockedUntil === null) return { probe: false, era: this.#era };
    const now = this.#clock();
    if (now < this.#blockedUntil) return null;
    this.#era += 1;
    this.#probing = true;
    this.#blockedUntil = now + this.#cooldown;
    return { probe: true, era: this.#era };
  }

  /**
   * The call was answered.
   *
   * @param {Permit} permit
   */
  succeed({ probe, era }) {
    if (era !== this.#era) return;
    this.#failures = 0;
    if (probe) this.#turn(null);
  }

  /**
   * The call failed in a way that speaks against the tier.
   *
   * @param {Permit} permit
   */
  fail({ probe, era }) {
    if (era !== this.#era) return;
    this.#failures += 1;
    if (!probe && this.#failures < this.#limit) return;
    this.#failures = 0;
    this.#turn(this.#clock() + this.#cooldown);
  }

  /**
   * The call came to no end that says anything of the tier. A probe's place is free at once.
   *
   * @param {Permit} permit
   */
  abandon({ probe, era }) {
    if (probe && era === this.#era) this.#turn(this.#clock());
  }

  /** @param {number | null} blockedUntil */
  #turn(blockedUntil) {
    this.#era += 1;
    this.#probing = false;
    this.#blockedUntil = blockedUntil;
  }
}
