/** The document's elements. */

/**
 * The element of that id.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}; load it again`);
  return /** @type {T} */ (found);
}

/** @type {readonly string[]} */
let tierNames = [];

/**
 * The tiers in order: each has a colour of its own.
 *
 * @param {readonly string[]} names
 */
export function nameTiers(names) {
  tierNames = names;
}

/**
 * A new element. Properties are set as such; of `data` and `aria` each goes to its attribute;
 * one of a tier has its colour.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, any>} [told]
 * @param {...(Node | string | null | false)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(name, { data = {}, aria = {}, ...told } = {}, ...children) {
  const element = document.createElement(name);
  Object.assign(element, told);
  Object.assign(element.dataset, data);
  const nth = tierNames.indexOf(data.tier);
  if (nth >= 0) element.dataset.nth = String(Math.min(nth, 2));
  for (const [key, value] of Object.entries(aria)) element.setAttribute(`aria-${key}`, value);
  for (const child of children) if (child) element.append(child);
  return element;
}

/**
 * Terms and what is said of them, for a dl.
 *
 * @param {Record<string, string | Node | null | undefined>} facts those without a value are left out
 */
export function terms(facts) {
  return Object.entries(facts).flatMap(([term, value]) => {
    if (value === null || value === undefined) return [];
    return [make("div", {}, make("dt", { textContent: term }), make("dd", {}, value))];
  });
}

/**
 * A bar as long as a share of its track.
 *
 * @param {number} share
 * @param {string} [tier] whose colour it has
 */
export function bar(share, tier = "") {
  const fill = make("span", { className: "fill", data: { tier } });
  fill.style.inlineSize = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return make("span", { className: "track", aria: { hidden: "true" } }, fill);
}
