/** The policy at work: it decides, learns, and has every answer recorded once. */

import {
  ArtefactError,
  ConfigError,
  DataError,
  DimecError,
  problemOf,
  StateBusyError,
  StorageError,
} from "./errors.js";
import { Go, Walk } from "./step.js";
import { Turns } from "./turns.js";

/** @typedef {import("../mobile.js").Prediction} Prediction */
/** @typedef {import("./learnt.js").Learnt} Learnt */
/** @typedef {import("./policies/kinds.js").Fitted} Fitted */
/** @typedef {import("./state/state.js").Entry} Entry */
/** @typedef {import("./state/state.js").State} State */
/** @typedef {import("./state/state.js").StoredAnswer} StoredAnswer */
/** @typedef {import("./step.js").Signal} Signal */
/** @typedef {import("./step.js").Step} Step */
/** @typedef {import("./step.js").Steps} Steps */

// Answers that wait for room in the store: some megabytes at most, with their embeddings.
export const MOST_WAITING = 4096;
// Of these, tried at once: a full disk must not make every further answer slow.
const TRIED_AT_ONCE = 64;

/** The first step of an input, and the way that begins with it. */
export class Decision {
  /** @type {import("./state/watch.js").Audited | null} its part in the audit */
  audited = null;
  /** Whether something was learnt from it. */
  taught = false;

  /**
   * @param {Go} first where the input goes
   * @param {Walk} walk its way, which others lead on
   * @param {boolean} [safe] whether it is the safe policy's, from which nothing is learnt
   */
  constructor(first, walk, safe = false) {
    this.first = first;
    this.walk = walk;
    this.safe = safe;
  }
}

/**
 * Steps whose memory is that of a state.
 *
 * What learns by deciding does so at once, in order of arrival; what learns from answers, when the
 * answer is recorded. The state learns of it with the answer, in one transaction; an input that
 * never gets an answer is forgotten. So what the policy knows is what the state says, and what is
 * under way. Steps that learn nothing here leave alone whatever others have learnt before.
 */
export class Decisions {
  #state;
  #steps;
  #twin;
  #fitted;
  /** @type {Learnt | null} what the twin gave last */
  #twinKnows = null;
  /** @type {Entry[]} */
  #waiting = [];
  /** @type {Set<Decision>} */
  #underWay = new Set();
  #opened;
  #recording = new Turns();
  #complained = false;
  /** Answers that were given and never will be recorded. */
  lost = 0;

  /**
   * @param {Fitted} policy
   * @param {State} state which is open
   */
  constructor({ learns, steps, twin }, state) {
    this.learns = learns;
    this.#steps = steps;
    this.#twin = twin;
    this.#state = state;
    this.#opened = state.opened;
    this.#fitted = steps.state?.() ?? null;
    if (learns !== "never") this.#rebuild();
  }

  /** Answers that wait for room in the store. */
  get waiting() {
    return this.#waiting.length;
  }

  /** What decisions rest on now, where something is learnt. @returns {Learnt} */
  memory() {
    return this.#steps.state?.() ?? {};
  }

  /**
   * Decide, and learn nothing.
   *
   * @param {Signal} signal
   * @returns {Go}
   * @throws {DataError} the policy, which may be a stranger's, fails on this input
   */
  look(signal) {
    const step = asked(() => this.#steps.begin(signal));
    if (step instanceof Go) return step;
    throw new ConfigError("a policy cannot answer before any exit was seen");
  }

  /**
   * Decide, and learn from the input if the policy learns by deciding. To be followed by `record`
   * or `abandon`.
   *
   * @param {Signal} signal
   */
  decide(signal) {
    const decision = new Decision(this.look(signal), new Walk(signal));
    if (this.learns === "deciding") this.#learn(decision);
    return decision;
  }

  /**
   * What comes next, now that one more exit has spoken.
   *
   * @param {Walk} walk
   * @returns {Step}
   */
  after(walk) {
    return asked(() => this.#steps.after(walk));
  }

  /**
   * Forget what was learnt from inputs that will have no answer.
   *
   * @param {readonly Decision[]} decisions
   */
  async abandon(decisions) {
    if (this.learns !== "deciding" || !decisions.length) return;
    await this.#recording.take(async () => {
      const left = decisions.filter((decision) => this.#underWay.delete(decision));
      if (left.length) this.#rebuild();
    });
  }

  /**
   * The answer that an input was given before, if there is one.
   *
   * @param {string} id
   * @returns {Promise<StoredAnswer & {recorded: boolean} | null>}
   */
  find(id) {
    return this.#recording.take(async () => {
      const entry = this.#waiting.find(({ prediction }) => prediction.id === id);
      if (entry) return { ...entry.prediction, recorded: false };
      const known = await this.#state.find(id);
      this.#catchUp();
      return known && { ...known, recorded: true };
    });
  }

  /**
   * Record answers, all or none; false where the store refuses and they have to wait.
   *
   * @param {readonly {decision: Decision, prediction: Prediction}[]} answers
   * @returns {Promise<boolean>}
   */
  record(answers) {
    return this.#recording.take(async () => {
      const entries = answers.map((answer) => this.#noted(answer));
      const recorded = (await this.#flush()) && (await this.#write(entries));
      if (!recorded) this.#keep(entries);
      this.#catchUp();
      return recorded;
    });
  }

  /** Try once more to record what waits; whether nothing waits any longer. */
  flush() {
    return this.#recording.take(() => this.#flush());
  }

  /**
   * Do something else with the state, behind what is being recorded.
   *
   * @template T
   * @param {() => Promise<T>} work
   */
  exclusively(work) {
    return this.#recording.take(work);
  }

  async #flush() {
    while (this.#waiting.length) {
      const some = this.#waiting.slice(0, TRIED_AT_ONCE);
      if (!(await this.#write(some))) return false;
      this.#waiting.splice(0, some.length);
    }
    return true;
  }

  /**
   * An answer to be recorded, with what was learnt from it.
   *
   * @param {{decision: Decision, prediction: Prediction}} answer
   * @returns {Entry}
   */
  #noted({ decision, prediction }) {
    if (this.learns === "answered" && !prediction.tried.length && !decision.safe) {
      this.#learn(decision);
    }
    return { prediction, lesson: decision.taught ? decision : null, audited: decision.audited };
  }

  /**
   * Learn, the state not yet.
   *
   * @param {Decision} decision
   */
  #learn(decision) {
    this.#teach(this.#steps, decision);
    decision.taught = true;
    this.#underWay.add(decision);
  }

  /**
   * @param {Steps} steps
   * @param {Decision} decision
   */
  #teach(steps, { first, walk }) {
    steps.learn?.(this.learns === "deciding" ? new Walk(walk.signal) : walk, first);
  }

  /**
   * What the state's memory becomes by these answers.
   *
   * @param {Learnt | null} known
   * @param {readonly Entry[]} lessons
   * @returns {Learnt}
   */
  #after(known, lessons) {
    const before = known ?? this.#fitted;
    if (!this.#twin.state || !before) throw new Error("a policy that learns has a state");
    // Else it stands there already, and its own were written.
    if (known === null || known !== this.#twinKnows) this.#twin.restore?.(before);
    this.#twinKnows = null; // should it fail half-way
    for (const { lesson } of lessons) if (lesson) this.#teach(this.#twin, lesson);
    this.#twinKnows = this.#twin.state();
    return this.#twinKnows;
  }

  /**
   * @param {readonly Entry[]} entries
   * @returns {Promise<boolean>}
   */
  async #write(entries) {
    try {
      await this.#state.write(entries, (known, lessons) => this.#after(known, lessons));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (!this.#complained) {
        this.#complained = true;
        console.warn(`answers are given, and not recorded for now: ${error.message}`);
      }
      return false;
    }
    this.#complained = false;
    this.#settle(entries);
    return true;
  }

  /** @param {readonly Entry[]} entries */
  #keep(entries) {
    this.#waiting.push(...entries);
    const excess = this.#waiting.splice(0, Math.max(this.#waiting.length - MOST_WAITING, 0));
    for (const { audited } of excess) audited?.giveUp();
    this.#settle(excess);
    this.lost += excess.length;
  }

  /** @param {readonly Entry[]} entries recorded, or never to be */
  #settle(entries) {
    for (const { lesson } of entries) if (lesson) this.#underWay.delete(lesson);
  }

  /** Go on from what the state says, where it was opened anew meanwhile. */
  #catchUp() {
    if (this.#state.opened === this.#opened) return;
    this.#opened = this.#state.opened;
    if (this.learns !== "never") this.#rebuild();
  }

  /** Know what the state says and what is under way. */
  #rebuild() {
    const known = this.#state.learnt ?? this.#fitted;
    if (known) this.#steps.restore?.(known);
    for (const decision of this.#underWay) this.#teach(this.#steps, decision);
  }
}

/**
 * @param {unknown} error
 * @returns {error is DimecError}
 */
function isRefusal(error) {
  return [StorageError, ArtefactError, StateBusyError].some((kind) => error instanceof kind);
}

/**
 * @template T
 * @param {() => T} question to the policy
 * @returns {T}
 */
function asked(question) {
  try {
    return question();
  } catch (error) {
    if (error instanceof DimecError) throw error;
    throw new DataError(
      `the bundle's policy fails on this text (${problemOf(error)}); fit and export it again`,
    );
  }
}
