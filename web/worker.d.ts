/** The mobile in a module worker, so that the page stays free while layers run. */

import type { Loader, Mobile, Options } from "./mobile.js";

/** A mobile in a worker of its own: what it is, and its methods, which all give promises. */
export type RemoteMobile = Omit<Mobile, "circuits" | "link"> & {
  circuits(): Promise<ReturnType<Mobile["circuits"]>>;
  link(...told: Parameters<Mobile["link"]>): Promise<void>;
};

/**
 * Options that can be handed to a worker: plain values, so neither clients nor a store;
 * `onProgress` stays with the page, and is called there.
 */
export type RemoteOptions = Omit<Options, "clients" | "state"> & { state?: string };

/**
 * Open a bundle in a worker of its own; rejects as `Mobile.open` does, with errors of the same
 * classes. Should the worker end, whatever was asked of it rejects with a DimecError; `close` ends it.
 *
 * @param place address of the bundle
 */
export function openInWorker(
  place: Exclude<Parameters<typeof Mobile.open>[0], Loader>,
  options?: RemoteOptions,
): Promise<RemoteMobile>;

export {
  ArtefactError,
  ConfigError,
  CorruptArtefactError,
  DataError,
  DimecError,
  MismatchError,
  MissingArtefactError,
  StateBusyError,
  StorageError,
  TierError,
} from "./mobile.js";
