/** The list of the answers of this tab. */

import { make } from "./dom.js";
import { milliseconds, percent, short, spent } from "./numbers.js";

/** @typedef {import("./session.js").Entry} Entry */

const SHOWN = 50;

/** The newest first; each can be opened again. */
export class Past {
  #place;
  #open;
  /** @type {WeakMap<Entry, HTMLElement>} */
  #rows = new WeakMap();

  /**
   * @param {HTMLElement} place
   * @param {(entry: Entry) => void} open
   */
  constructor(place, open) {
    this.#place = place;
    this.#open = open;
  }

  /** @param {readonly Entry[]} entries oldest first */
  show(entries) {
    const rows = entries
      .slice(-SHOWN)
      .reverse()
      .map((entry) => this.#row(entry));
    // Whoever stands on a row with the keyboard stays there.
    const wanted = new Set(/** @type {Element[]} */ (rows));
    for (const row of [...this.#place.children]) if (!wanted.has(row)) row.remove();
    rows.forEach((row, k) => {
      const there = this.#place.children[k];
      if (there !== row) this.#place.insertBefore(row, there ?? null);
    });
  }

  /** @param {Entry} entry */
  #row(entry) {
    const known = this.#rows.get(entry);
    if (known) return known;
    const { text, answer } = entry;
    const button = make(
      "button",
      { type: "button", className: "entry" },
      make("span", { className: "what", textContent: [text].flat().join("  |  ") }),
      make("span", {
        className: "label",
        textContent: `${answer.label} ${percent(answer.probability)}`,
      }),
      make("span", {
        className: "tier",
        data: { tier: answer.answeredBy },
        textContent: answer.answeredBy,
      }),
      make("span", {
        className: "hint",
        textContent: `${milliseconds(spent(answer))} · ${short(answer.cost)} λ`,
      }),
    );
    button.addEventListener("click", () => this.#open(entry));
    const row = make("li", {}, button);
    this.#rows.set(entry, row);
    return row;
  }
}
