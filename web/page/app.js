/** The page's parts, and the mobile that they show. */

import { answerCard, sentence } from "./answer.js";
import { setUpAsking, showExamples, showPairs } from "./asking.js";
import { Charts } from "./charts.js";
import { byId, make, nameTiers, terms } from "./dom.js";
import { listen } from "./events.js";
import { ledgerOf } from "./ledger.js";
import { jsonLines } from "./lines.js";
import { loadingBegins, loadingEnds, loadingIs } from "./loading.js";
import { bytes, milliseconds, pointsOf } from "./numbers.js";
import { openInWorker } from "./outside.js";
import { Past } from "./past.js";
import { lacking, lostOf, problemOf } from "./problems.js";
import { setUpRunning } from "./running.js";
import { KEPT, Session } from "./session.js";
import { fillSettings, optionsOf } from "./settings.js";
import { Place } from "./site.js";
import { Tiers } from "./tiers.js";

/** @typedef {import("../mobile.js").Prediction} Prediction */
/** @typedef {import("../mobile.js").Text} Text */
/** @typedef {import("./session.js").Entry} Entry */

const EVERY = 1000; // milliseconds between two looks at the circuits

/** One page, one mobile. */
export class App {
  #place = new Place(location);
  #session = new Session(storage(), new URL("./", location.href).pathname);
  /** @type {any} the setup, once it was read */
  setup = { tiers: {}, token: null, links: {}, control: false, examples: [] };
  /** @type {any} of openInWorker, while it is open */
  mobile = null;
  running = false;
  /** @type {string[]} */
  #tiers = [];
  /** @type {Charts | null} */
  #charts = null;
  /** @type {Tiers | null} */
  #cards = null;
  #past = new Past(byId("past"), (entry) => this.show(entry));
  #looking = false;
  #unkept = 0;

  /** Whether texts come in pairs. */
  get pairs() {
    return Boolean(this.mobile?.pairs);
  }

  get session() {
    return this.#session;
  }

  /** Read what is there, open the mobile, and go on where the tab was. */
  async start() {
    byId("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the address keeps its key
      byId("text").focus();
    });
    // Another key behind the # is another start of the site, and no load of the page by itself.
    addEventListener("hashchange", () => location.reload());
    setUpAsking(this);
    setUpRunning(this);
    this.#setUpList();
    const problem = lacking(globalThis);
    if (problem) {
      loadingEnds();
      this.#say(problem, "");
      return;
    }
    try {
      this.setup = await this.#place.setup();
    } catch (error) {
      loadingEnds();
      this.fails(error);
      return;
    }
    byId("version").textContent = `dimec ${this.setup.version}.`;
    await this.#open();
    if (this.setup.control) void this.#listen();
    setInterval(() => this.#lookAtCircuits(), EVERY);
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.#session.keep();
      else void this.#lookAtCircuits();
    });
    addEventListener("pagehide", () => this.#session.keep());
  }

  async #open() {
    byId("notice").replaceChildren();
    loadingBegins();
    const { settings } = this.#session;
    try {
      const bundle = this.#place.url(this.setup.bundle);
      const options = optionsOf(this.setup, settings);
      this.mobile = await openInWorker(bundle, { ...options, onProgress: loadingIs });
      this.#tiers = this.mobile.tiers;
      nameTiers(this.#tiers);
      await this.#opened();
    } catch (error) {
      this.fails(error);
      byId("settings").setAttribute("open", "");
    } finally {
      loadingEnds();
      this.#listChanged();
    }
    fillSettings(
      /** @type {HTMLFormElement} */ (byId("settings-form")),
      this.#tiers.slice(1),
      this.setup,
      settings,
      (changed) => void this.#again(changed),
    );
    this.enable();
  }

  async #opened() {
    const { mobile, setup } = this;
    const { tiers: addresses = {} } = optionsOf(setup, this.#session.settings);
    const monitors = await mobile.monitors();
    const limit = monitors?.differences ? 1 / monitors.differences.alpha : null;
    byId("charts").replaceChildren();
    this.#charts = new Charts(byId("charts"), this.#tiers, limit);
    this.#cards = new Tiers(
      byId("tiers"),
      this.#tiers,
      { ...setup, addresses },
      {
        link: async (tier, link) => this.#tried(() => mobile.link(tier, link)),
        order: (tier, order) => this.#tried(() => this.#place.order(tier, order)),
      },
    );
    showPairs(this.pairs);
    showExamples(this);
    await this.#about();
    await this.look();
    await this.#lookAtCircuits();
  }

  /** @param {import("./session.js").Settings} changed */
  async #again(changed) {
    this.#session.settings = changed;
    const old = this.mobile;
    this.mobile = null;
    this.enable();
    try {
      await old?.close();
    } catch (error) {
      this.fails(error);
    }
    await this.#open();
    if (this.mobile) byId("said").textContent = "The settings are applied.";
  }

  async #about() {
    const info = await this.mobile.info();
    byId("about").replaceChildren(
      ...terms({
        policy: info.policy,
        promise: info.contract ?? "none",
        learns: info.adaptive ? "yes" : "no",
        model: info.version,
        "started in": info.startMilliseconds ? milliseconds(info.startMilliseconds) : null,
        files: `${bytes(info.bytes)}${info.cached ? ", from this device" : ""}`,
      }),
    );
  }

  /**
   * Ask, and show the answer.
   *
   * @param {Text} text
   */
  async ask(text) {
    const answer = await this.mobile.predict(text);
    const entry = this.took(text, answer);
    this.show(entry);
    byId("said").textContent = sentence(answer);
    await this.look();
  }

  /**
   * An answer has come: into the list, and the charts.
   *
   * @param {Text} text
   * @param {Prediction} answer
   */
  took(text, answer) {
    /** @type {Entry} */
    const entry = { text, answer, at: Date.now() };
    this.#session.add(entry);
    void this.look();
    this.#unkept ||= window.setTimeout(() => {
      this.#unkept = 0;
      this.#session.keep();
    }, 500);
    return entry;
  }

  /** @param {Entry} entry */
  show(entry) {
    byId("answer").hidden = false;
    byId("answer-body").replaceChildren(...answerCard(entry, this.setup));
  }

  /** See what the ledger and the monitors say now; one look at a time. */
  async look() {
    const { mobile } = this;
    if (this.#looking || !mobile) return;
    this.#looking = true;
    try {
      const [ledger, monitors] = await Promise.all([mobile.ledger(), mobile.monitors()]);
      const last = this.#session.entries.at(-1);
      if (last) {
        last.saved = ledger.reduction;
        last.evidence = monitors?.differences?.capital ?? null;
      }
      byId("ledger").replaceChildren(...ledgerOf(ledger, monitors, () => this.#beginAnew()));
    } catch (error) {
      if (this.mobile === mobile) this.fails(error);
    } finally {
      this.#looking = false;
    }
    this.#listChanged();
  }

  #listChanged() {
    const { entries } = this.#session;
    this.#charts?.show(pointsOf(entries, this.#tiers));
    this.#past.show(entries);
    byId("past-none").hidden = entries.length > 0;
    byId("past-most").hidden = entries.length < KEPT;
    this.enable();
  }

  async #beginAnew() {
    await this.#tried(() => this.mobile.resetAudit());
    await this.look();
  }

  async #lookAtCircuits() {
    const { mobile } = this;
    if (!mobile || document.visibilityState === "hidden") return;
    try {
      this.#cards?.circuitsAre(await mobile.circuits());
    } catch (error) {
      if (this.mobile === mobile) this.fails(error);
    }
  }

  async #listen() {
    const said = byId("events-said");
    const { signal } = new AbortController();
    await listen(this.#place.url("events"), this.#place.headers, signal, {
      event: ({ tiers }) => {
        if (said.textContent) said.textContent = "";
        this.#cards?.serversAre(tiers);
      },
      lost: (status) => {
        this.#cards?.serversAre(null);
        said.textContent = lostOf(status);
      },
    });
  }

  /** @param {() => unknown} act */
  async #tried(act) {
    try {
      await act();
    } catch (error) {
      this.fails(error);
    }
  }

  /** @param {unknown} error */
  fails(error) {
    const { title, help } = problemOf(error);
    this.#say(title, help);
  }

  /** @param {string} title @param {string} help */
  #say(title, help) {
    const close = make("button", { type: "button", textContent: "Close" });
    close.addEventListener("click", () => byId("notice").replaceChildren());
    const text = make("p", {}, make("strong", { textContent: title }), help && ` ${help}`);
    byId("notice").replaceChildren(
      make("div", { className: "notice bad row spread" }, text, close),
    );
  }

  /** Buttons are there for what can be done now. */
  enable() {
    const { entries } = this.#session;
    const off = (/** @type {string} */ id, /** @type {boolean} */ one) => {
      /** @type {HTMLButtonElement} */ (byId(id)).disabled = one;
    };
    off("send", !this.mobile);
    off("run", !this.mobile || this.running);
    off("halt", !this.running);
    off("save", !entries.length);
    off("clear", !entries.length || this.running);
  }

  #setUpList() {
    byId("clear").addEventListener("click", () => {
      this.#session.clear();
      byId("answer").hidden = true;
      this.#listChanged();
      byId("text").focus();
    });
    byId("save").addEventListener("click", () => {
      const blob = new Blob([jsonLines(this.#session.entries)], { type: "application/x-ndjson" });
      const href = URL.createObjectURL(blob);
      make("a", { href, download: "answers.jsonl" }).click();
      setTimeout(() => URL.revokeObjectURL(href), 60_000);
    });
  }
}

function storage() {
  try {
    return sessionStorage;
  } catch {
    return null; // the browser forbids it
  }
}
