/** What the site's own server tells of the tiers: a stream of events, read by fetch. */

/** @typedef {"running" | "starting" | "stopped" | "failed"} ServerState */

/**
 * Of one tier's server.
 *
 * @typedef {object} Server
 * @property {ServerState} state
 * @property {boolean} ready
 * @property {number} requests
 * @property {number} failures
 * @property {number} inFlight
 * @property {number} queued
 * @property {number | null} milliseconds mean of an inference there
 */

const PAUSES = [1, 2, 5, 10]; // seconds before it is asked again

/**
 * Splits a text/event-stream into the data of its events, however it is cut into pieces.
 */
export class EventParser {
  #rest = "";
  /** @type {string[]} */
  #data = [];

  /**
   * @param {string} piece
   * @returns {string[]} data of the events that are whole now
   */
  push(piece) {
    const all = this.#rest + piece;
    // A return at the end may be half of a line's end.
    const whole = all.endsWith("\r") ? all.slice(0, -1) : all;
    const lines = whole.split(/\r\n|\n|\r/);
    this.#rest = String(lines.pop()) + all.slice(whole.length);
    return lines.flatMap((line) => this.#line(line));
  }

  /** @param {string} line */
  #line(line) {
    if (!line) {
      const data = this.#data.join("\n");
      const any = this.#data.length > 0;
      this.#data = [];
      return any ? [data] : [];
    }
    const [field, ...value] = line.split(":");
    if (field === "data") this.#data.push(value.join(":").replace(/^ /, ""));
    return [];
  }
}

/**
 * Listen until aborted; where the stream ends it is asked for again, after a while.
 *
 * @param {string | URL} place
 * @param {Record<string, string>} headers
 * @param {AbortSignal} signal
 * @param {{event: (told: {tiers: Record<string, Server>, at: number}) => void,
 *   lost: (status: number | null) => void}} told status of the answer; null where there was none
 */
export async function listen(place, headers, signal, { event, lost }) {
  for (let failed = 0; !signal.aborted; failed += 1) {
    try {
      const response = await fetch(place, { headers, signal, cache: "no-store" });
      if (!response.ok || !response.body) throw new Refused(response.status);
      const parser = new EventParser();
      const decoder = new TextDecoder();
      for await (const piece of piecesOf(response.body)) {
        for (const data of parser.push(decoder.decode(piece, { stream: true }))) {
          failed = 0;
          event(JSON.parse(data));
        }
      }
      throw new Error("the stream has ended");
    } catch (error) {
      if (signal.aborted) return;
      lost(error instanceof Refused ? error.status : null);
    }
    await pause(1000 * PAUSES[Math.min(failed, PAUSES.length - 1)], signal);
  }
}

class Refused extends Error {
  /** @param {number} status */
  constructor(status) {
    super(`HTTP ${status}`);
    this.status = status;
  }
}

/** @param {ReadableStream<Uint8Array>} stream */
async function* piecesOf(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.releaseLock();
  }
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end);
  });
}
