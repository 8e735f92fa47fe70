/**
 * The steps of an answer, which one text and a stream share.
 *
 * An input is admitted, claimed, recalled if it was answered before, embedded and decided on; then
 * it is led on, by the device or another tier, as its course says, until there is an answer, and the
 * last tier's too where the audit wants it; then it is recorded, or dropped.
 */

import { Claims } from "./claims.js";
import { Course } from "./course.js";
import { ConfigError, TierError } from "./errors.js";
import { checkId, Item, noParts } from "./item.js";
import { choiceOf, predictionOf } from "./prediction.js";
import { checkedText } from "./tokens.js";
import { Turns } from "./turns.js";

/** @typedef {import("../mobile.js").Prediction} Prediction */
/** @typedef {import("./core.js").Embedded} Embedded */
/** @typedef {import("./decisions.js").Decision} Decision */
/** @typedef {import("./tokens.js").Text} Text */

/**
 * @typedef {object} Parts
 * @property {import("./manifest.js").Manifest} manifest
 * @property {import("./core.js").Core} core
 * @property {import("./decisions.js").Decisions} decisions
 * @property {import("./audit.js").Audit} audit
 * @property {import("./net/reach.js").Reach} reach of the other tiers
 * @property {readonly (readonly number[])[]} orders of each tier, see `fallbackOrder`
 * @property {string} policy its name
 * @property {string | null} contract what it promises
 */

export class Engine {
  #parts;
  #claims = new Claims();
  #turns = new Turns();
  closed = false;

  /** @param {Parts} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /**
   * Take an input in.
   *
   * @param {Text} text
   * @param {string} [id]
   * @returns {Item}
   * @throws {import("./errors.js").DataError} no text for this task, or no id
   * @throws {ConfigError} the mobile is closed
   */
  admit(text, id) {
    if (this.closed) throw new ConfigError("this mobile is closed; open it again");
    checkedText(text, this.#parts.manifest.pairs);
    checkId(id);
    return new Item(text, id);
  }

  /**
   * Null: the input is the caller's. Else wait for the result, and ask again. To be followed by
   * `record` or `drop`.
   *
   * @param {Item} item
   */
  claim(item) {
    if (!item.given) return null;
    const held = this.#claims.claim(item.id);
    item.claimed = held === null;
    return held;
  }

  /**
   * Take the answer that the input was given before; or embed it, and have the policy decide. All
   * that asked before have decided by then.
   *
   * @param {Item} item
   */
  begin(item) {
    return this.#turns.take(async () => {
      if (item.given && (await this.#recalled(item))) return;
      item.embedded = await this.#embed(item);
      const signal = signalOf(item.embedded);
      await item.timed("decide", () => this.#decide(item, signal));
    });
  }

  /** @param {Item} item */
  async #recalled(item) {
    const known = await this.#parts.decisions.find(item.id);
    if (!known) return false;
    // How it came about was told with the answer, and is not kept.
    const untold = { steps: [], calls: [], parts: noParts() };
    item.prediction = { ...known, ...untold, ...this.#terms(known.safe) };
    item.known = true;
    return true;
  }

  /** @param {Item} item */
  async #embed(item) {
    const { core } = this.#parts;
    const encoding = await item.timed("tokenise", () => core.tokenise(item.text));
    return item.timed("embed", () => core.embed(encoding));
  }

  /**
   * @param {Item} item
   * @param {import("./step.js").Signal} signal
   */
  #decide(item, signal) {
    const { audit, decisions, manifest, orders } = this.#parts;
    const decision = audit.safe ? audit.safeDecision(signal) : decisions.decide(signal);
    item.decision = decision;
    if (!decision.safe) decision.audited = audit.pick();
    const { first, walk } = decision;
    item.course = new Course(walk, first, orders[first.tier], manifest.tiers);
  }

  /**
   * Lead an input on until it is finished, or dropped.
   *
   * @param {Item} item which has begun
   */
  async lead(item) {
    while (!item.finished && !item.dropped) {
      const tier = item.prediction ? (item.audited?.tier ?? 0) : item.way.tier;
      if (tier === 0) await this.#run(item);
      else await this.#ask(item, tier);
      if (!item.prediction && item.way.answer) this.#settle(item);
    }
  }

  /** @param {Item} item */
  async #run(item) {
    const embedded = /** @type {Embedded} */ (item.embedded);
    const { layer } = item.way;
    const said = await this.#turns.take(() => {
      return item.timed("layers", () => this.#parts.core.run(embedded, layer));
    });
    await this.#see(item, said);
  }

  /**
   * @param {Item} item
   * @param {number} tier
   */
  async #ask(item, tier) {
    const { audit, manifest, reach } = this.#parts;
    const { inputs } = /** @type {Embedded} */ (item.embedded);
    const tokens = Object.entries(inputs).map(([input, tensor]) => [input, tensor.data]);
    const input = { text: item.text, inputs: Object.fromEntries(tokens) };
    const { name } = manifest.tiers[tier];
    let said;
    try {
      said = await item.timed("tiers", () => reach.ask(name, input, item.context));
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      if (!item.prediction) item.way.failed(error);
      else if (item.audited) audit.failed(item.audited, error);
      return;
    }
    if (!item.prediction) await this.#see(item, said);
    else if (item.audited) audit.heard(item.audited, said);
  }

  /**
   * An exit has spoken: have the policy say what comes next.
   *
   * @param {Item} item
   * @param {Float32Array} said
   */
  async #see(item, said) {
    const { audit, decisions } = this.#parts;
    const safe = item.decision?.safe;
    await item.timed("decide", () => {
      item.way.see(said, (walk) => (safe ? audit.safeAfter() : decisions.after(walk)));
    });
  }

  /** @param {Item} item which has its answer */
  #settle(item) {
    const { audit, manifest } = this.#parts;
    const safe = item.decision?.safe ?? false;
    item.prediction = predictionOf(item.way, {
      id: item.id,
      tiers: manifest.tiers,
      labels: manifest.labels,
      ...this.#terms(safe),
      safe,
      milliseconds: performance.now() - item.started,
      calls: item.context.calls,
      parts: item.parts,
    });
    if (item.audited) audit.answered(item.audited, item.way, item.prediction.label);
  }

  /**
   * Name of the policy that decides, and what that promises.
   *
   * @param {boolean} safe
   */
  #terms(safe) {
    const { audit, contract, policy } = this.#parts;
    return safe ? { policy: audit.policy, contract: null } : { policy, contract };
  }

  /**
   * Record answers, and give them back in the same order.
   *
   * @param {readonly Item[]} items
   * @returns {Promise<Prediction[]>}
   */
  async record(items) {
    const started = performance.now();
    const { audit, decisions } = this.#parts;
    const fresh = items.filter((item) => !item.known);
    let recorded = true;
    try {
      if (fresh.length) recorded = await decisions.record(fresh.map(answerOf));
    } catch (error) {
      for (const { audited } of items) audited?.giveUp();
      throw error;
    } finally {
      this.#release(items);
    }
    audit.tell();
    const record = performance.now() - started;
    return items.map(({ known, prediction }) => {
      if (!prediction) throw new Error("this input has no answer yet");
      if (known) return prediction;
      return { ...prediction, recorded, parts: { ...prediction.parts, record } };
    });
  }

  /**
   * Forget inputs that will have no answer.
   *
   * @param {readonly Item[]} items
   */
  async drop(items) {
    for (const item of items) {
      item.dropped = true;
      item.audited?.giveUp();
    }
    const decisions = items.flatMap(({ decision }) => (decision ? [decision] : []));
    await this.#parts.decisions.abandon(decisions);
    this.#release(items);
  }

  /** @param {readonly Item[]} items */
  #release(items) {
    for (const item of items) {
      if (item.claimed) this.#claims.release(item.id);
      item.claimed = false;
    }
  }

  /**
   * The decision on a text; nothing is learnt or recorded.
   *
   * @param {Text} text
   */
  async look(text) {
    const item = this.admit(text);
    const { audit, decisions, manifest } = this.#parts;
    return this.#turns.take(async () => {
      const signal = signalOf(await this.#embed(item));
      const first = audit.safe ? audit.safeDecision(signal).first : decisions.look(signal);
      return choiceOf(first, manifest.tiers);
    });
  }

  /** Let go of the graphs and of the tiers. */
  async release() {
    await this.#turns.take(() => this.#parts.core.release());
    this.#parts.reach.close();
  }
}

/** @param {Embedded} embedded */
function signalOf({ encoding, pooled }) {
  return { embedding: pooled, tokens: encoding.ids.length };
}

/** @param {Item} item which is finished */
function answerOf({ decision, prediction }) {
  return {
    decision: /** @type {Decision} */ (decision),
    prediction: /** @type {Prediction} */ (prediction),
  };
}
