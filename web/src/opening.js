/** What a mobile is made of, opened one after the other; where a step fails, all is closed again. */

import { Audit, AUDIT_OPTIONS, wantedAudit } from "./audit.js";
import { openBundle } from "./bundle.js";
import { promiseIn, toldPromise } from "./contract/promise.js";
import { coreOf } from "./core.js";
import { fallbackOrder } from "./course.js";
import { Decisions } from "./decisions.js";
import { Engine } from "./engine.js";
import { ConfigError, shown } from "./errors.js";
import { loaderOf } from "./loader.js";
import { NET_OPTIONS, reachOf } from "./net/reach.js";
import { policyOf } from "./policies/kinds.js";
import { cacheOf } from "./state/cache.js";
import { identityOf, storeOf } from "./state/open.js";
import { State } from "./state/state.js";

/** @typedef {import("../mobile.js").Info} Info */
/** @typedef {import("../mobile.js").Options} Options */
/** @typedef {import("./bundle.js").Bundle} Bundle */
/** @typedef {import("./contract/promise.js").Promised} Promised */
/** @typedef {import("./policies/kinds.js").Fitted} Fitted */

const OWN = ["adaptive", "cache", "fallback", "onProgress", "state"];
const OPTIONS = [...OWN, ...AUDIT_OPTIONS, ...NET_OPTIONS].sort();

/**
 * @typedef {object} Parts
 * @property {Engine} engine
 * @property {import("./manifest.js").Manifest} manifest
 * @property {Decisions} decisions
 * @property {Audit} audit
 * @property {import("./net/reach.js").Reach} reach
 * @property {State} state
 * @property {Omit<Info, "safe" | "state" | "audit">} about
 */

/**
 * Open a bundle, its state, and the way to its tiers.
 *
 * @param {string | URL | import("./loader.js").Loader} place
 * @param {Options} options
 * @returns {Promise<Parts>}
 * @throws {import("./errors.js").DimecError} it cannot be; nothing is left open
 */
export async function partsOf(place, options) {
  const started = performance.now();
  checkOptions(options);
  const loader = await loaderOf(place);
  const cache = await cacheOf(loader.place, options.cache ?? true);
  const bundle = await openBundle(loader, cache, options.onProgress);
  const opened = new Opened();
  opened.add(() => bundle.release());
  try {
    return await partsIn(bundle, options, started, opened);
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/**
 * @param {Options} options
 * @throws {ConfigError} there is no such option, or one that shows before anything is loaded
 */
function checkOptions(options) {
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown) {
    throw new ConfigError(`there is no option ${unknown}; there are ${OPTIONS.join(", ")}`);
  }
  const { fallback = "accuracy", onProgress } = options;
  fallbackOrder(0, fallback, []);
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw new ConfigError(`onProgress must be a function, got ${shown(onProgress, 40)}`);
  }
}

/**
 * @param {Bundle} bundle
 * @param {Options} options
 * @param {number} started as `performance.now` has it
 * @param {Opened} opened takes up whatever is opened
 * @returns {Promise<Parts>}
 */
async function partsIn(bundle, options, started, opened) {
  const { adaptive = null, fallback = "accuracy" } = options;
  const { manifest } = bundle;
  const { labels, tiers } = manifest;
  const orders = tiers.map((_, k) => fallbackOrder(k, fallback, tiers));
  const reach = reachOf(options, manifest);
  opened.add(() => reach.close());
  const policy = policyOf(bundle, adaptive);
  const promise = promiseIn(policy.fittedOn);
  const contract = toldPromise(promise);
  const state = await stateOf(bundle, policy, promise, options, opened);
  const audit = new Audit(state, tiers, labels, options);
  if (options.auditReset) await audit.begin();
  audit.check(wantedAudit(options, promise, tiers.length));
  const decisions = new Decisions(policy, state);
  const core = await coreOf(bundle);
  opened.add(() => core.release());
  bundle.release();
  audit.tell();
  const used = { manifest, decisions, audit, reach };
  const engine = new Engine({ ...used, core, orders, policy: policy.name, contract });
  const about = {
    bundle: bundle.place,
    version: tiers[0].version,
    policy: policy.name,
    contract,
    adaptive: policy.learns !== "never",
    startMilliseconds: performance.now() - started,
    bytes: [...manifest.files.values()].reduce((sum, file) => sum + file.bytes, 0),
    cached: bundle.cached,
  };
  return { ...used, engine, state, about };
}

/**
 * @param {Bundle} bundle
 * @param {Fitted} policy
 * @param {Promised | null} promise
 * @param {Options} options
 * @param {Opened} opened
 */
async function stateOf({ manifest }, policy, promise, options, opened) {
  const { tiers } = manifest;
  const watched = wantedAudit(options, promise, tiers.length);
  const identity = await identityOf(manifest);
  const names = tiers.map((tier) => tier.name);
  const check = policy.learns === "never" ? null : (policy.twin.restore?.bind(policy.twin) ?? null);
  const state = new State(storeOf(options.state, identity), identity, names, check, watched);
  opened.add(() => state.close());
  await state.open();
  return state;
}

/** What was opened, to be closed in the reverse order. */
class Opened {
  /** @type {(() => unknown)[]} */
  #closers = [];

  /** @param {() => unknown} close */
  add(close) {
    this.#closers.push(close);
  }

  /** Close all of it. That something cannot be closed is not told: why all is closed comes first. */
  async close() {
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close();
      } catch {
        // The others are closed all the same.
      }
    }
  }
}
