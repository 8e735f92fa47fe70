/** The box to type into. */

import { byId, make } from "./dom.js";

/** @typedef {import("./app.js").App} App */

const FIELDS = /** @type {const} */ (["text", "second", "lines"]);

/** @param {string} id */
const box = (id) => /** @type {HTMLTextAreaElement} */ (byId(id));

/** @param {App} app */
export function setUpAsking(app) {
  const form = /** @type {HTMLFormElement} */ (byId("ask"));
  const { draft } = app.session;
  for (const id of FIELDS) {
    box(id).value = draft[id] ?? "";
    box(id).addEventListener("input", () => keepDraft(app));
  }
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!app.mobile) return;
    const send = byId("send");
    send.setAttribute("aria-busy", "true");
    byId("said").textContent = "Asking…";
    try {
      const text = box("text").value;
      await app.ask(app.pairs ? [text, box("second").value] : text);
    } catch (error) {
      byId("said").textContent = "";
      app.fails(error);
    } finally {
      send.removeAttribute("aria-busy");
    }
  });
}

/** @param {App} app */
function keepDraft(app) {
  const [text, second, lines] = FIELDS.map((id) => box(id).value);
  app.session.draft = { text, second, lines };
}

/** @param {boolean} pairs */
export function showPairs(pairs) {
  byId("second-field").hidden = !pairs;
  byId("text-label").textContent = pairs ? "First text" : "Text";
  byId("lines-hint").textContent = pairs
    ? "Two texts a line with a tab between them, or JSON lines with text and pair."
    : "Or JSON lines with text, and id if you like.";
}

/** @param {App} app */
export function showExamples(app) {
  const buttons = app.setup.examples.map((/** @type {any} */ one, /** @type {number} */ k) => {
    const [text, second = ""] = [one].flat();
    const button = make("button", {
      type: "button",
      className: "quiet",
      textContent: `Example ${k + 1}`,
      title: [one].flat().join("  |  "),
    });
    button.addEventListener("click", () => {
      box("text").value = text;
      box("second").value = second;
      keepDraft(app);
      box("text").focus();
    });
    return button;
  });
  byId("examples").replaceChildren(...buttons);
  byId("examples").hidden = !buttons.length;
}
