/** The line that tells how far the model's files have come. */

import { byId } from "./dom.js";
import { bytes } from "./numbers.js";

/** @typedef {import("../mobile.js").Progress} Progress */

/** Nothing has come yet. */
export function loadingBegins() {
  byId("loading").hidden = false;
  byId("loaded").textContent = "";
  bar().removeAttribute("value");
  bar().removeAttribute("aria-valuetext");
}

/** @param {Progress} progress */
export function loadingIs(progress) {
  const told = toldOf(progress);
  byId("loaded").textContent = told;
  bar().setAttribute("aria-valuetext", told);
  if (isWhole(progress)) bar().removeAttribute("value");
  else bar().value = progress.total ? progress.loaded / progress.total : 1;
}

export function loadingEnds() {
  byId("loading").hidden = true;
}

/**
 * How far it is, for a reader. Behind the files it takes as long as it takes.
 *
 * @param {Progress} progress
 */
export function toldOf(progress) {
  const { loaded, total } = progress;
  if (isWhole(progress)) return `${bytes(total)}, making it ready`;
  return `${bytes(loaded)} of ${bytes(total)}`;
}

/** @param {Progress} progress */
function isWhole({ done, files }) {
  return done === files;
}

function bar() {
  return /** @type {HTMLProgressElement} */ (byId("load"));
}
