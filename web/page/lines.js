/** Texts as lines, and answers as JSON lines. */

/** @typedef {import("../mobile.js").Text} Text */
/** @typedef {{id?: string, text: Text}} Input */

/**
 * Inputs of a file or box, one a line; empty lines are left out. A line is a text, or two with a
 * tab between them where texts come in pairs; where every line is JSON, a string, a list of two, or
 * an object with text, pair and id.
 *
 * @param {string} content
 * @param {boolean} pairs
 * @returns {Input[]}
 * @throws {Error} a line is not what it should be
 */
export function inputsOf(content, pairs) {
  const lines = content.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  const full = lines.map((line, k) => ({ line, k })).filter(({ line }) => line.trim());
  const json = full.length > 0 && full.every(({ line }) => /^\s*[{["]/.test(line) && isJson(line));
  return full.map(({ line, k }) => {
    const input = json ? ofJson(JSON.parse(line)) : { text: plain(line, pairs) };
    const { text } = input;
    const right = pairs ? Array.isArray(text) && text.length === 2 : typeof text === "string";
    const strings = [text].flat().every((one) => typeof one === "string");
    if (right && strings) return input;
    const wanted = pairs
      ? "two texts with a tab between them, or a JSON object with text and pair"
      : "a text, or a JSON object with text";
    throw new Error(`Line ${k + 1} is not ${wanted}; nothing was run. Change it and run again.`);
  });
}

/** @param {string} line */
function isJson(line) {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

/**
 * @param {string} line
 * @param {boolean} pairs
 * @returns {any}
 */
function plain(line, pairs) {
  return pairs ? line.split("\t") : line;
}

/**
 * @param {any} value
 * @returns {any}
 */
function ofJson(value) {
  if (typeof value === "string" || Array.isArray(value)) return { text: value };
  const { id, text, pair } = value ?? {};
  const both = pair === undefined || pair === null ? text : [text, pair];
  return id === undefined || id === null ? { text: both } : { id: String(id), text: both };
}

/**
 * One line for each answer: all of it, with its text and when it came.
 *
 * @param {readonly import("./session.js").Entry[]} entries
 */
export function jsonLines(entries) {
  return entries
    .map(({ text, at, answer }) => JSON.stringify({ text, at, ...answer }) + "\n")
    .join("");
}
