/** What went wrong, as sentences that say what to do. */

/** @typedef {import("../mobile.js").Prediction} Prediction */

/** @type {Record<string, string>} name of an error → what to do, where its message does not say it */
const HELP = {
  StateBusyError: "Another tab has this bundle open. Close it, then load this page again.",
  CorruptArtefactError:
    "The model's files are not the ones that were exported, so nothing is run with them. " +
    "Export the bundle again, or tell whoever runs this site.",
  MissingArtefactError: "The site is not whole. Write it again with dimec export --web.",
  StorageError: "Answers go on, but are not kept. Make room, or allow this site to keep data.",
};

/**
 * Why this browser cannot run the mobile; null where it can.
 *
 * @param {Record<string, any>} world the global object
 */
export function lacking(world) {
  if (typeof world.WebAssembly !== "object") {
    return (
      "This browser has no WebAssembly, which the model runs in. Some browsers switch it off in a " +
      "strict or lockdown mode: allow it for this site, or open the page in another browser."
    );
  }
  if (!world.isSecureContext || !world.crypto?.subtle) {
    return (
      "This page came by plain HTTP from another machine, where browsers do not check files. Open " +
      "it by https://, or on the machine that serves it."
    );
  }
  return null;
}

/**
 * @param {unknown} error
 * @returns {{title: string, help: string}}
 */
export function problemOf(error) {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const title = message ? message[0].toUpperCase() + message.slice(1) : name;
  return { title: /[.!?]$/.test(title) ? title : `${title}.`, help: HELP[name] ?? "" };
}

/** @type {Record<number, string>} status → what to do; 0 for no answer */
const LOST = {
  0: "The server of this page does not answer; it is asked again.",
  401: "dimec up was started anew, with another key; open the address that it printed.",
};

/**
 * What to do where the servers' events have ended.
 *
 * @param {number | null} status of the answer; null where there was none
 */
export function lostOf(status) {
  return LOST[status ?? 0] ?? LOST[0];
}

/**
 * What to do about tiers that were asked in vain; null where none was.
 *
 * @param {Prediction} answer
 * @param {{control: boolean}} setup
 */
export function fallbackOf({ fallbackReason, calls, answeredBy }, { control }) {
  if (!fallbackReason) return null;
  const details = calls.map((one) => one.detail ?? "").join(" ");
  const said = `Not as the policy wanted (${fallbackReason}), so ${answeredBy} answers.`;
  if (/\b40[13]\b/.test(details)) {
    return `${said} The server refuses the token: ${control ? "open the page by the address that dimec up printed last" : "set the right one under Settings"}.`;
  }
  if (fallbackReason.includes("not configured")) {
    return `${said} Give the tier's address under Settings.`;
  }
  return said;
}
