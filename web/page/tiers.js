/** The cards of the tiers: what is known of each, and the buttons to break it. */

import { make } from "./dom.js";
import { milliseconds } from "./numbers.js";

/** @typedef {import("../mobile.js").Link} Link */
/** @typedef {import("./events.js").Server} Server */

/** @type {Record<string, string>} */
const CIRCUITS = {
  closed: "circuit closed: it is asked",
  open: "circuit open: left alone for a while",
  "half-open": "circuit half open: it is tried",
};

/**
 * @typedef {object} Doing what the buttons do
 * @property {(tier: string, link: Link | null) => Promise<void>} link
 * @property {(tier: string, order: "stop" | "start") => Promise<void>} order
 */

/** One tier's card. */
class Card {
  /** @type {string} */
  #slow = "";
  #cut = false;
  #ordered = false;
  #links;
  #doing;
  #tier;

  /**
   * @param {string} tier
   * @param {{device: boolean, address: string | null, control: boolean,
   *   links: Record<string, Link>}} told
   * @param {Doing} doing
   */
  constructor(tier, { device, address, control, links }, doing) {
    this.#tier = tier;
    this.#links = links;
    this.#doing = doing;
    this.state = make("span", { className: "badge" });
    this.line = make("p", { className: "hint" });
    this.circuit = make("p", { className: "hint" });
    const name = make("span", { className: "tier", data: { tier }, textContent: tier });
    this.element = make(
      "li",
      {},
      make("div", { className: "row spread" }, make("h3", {}, name), this.state),
      this.line,
      this.circuit,
    );
    if (device) {
      this.state.textContent = "this browser";
      this.line.textContent = "Runs its layers here, in WebAssembly.";
      return;
    }
    this.line.textContent = address ?? "No address: give one under Settings, or it is passed over.";
    if (!address) return;
    this.#buttons(control);
  }

  /** @param {boolean} control */
  #buttons(control) {
    const tier = this.#tier;
    this.cutting = make("button", { type: "button", textContent: "Cut the link" });
    this.cutting.setAttribute("aria-pressed", "false");
    this.cutting.setAttribute("aria-label", `Cut the link to ${tier}`);
    this.cutting.addEventListener("click", () => {
      this.#cut = !this.#cut;
      this.cutting?.setAttribute("aria-pressed", String(this.#cut));
      void this.#shape();
    });
    const choices = ["", ...Object.keys(this.#links)].map((value) =>
      make("option", { value, textContent: value || "as it is" }),
    );
    const select = make("select", {}, ...choices);
    select.setAttribute("aria-label", `Link to ${tier}`);
    select.addEventListener("change", () => {
      this.#slow = select.value;
      void this.#shape();
    });
    const slowing = make("label", { className: "inline" }, "Link", select);
    const row = make("div", { className: "row" }, this.cutting, slowing);
    if (control) row.append(this.#stopping());
    this.element.append(row);
  }

  #stopping() {
    const button = make("button", { type: "button", textContent: "Stop the server" });
    this.stop = button;
    button.addEventListener("click", async () => {
      const order = button.dataset.order === "start" ? "start" : "stop";
      this.#ordered = true;
      button.setAttribute("aria-disabled", "true");
      try {
        await this.#doing.order(this.#tier, order);
      } finally {
        this.#ordered = false;
        button.removeAttribute("aria-disabled");
      }
    });
    button.setAttribute("aria-label", `Stop the server of ${this.#tier}`);
    return button;
  }

  #shape() {
    const slow = this.#links[this.#slow] ?? {};
    const link = this.#cut ? { ...slow, cut: true } : slow;
    return this.#doing.link(this.#tier, Object.keys(link).length ? link : null);
  }

  /** @param {Server | undefined} server */
  serverIs(server) {
    if (!server) return;
    this.state.textContent = server.state === "running" && !server.ready ? "busy" : server.state;
    this.state.dataset.state = server.ready ? "good" : "bad";
    const mean = server.milliseconds === null ? "" : `, ${milliseconds(server.milliseconds)} each`;
    this.line.textContent =
      `${server.requests} answered there${mean}, ${server.failures} failed, ` +
      `${server.inFlight + server.queued} under way`;
    if (!this.stop || this.#ordered) return;
    const order = ["stopped", "failed"].includes(server.state) ? "start" : "stop";
    if (this.stop.dataset.order === order) return;
    this.stop.dataset.order = order;
    const does = order === "start" ? "Start" : "Stop";
    this.stop.textContent = `${does} the server`;
    this.stop.setAttribute("aria-label", `${does} the server of ${this.#tier}`);
  }

  serverIsUnknown() {
    if (!this.stop) return;
    this.state.textContent = "not known";
    this.state.dataset.state = "";
    this.line.textContent = "";
  }

  /** @param {string | undefined} circuit */
  circuitIs(circuit) {
    this.circuit.textContent = circuit ? (CIRCUITS[circuit] ?? circuit) : "";
    this.circuit.dataset.state = !circuit || circuit === "closed" ? "" : "bad";
  }
}

/** All cards. */
export class Tiers {
  /** @type {Map<string, Card>} */
  #cards = new Map();

  /**
   * @param {HTMLElement} place
   * @param {readonly string[]} tiers the first is the device
   * @param {{addresses: Record<string, string>, control: boolean, links: Record<string, Link>}} told
   * @param {Doing} doing
   */
  constructor(place, tiers, { addresses, control, links }, doing) {
    tiers.forEach((tier, k) => {
      const address = addresses[tier] ?? null;
      const card = new Card(tier, { device: k === 0, address, control, links }, doing);
      this.#cards.set(tier, card);
    });
    place.replaceChildren(...[...this.#cards.values()].map((card) => card.element));
  }

  /** @param {Record<string, Server> | null} servers null where nobody tells */
  serversAre(servers) {
    for (const [tier, card] of this.#cards) {
      if (servers) card.serverIs(servers[tier]);
      else card.serverIsUnknown();
    }
  }

  /** @param {Record<string, string>} circuits */
  circuitsAre(circuits) {
    for (const [tier, card] of this.#cards) card.circuitIs(circuits[tier]);
  }
}
