/** Charts of the answers so far, each with a sentence that says the same. */

import { make } from "./dom.js";
import { milliseconds, percent, short, WINDOW } from "./numbers.js";
import { uPlot } from "./outside.js";

/** @typedef {ReturnType<typeof import("./numbers.js").pointsOf>[number]} Point */
/** @typedef {{name: string, colour: string, of: (point: Point) => number | null}} Line */

/**
 * One chart.
 *
 * @typedef {object} Chart
 * @property {string} title
 * @property {Line[]} lines
 * @property {(points: readonly Point[]) => string} said
 * @property {(value: number) => string} written
 * @property {boolean} [share] whether the axis is from 0 to 1
 * @property {boolean} [log]
 */

const HEIGHT = 150;

/** All charts, redrawn when there are answers, or other colours or room. */
export class Charts {
  /** @type {{chart: Chart, place: HTMLElement, said: HTMLElement, plot: any}[]} */
  #drawn;
  /** @type {readonly Point[]} */
  #points = [];
  #asked = 0;

  /**
   * @param {HTMLElement} place
   * @param {readonly string[]} tiers
   * @param {number | null} limit of the drift monitor; null where it does not watch
   */
  constructor(place, tiers, limit) {
    this.#drawn = chartsOf(tiers, limit).map((chart) => {
      const said = make("p", { className: "hint" });
      const canvas = make("div", { className: "plot", aria: { hidden: "true" } });
      const caption = make("figcaption", {}, make("h3", { textContent: chart.title }), key(chart));
      place.append(make("figure", {}, caption, canvas, said));
      return { chart, place: canvas, said, plot: null };
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#again());
    new ResizeObserver(() => this.#soon()).observe(place);
    this.show([]);
  }

  /** @param {readonly Point[]} points */
  show(points) {
    this.#points = points;
    this.#soon();
  }

  /** Once before the next picture, however often it is asked for. */
  #soon() {
    this.#asked ||= requestAnimationFrame(() => {
      this.#asked = 0;
      for (const one of this.#drawn) this.#draw(one);
    });
  }

  #again() {
    for (const one of this.#drawn) {
      one.plot?.destroy();
      one.plot = null;
    }
    this.#soon();
  }

  /** @param {{chart: Chart, place: HTMLElement, said: HTMLElement, plot: any}} drawn */
  #draw(drawn) {
    const { chart, place, said } = drawn;
    said.textContent = this.#points.length ? chart.said(this.#points) : "No answers yet.";
    const width = Math.floor(place.clientWidth);
    if (!width) return;
    const data = dataOf(chart, this.#points);
    if (!drawn.plot) {
      drawn.plot = new uPlot(optionsOf(chart, width, place), data, place);
      return;
    }
    if (drawn.plot.width !== width) drawn.plot.setSize({ width, height: HEIGHT });
    drawn.plot.setData(data);
  }
}

/** @param {Chart} chart @param {readonly Point[]} points */
function dataOf({ lines }, points) {
  return [points.map((_, k) => k + 1), ...lines.map(({ of }) => points.map(of))];
}

/** @param {Chart} chart */
function key({ lines }) {
  const names = lines.map(({ name, colour }) =>
    make("span", { className: "key", data: { colour }, textContent: name }),
  );
  return make("span", { className: "keys" }, ...(names.length > 1 ? names : []));
}

/**
 * @param {Chart} chart
 * @param {number} width
 * @param {HTMLElement} place
 */
function optionsOf({ lines, written, share, log }, width, place) {
  const style = getComputedStyle(place);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
  const axis = {
    stroke: colour("soft"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
    font: `11px ${style.fontFamily}`,
  };
  const y = log
    ? { distr: 3, log: 10 }
    : {
        range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) =>
          share ? [Math.min(0, low), 1] : [0, Math.max(1, high * 1.1)],
      };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 16, 0, 0],
    scales: { x: { time: false, range: rangeOf }, y },
    axes: [
      { ...axis, size: 28, incrs: [1, 2, 5, 10, 20, 50, 100, 200] },
      {
        ...axis,
        size: 58,
        values: (/** @type {any} */ _, /** @type {(number | null)[]} */ ticks) =>
          ticks.map((one) => (one === null ? "" : written(one))),
      },
    ],
    series: [
      {},
      ...lines.map((line, k) => ({
        label: line.name,
        stroke: colour(line.colour),
        width: 2,
        dash: k % 3 === 1 ? [6, 3] : k % 3 === 2 ? [2, 3] : [],
        spanGaps: true,
        points: { show: (/** @type {any} */ plot) => plot.data[0].length < 2, size: 6 },
      })),
    ],
  };
}

/** @param {any} _ @param {number | null} low @param {number | null} high */
function rangeOf(_, low, high) {
  return low === null || high === null ? [1, 10] : [low, Math.max(high, low + 1)];
}

/**
 * @param {readonly string[]} tiers
 * @param {number | null} limit
 * @returns {Chart[]}
 */
function chartsOf(tiers, limit) {
  const last = (/** @type {readonly Point[]} */ points) => points[points.length - 1];
  /** @type {Chart[]} */
  const charts = [
    {
      title: `Who answered, of the last ${WINDOW}`,
      lines: tiers.map((name, k) => ({
        name,
        colour: `tier-${Math.min(k, 2)}`,
        of: (point) => point.shares[name],
      })),
      said: (points) =>
        `Now ${tiers.map((one) => `${one} ${percent(last(points).shares[one])}`).join(", ")}.`,
      written: (value) => `${Math.round(100 * value)} %`,
      share: true,
    },
    {
      title: "Cost saved against the last tier for all",
      lines: [{ name: "saved", colour: "accent", of: (point) => point.saved }],
      said: (points) => {
        const { saved } = points.findLast((one) => one.saved !== null) ?? { saved: null };
        return saved === null ? "Not known yet." : `Of all recorded answers: ${percent(saved)}.`;
      },
      written: (value) => `${Math.round(100 * value)} %`,
      share: true,
    },
    {
      title: `Latency, of the last ${WINDOW}, waiting for other texts left out`,
      lines: [
        { name: "p50", colour: "accent", of: (point) => point.p50 },
        { name: "p95", colour: "warm", of: (point) => point.p95 },
      ],
      said: (points) => {
        const { p50, p95 } = last(points);
        return `Now half are within ${milliseconds(p50 ?? 0)}, 95 % within ${milliseconds(p95 ?? 0)}.`;
      },
      written: (value) => (value < 1000 ? `${short(value)} ms` : `${short(value / 1000)} s`),
    },
  ];
  if (limit === null) return charts;
  return [
    ...charts,
    {
      title: "Drift monitor: evidence against the promise",
      lines: [
        { name: "evidence", colour: "accent", of: (point) => point.evidence },
        { name: "alarm", colour: "bad", of: () => limit },
      ],
      said: (points) => {
        const { evidence } = points.findLast((one) => one.evidence !== null) ?? { evidence: null };
        return evidence === null
          ? `No answer was audited yet; the alarm is at ${short(limit)}.`
          : `E-value ${short(evidence)}; the alarm is at ${short(limit)}.`;
      },
      written: (value) => short(value),
      log: true,
    },
  ];
}
