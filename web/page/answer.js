/** The card of one answer. */

import { bar, make, terms } from "./dom.js";
import { bytes, milliseconds, percent, short, spent, told } from "./numbers.js";
import { fallbackOf } from "./problems.js";

/** @typedef {import("../mobile.js").Prediction} Prediction */
/** @typedef {import("./session.js").Entry} Entry */

/**
 * One sentence, for whoever listens.
 *
 * @param {Prediction} answer
 */
export function sentence(answer) {
  const { label, probability, answeredBy } = answer;
  const took = milliseconds(spent(answer));
  return `${label}, ${percent(probability)}; ${answeredBy} answered in ${took}.`;
}

/**
 * All of it.
 *
 * @param {Entry} entry
 * @param {{control: boolean}} setup
 */
export function answerCard({ text, answer }, setup) {
  const trouble = fallbackOf(answer, setup);
  return [
    make("blockquote", { textContent: [text].flat().join("  |  ") }),
    headline(answer),
    trouble && make("p", { className: "notice", textContent: trouble }),
    answer.safe && make("p", { className: "notice", textContent: SAFE }),
    answer.recorded === false && make("p", { className: "notice", textContent: UNRECORDED }),
    make("h3", { textContent: "Probabilities" }),
    probabilities(answer),
    make("h3", { textContent: "Path" }),
    steps(answer),
    make("p", { className: "hint", textContent: ran(answer) }),
    make("h3", { textContent: "Time" }),
    times(answer),
    answer.calls.length > 0 && make("h3", { textContent: "Asked over the network" }),
    answer.calls.length > 0 && calls(answer),
    make("p", { className: "hint", textContent: `Policy ${answer.policy}. ${promise(answer)}` }),
  ].filter((one) => one instanceof Node);
}

const SAFE = "The audit has raised its alarm: every text goes to the last tier until it is reset.";
const GIVEN_BEFORE = "This answer was given before, and its reasons are not kept.";
const UNRECORDED = "This answer is not recorded yet: there is no room. It waits in memory.";

/** @param {Prediction} answer */
function headline(answer) {
  const { label, probability, answeredBy, cost } = answer;
  const told = `${milliseconds(spent(answer))} · ${short(cost)} λ`;
  return make(
    "p",
    { className: "headline" },
    make("strong", { textContent: label }),
    make("span", { textContent: percent(probability) }),
    make("span", { className: "tier", data: { tier: answeredBy }, textContent: answeredBy }),
    make("span", { className: "hint", textContent: told }),
  );
}

/** @param {Prediction} answer */
function probabilities({ probabilities: all, answeredBy }) {
  const rows = Object.entries(all)
    .sort((a, b) => b[1] - a[1])
    .map(([name, share]) =>
      make(
        "li",
        {},
        make("span", { className: "name", textContent: name }),
        bar(share, answeredBy),
        make("span", { className: "number", textContent: percent(share) }),
      ),
    );
  return make("ul", { className: "bars" }, ...rows);
}

/** @param {Prediction} answer */
function steps(answer) {
  if (!answer.steps.length) return make("p", { className: "hint", textContent: GIVEN_BEFORE });
  const rows = answer.steps.map(({ at, next, why, values }) => {
    const from = at ? `${at.tier} ${at.layer}` : "start";
    const to = next === "answer" ? "answer" : `${next.tier} ${next.layer}`;
    const tier = next === "answer" ? (at?.tier ?? "") : next.tier;
    return make(
      "li",
      { data: { tier } },
      make("span", { className: "way", textContent: `${from} → ${to}` }),
      make("span", { className: "why", textContent: why }),
      numbers(values),
    );
  });
  return make("ol", { className: "steps" }, ...rows);
}

/** @param {Record<string, unknown>} values */
function numbers(values) {
  if (!Object.keys(values).length) return null;
  const rows = Object.entries(values).flatMap(([name, value]) => rowsOf(name, value));
  return make(
    "details",
    {},
    make("summary", { textContent: "Numbers" }),
    make("dl", { className: "facts" }, ...terms(Object.fromEntries(rows))),
  );
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {[string, string][]}
 */
function rowsOf(name, value) {
  if (!value || typeof value !== "object" || Array.isArray(value)) return [[name, told(value)]];
  return Object.entries(value).map(([key, one]) => [`${name}: ${key}`, told(one)]);
}

/** @param {Prediction} answer */
function ran({ path, tried }) {
  const stays = path.map(({ tier, start, stop, payload }) => {
    const what = payload ? `${payload} sent to ${tier}` : tier;
    return stop === 0 ? `${what}: no layer, exit 0` : `${what}: layers ${start + 1} to ${stop}`;
  });
  const vain = tried.length ? `; asked in vain: ${tried.join(", ")}` : "";
  return `What ran: ${stays.join("; ")}${vain}.`;
}

const WAITED = 5; // milliseconds that are worth a line

/** @param {Prediction} answer */
function times(answer) {
  const { parts, milliseconds: whole, answeredBy } = answer;
  const all = spent(answer);
  const waited = whole - (all - (parts?.record ?? 0));
  const rows = Object.entries(parts ?? {})
    .filter(([, took]) => took > 0) // all are 0 of an answer that was given before
    .map(([name, took]) =>
      make(
        "li",
        {},
        make("span", { className: "name", textContent: name }),
        bar(all ? took / all : 0, answeredBy),
        make("span", { className: "number", textContent: milliseconds(took) }),
      ),
    );
  const sum = make("span", { className: "number", textContent: milliseconds(all) });
  const told = `and ${milliseconds(waited)} of waiting for other texts of the run`;
  const total = make("li", {}, make("span", { className: "name", textContent: "all" }), sum);
  const wait = make("li", {}, make("span", { className: "hint wide", textContent: told }));
  return make("ul", { className: "bars" }, ...rows, total, waited > WAITED ? wait : null);
}

/** @param {Prediction} answer */
function calls({ calls: all }) {
  const rows = all.map(({ tier, milliseconds: took, sentBytes, receivedBytes, tries, ...rest }) =>
    make(
      "li",
      {},
      make("span", { className: "tier", data: { tier }, textContent: tier }),
      ` ${milliseconds(took)}, ${bytes(sentBytes)} sent, ${bytes(receivedBytes)} received, ` +
        `${tries} ${tries === 1 ? "request" : "requests"}`,
      rest.reason ? `: ${rest.reason}` : "",
      rest.detail ? ` (${rest.detail})` : "",
    ),
  );
  return make("ul", { className: "calls" }, ...rows);
}

/** @param {Prediction} answer */
function promise({ contract }) {
  return contract ? `It promises: ${contract}.` : "It promises nothing.";
}
