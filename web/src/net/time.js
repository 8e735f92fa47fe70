/** Waiting, and deadlines. */

/**
 * Wait, unless a signal gives it up: then its reason is thrown.
 *
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export async function pause(milliseconds, signal) {
  signal?.throwIfAborted();
  if (!(milliseconds > 0)) return;
  await new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener("abort", end);
        resolve(null);
      },
      Math.min(milliseconds, 2 ** 31 - 1),
    ); // beyond that it would fire at once
    signal?.addEventListener("abort", end, { once: true });
  });
}
