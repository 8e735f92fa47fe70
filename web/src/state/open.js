/** The state that a mobile is opened with. */

import { ConfigError, shown } from "../errors.js";
import { sha256 } from "../hashing.js";
import { IndexedStore } from "./indexed_store.js";
import { MemoryStore } from "./store.js";

/** @typedef {import("./store.js").Store} Store */

const MEMORY = ":memory:";
const OF_POLICY = ["policy.json", "policy.safetensors", "exit0.safetensors"];

/**
 * What a state goes with: the model that embeds, and the policy that was fitted.
 *
 * @param {import("../manifest.js").Manifest} manifest
 */
export function identityOf({ tiers, files }) {
  const hashes = OF_POLICY.map((name) => files.get(name)?.sha256 ?? null);
  const parts = JSON.stringify([tiers[0].version, ...hashes]);
  return sha256(new TextEncoder().encode(parts));
}

/**
 * The store of a state.
 *
 * @param {string | Store | undefined | null} wanted its name, or ":memory:"; by default that of the
 *   bundle, where the platform has an IndexedDB
 * @param {string} identity of the bundle
 * @returns {Store}
 * @throws {ConfigError} there is none like that
 */
export function storeOf(wanted, identity) {
  if (typeof wanted === "object" && wanted && "transact" in wanted) return wanted;
  const stored = typeof indexedDB === "object" && indexedDB !== null;
  if (wanted === undefined || wanted === null) {
    return stored ? new IndexedStore(identity.slice(0, 16)) : new MemoryStore();
  }
  if (typeof wanted !== "string" || !wanted) {
    throw new ConfigError(`state must be the name of a state, got ${shown(wanted, 40)}`);
  }
  if (wanted === MEMORY) return new MemoryStore();
  if (!stored) {
    throw new ConfigError("there is no IndexedDB here to keep a state in; leave state out");
  }
  return new IndexedStore(wanted);
}
