/** Running many texts: from the box or a file, until they end or are stopped. */

import { byId } from "./dom.js";
import { inputsOf } from "./lines.js";

/** @typedef {import("./app.js").App} App */

const WORKERS = 4; // texts under way: others go on while one waits for a tier

/** @param {App} app */
export function setUpRunning(app) {
  const form = byId("run-form");
  const lines = /** @type {HTMLTextAreaElement} */ (byId("lines"));
  const file = /** @type {HTMLInputElement} */ (byId("file"));
  const said = byId("run-said");
  const halt = /** @type {HTMLButtonElement} */ (byId("halt"));
  let stopped = false;

  file.addEventListener("change", async () => {
    const [chosen] = file.files ?? [];
    if (!chosen) return;
    lines.value = await chosen.text();
    lines.dispatchEvent(new Event("input"));
    said.textContent = `${chosen.name} is in the box.`;
  });
  halt.addEventListener("click", () => {
    stopped = true;
    said.textContent = "Stopping after the texts that are under way…";
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (app.running || !app.mobile) return;
    stopped = false;
    try {
      await runAll(app, inputsOf(lines.value, app.pairs), () => stopped);
    } catch (error) {
      said.textContent = "";
      app.fails(error);
    } finally {
      app.running = false;
      app.enable();
    }
  });
}

/**
 * @param {App} app
 * @param {import("./lines.js").Input[]} inputs
 * @param {() => boolean} stopped
 */
async function runAll(app, inputs, stopped) {
  const progress = /** @type {HTMLProgressElement} */ (byId("run-progress"));
  const said = byId("run-said");
  if (!inputs.length) {
    said.textContent = "There are no texts: type some, one a line, or choose a file.";
    byId("lines").focus();
    return;
  }
  app.running = true;
  app.enable();
  progress.hidden = false;
  progress.max = inputs.length;
  progress.value = 0;
  said.textContent = `Running ${inputs.length} texts…`;
  let done = 0;
  function* wanted() {
    for (const input of inputs) {
      if (stopped()) return;
      yield input;
    }
  }
  const mobile = /** @type {any} */ (app.mobile);
  for await (const answer of mobile.predictMany(wanted(), { workers: WORKERS })) {
    app.took(inputs[done].text, answer);
    progress.value = done += 1;
  }
  await app.look();
  said.textContent =
    done < inputs.length
      ? `Stopped: ${done} of ${inputs.length} texts have their answers.`
      : `All ${done} texts have their answers.`;
}
