/** The form of what a user sets. */

import { make } from "./dom.js";

/** @typedef {import("./session.js").Settings} Settings */
/** @typedef {import("./site.js").Setup} Setup */

/**
 * Options of a mobile.
 *
 * @param {Setup} setup
 * @param {Settings} settings
 * @returns {import("../worker.js").RemoteOptions}
 */
export function optionsOf(setup, settings) {
  const own = Object.entries(settings.tiers).filter(([, address]) => address.trim());
  const tiers = { ...Object.fromEntries(own), ...setup.tiers };
  const token = setup.token ?? (settings.token.trim() || null);
  const adaptive = settings.adaptive ? settings.adaptive === "yes" : null;
  const { audit, bound } = settings;
  const watched = audit ? { audit, ...(bound ? { auditBound: bound } : {}) } : {};
  return { tiers, token, adaptive, ...watched };
}

/**
 * Fill the form, and take what is set in it.
 *
 * @param {HTMLFormElement} form
 * @param {readonly string[]} served tiers other than the device
 * @param {Setup} setup
 * @param {Settings} settings
 * @param {(settings: Settings) => void} apply
 */
export function fillSettings(form, served, setup, settings, apply) {
  const names = [...new Set([...served, ...Object.keys(settings.tiers)])];
  const asked = names.filter((tier) => !(tier in setup.tiers));
  const addresses = asked.map((tier) =>
    field(`address-${tier}`, `Address of ${tier}`, {
      type: "url",
      placeholder: "https://…",
      value: settings.tiers[tier] ?? "",
    }),
  );
  const token = field("token", "Token of the tiers", { type: "password", value: settings.token });
  const adaptive = make("select", { id: "adaptive" });
  for (const [value, told] of Object.entries(ADAPTIVE)) {
    adaptive.append(
      make("option", { value, textContent: told, selected: value === settings.adaptive }),
    );
  }
  const audit = field("audit", "Share of texts that the last tier checks (audit), in %", {
    type: "number",
    min: "0",
    max: "100",
    step: "any",
    value: String(100 * settings.audit),
  });
  const bound = field("bound", "Answers that may differ, in %, where no promise says it", {
    type: "number",
    min: "0",
    max: "100",
    step: "any",
    value: settings.bound ? String(settings.bound) : "",
  });
  form.replaceChildren(
    ...addresses,
    ...(setup.token === null && names.length ? [token] : []),
    make("div", { className: "field" }, labelOf("adaptive", "The policy learns"), adaptive),
    audit,
    bound,
    make("p", { className: "hint", textContent: KEPT }),
    make("div", { className: "row" }, make("button", { className: "main", textContent: "Apply" })),
  );
  form.onsubmit = (event) => {
    event.preventDefault();
    const of = (/** @type {string} */ id) =>
      /** @type {HTMLInputElement | null} */ (form.querySelector(`[id="${id}"]`))?.value ?? "";
    apply({
      tiers: Object.fromEntries(asked.map((tier) => [tier, of(`address-${tier}`)])),
      token: of("token"),
      adaptive: /** @type {Settings["adaptive"]} */ (of("adaptive")),
      audit: Number(of("audit")) / 100,
      bound: Number(of("bound")),
    });
  };
}

const ADAPTIVE = { "": "as it was fitted to", yes: "yes", no: "no" };
const KEPT = "Kept in this tab only, until it is closed. To apply opens the model again.";

/** @param {string} id @param {string} text */
function labelOf(id, text) {
  return make("label", { htmlFor: id, textContent: text });
}

/**
 * @param {string} id
 * @param {string} label
 * @param {Partial<HTMLInputElement>} told
 */
function field(id, label, told) {
  const input = make("input", { id, ...told });
  return make("div", { className: "field" }, labelOf(id, label), input);
}
