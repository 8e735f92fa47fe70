/** What the page counts, and how it writes numbers. */

export const WINDOW = 100; // answers that a point of a chart looks back on

/**
 * The value below which a share q of all lies, between neighbours by straight lines.
 *
 * @param {readonly number[]} values
 * @param {number} q in [0, 1]
 */
export function percentile(values, q) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

/**
 * Name → share of a list; 0 for one that is not in it.
 *
 * @param {readonly string[]} list
 * @param {readonly string[]} names
 */
export function shares(list, names) {
  const of = (/** @type {string} */ name) => list.filter((one) => one === name).length;
  return Object.fromEntries(names.map((name) => [name, list.length ? of(name) / list.length : 0]));
}

/**
 * Milliseconds that were spent on a text, with those that its recording took. A text of a run waits
 * for others besides; its own `milliseconds` count that wait.
 *
 * @param {import("../mobile.js").Prediction} answer
 */
export function spent({ parts, milliseconds: all }) {
  const each = Object.values(parts ?? {}).filter((took) => typeof took === "number");
  return each.length ? each.reduce((sum, took) => sum + took, 0) : all;
}

/**
 * A point of the charts for each answer: over the last answers, or as of then.
 *
 * @param {readonly import("./session.js").Entry[]} entries
 * @param {readonly string[]} tiers
 */
export function pointsOf(entries, tiers) {
  return entries.map(({ saved, evidence }, k) => {
    const last = entries.slice(Math.max(0, k + 1 - WINDOW), k + 1).map((one) => one.answer);
    const times = last.map(spent);
    const by = shares(
      last.map((answer) => answer.answeredBy),
      tiers,
    );
    return {
      shares: by,
      p50: percentile(times, 0.5),
      p95: percentile(times, 0.95),
      saved: saved ?? null,
      evidence: evidence ?? null,
    };
  });
}

/** @param {number} value */
export function milliseconds(value) {
  if (value >= 10000) return `${(value / 1000).toFixed(1)} s`;
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ms`;
}

/** @param {number} value */
export function bytes(value) {
  if (value < 1000) return `${value} B`;
  return value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(1)} MB`;
}

/** @param {number} share */
export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/**
 * With so many digits that count, and none that are only zeros.
 *
 * @param {number} value
 * @param {number} [digits]
 */
export function short(value, digits = 3) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(digits))) : "∞";
}

/**
 * Any value of a reason, for a reader.
 *
 * @param {unknown} value
 * @returns {string}
 */
export function told(value) {
  if (value === null || value === undefined) return "none";
  if (typeof value === "number") return short(value, 4);
  if (Array.isArray(value)) return value.map(told).join(", ");
  if (typeof value === "object") {
    return Object.entries(value)
      .map(([name, one]) => `${name} ${told(one)}`)
      .join(", ");
  }
  return String(value);
}
