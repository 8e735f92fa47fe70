/** One writer of a state: a lock of the browser's, gone with the tab that has it. */

import { StateBusyError } from "../errors.js";

// A page that is loaded again waits so long for its worker of before to end.
const PATIENCE = 1500; // milliseconds

/**
 * Hold a state.
 *
 * @param {string} name of the lock
 * @param {string} place for messages
 * @param {LockManager | undefined} [locks] of the browser; a platform without any has one page
 * @returns {Promise<() => void>} lets go of it
 * @throws {StateBusyError} another has it, and keeps it
 */
export async function lockOf(name, place, locks = globalThis.navigator?.locks) {
  if (!locks) return () => undefined;
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(PATIENCE);
    locks
      .request(name, { signal }, () => new Promise((release) => resolve(() => release(null))))
      .catch((error) => {
        if (error?.name !== "TimeoutError") reject(error);
        reject(
          new StateBusyError(
            `${place} is in use by another tab, or another mobile of this page, and a state has ` +
              'one writer; close that one, or open this with another state (":memory:" keeps none)',
          ),
        );
      });
  });
}
