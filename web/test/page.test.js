/** The page's parts that need no document. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { EventParser } from "../page/events.js";
import { inputsOf, jsonLines } from "../page/lines.js";
import { toldOf } from "../page/loading.js";
import {
  bytes,
  milliseconds,
  percentile,
  pointsOf,
  shares,
  spent,
  told,
  WINDOW,
} from "../page/numbers.js";
import { fallbackOf, lacking, lostOf, problemOf } from "../page/problems.js";
import { KEPT, Session } from "../page/session.js";
import { optionsOf } from "../page/settings.js";

/** @param {string} answeredBy @param {number} took @returns {any} */
const entry = (answeredBy, took) => ({
  text: "a film",
  at: 1,
  answer: { answeredBy, milliseconds: took },
});

/** A storage with room for so many characters. */
class Box {
  /** @type {Map<string, string>} */
  items = new Map();

  constructor(room = Infinity) {
    this.room = room;
  }

  /** @param {string} key */
  getItem(key) {
    return this.items.get(key) ?? null;
  }

  /** @param {string} key @param {string} value */
  setItem(key, value) {
    if (value.length > this.room) throw new Error("no room");
    this.items.set(key, value);
  }

  /** @param {string} key */
  removeItem(key) {
    this.items.delete(key);
  }
}

test("percentiles lie between neighbours, in any order of the values", () => {
  assert.equal(percentile([], 0.5), null);
  assert.equal(percentile([7], 0.95), 7);
  assert.equal(percentile([30, 10, 20], 0.5), 20);
  assert.equal(percentile([10, 2], 0.25), 4); // by number, not by letter
  assert.equal(percentile([1, 2, 3], 1), 3);
});

test("what a text took is the sum of its parts, without the wait for others", () => {
  const answer = { milliseconds: 1200, parts: { tokenise: 1, tiers: 20, record: 3 } };
  assert.equal(spent(/** @type {any} */ (answer)), 24);
  assert.equal(spent(/** @type {any} */ ({ milliseconds: 7, parts: null })), 7);
});

test("who holds an old key is told so, and others that it is asked again", () => {
  assert.match(lostOf(401), /another key; open the address/);
  assert.match(lostOf(null), /asked again/);
  assert.match(lostOf(503), /asked again/);
});

test("shares are of those asked for", () => {
  assert.deepEqual(shares(["edge", "edge", "cloud", "edge"], ["mobile", "edge"]), {
    mobile: 0,
    edge: 0.75,
  });
  assert.deepEqual(shares([], ["edge"]), { edge: 0 });
});

test("a point looks back on the last answers alone", () => {
  const entries = [entry("cloud", 1e6), ...Array.from({ length: WINDOW }, () => entry("edge", 5))];
  const points = pointsOf(entries, ["edge", "cloud"]);
  assert.equal(points.length, entries.length);
  assert.deepEqual(points[0].shares, { edge: 0, cloud: 1 });
  const last = points[points.length - 1];
  assert.deepEqual(last, {
    shares: { edge: 1, cloud: 0 },
    p50: 5,
    p95: 5,
    saved: null,
    evidence: null,
  });
});

test("numbers are written for a reader", () => {
  assert.deepEqual([0.04, 99.96, 250.4, 12345].map(milliseconds), [
    "0.0 ms",
    "100.0 ms",
    "250 ms",
    "12.3 s",
  ]);
  assert.deepEqual([999, 1234, 5.5e6].map(bytes), ["999 B", "1.2 kB", "5.5 MB"]);
  assert.equal(
    told({ edge: 1 / 3, cloud: null, way: [1, "a"] }),
    "edge 0.3333, cloud none, way 1, a",
  );
});

const STREAM =
  'retry: 5\r\ndata: {"a":1}\r\n\r\n: a comment\n\ndata: two\ndata:  lines\n\ndata: cut';

test("events come out whole, however the stream is cut", () => {
  for (let size = 1; size <= STREAM.length; size += 1) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < STREAM.length; at += size) {
      events.push(...parser.push(STREAM.slice(at, at + size)));
    }
    assert.deepEqual(events, ['{"a":1}', "two\n lines"], `pieces of ${size}`);
    assert.deepEqual(parser.push("\n\n"), ["cut"]);
  }
});

test("lines are texts, empty ones none", () => {
  assert.deepEqual(inputsOf("\uFEFFa film\r\n\n  \n[sic] a cast\ttoo\r", false), [
    { text: "a film" },
    { text: "[sic] a cast\ttoo" },
  ]);
  assert.deepEqual(inputsOf("", false), []);
});

test("pairs have a tab, and JSON lines are read as such", () => {
  assert.deepEqual(inputsOf("one\ttwo", true), [{ text: ["one", "two"] }]);
  assert.deepEqual(inputsOf('{"id": 7, "text": "a", "pair": "b"}\n["c", "d"]', true), [
    { id: "7", text: ["a", "b"] },
    { text: ["c", "d"] },
  ]);
  assert.deepEqual(inputsOf('{"text": "a"}\n"b"', false), [{ text: "a" }, { text: "b" }]);
});

test("a line that is no input is named", () => {
  assert.throws(() => inputsOf("a\tb\n\nalone", true), /Line 3 is not two texts/);
  assert.throws(() => inputsOf("a\tb\tc", true), /Line 1/);
  assert.throws(() => inputsOf('{"text": "a"}\n{"txt": "b"}', false), /Line 2 is not a text/);
  assert.throws(() => inputsOf('["a", 7]', true), /Line 1/);
});

test("answers are exported a line each, with their texts", () => {
  const lines = jsonLines([entry("edge", 5), entry("cloud", 6)]).split("\n");
  assert.equal(lines.pop(), "");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [
      { text: "a film", at: 1, answeredBy: "edge", milliseconds: 5 },
      { text: "a film", at: 1, answeredBy: "cloud", milliseconds: 6 },
    ],
  );
});

test("a session goes on after a reload, of the same bundle alone", () => {
  const box = new Box();
  const first = new Session(box, "/a/");
  first.add(entry("edge", 5));
  first.keep();
  first.draft = { text: "half a", second: "", lines: "" };
  first.settings = { ...first.settings, audit: 0.5 };
  const again = new Session(box, "/a/");
  assert.deepEqual(again.entries, [entry("edge", 5)]);
  assert.equal(again.draft.text, "half a");
  assert.equal(again.settings.audit, 0.5);
  const other = new Session(box, "/b/");
  assert.deepEqual([other.entries, other.draft.text, other.settings.audit], [[], "", 0]);
});

test("a session keeps the newest that have room, and works without a storage", () => {
  const box = new Box(2000);
  const session = new Session(box, "/");
  for (let k = 0; k < KEPT + 5; k += 1) session.add(entry("edge", k));
  assert.equal(session.entries.length, KEPT);
  session.keep();
  const kept = new Session(box, "/").entries;
  assert.ok(kept.length > 0 && kept.length < KEPT);
  assert.deepEqual(kept[kept.length - 1], entry("edge", KEPT + 4));
  const without = new Session(null, "/");
  without.add(entry("edge", 1));
  without.keep();
  assert.deepEqual(without.draft.text, "");
});

test("what a user sets completes what the site knows, and changes none of it", () => {
  /** @type {any} */
  const setup = { tiers: { edge: "http://edge" }, token: null };
  const settings = {
    tiers: { edge: "http://other", cloud: "http://cloud", far: " " },
    token: " t ",
    adaptive: /** @type {const} */ ("no"),
    audit: 0.1,
    bound: 5,
  };
  assert.deepEqual(optionsOf(setup, settings), {
    tiers: { edge: "http://edge", cloud: "http://cloud" },
    token: "t",
    adaptive: false,
    audit: 0.1,
    auditBound: 5,
  });
  const unset = { tiers: {}, token: "", adaptive: /** @type {const} */ (""), audit: 0, bound: 0 };
  assert.deepEqual(optionsOf({ ...setup, token: "of the site" }, unset), {
    tiers: { edge: "http://edge" },
    token: "of the site",
    adaptive: null,
  });
});

test("a browser that cannot run it is told why", () => {
  const able = { WebAssembly, isSecureContext: true, crypto: { subtle: {} } };
  assert.equal(lacking(able), null);
  assert.match(String(lacking({ ...able, WebAssembly: undefined })), /WebAssembly/);
  assert.match(String(lacking({ ...able, isSecureContext: false })), /https/);
});

test("errors are sentences with what to do", () => {
  assert.deepEqual(
    problemOf(Object.assign(new Error("it is open elsewhere"), { name: "StateBusyError" })),
    {
      title: "It is open elsewhere.",
      help: "Another tab has this bundle open. Close it, then load this page again.",
    },
  );
  assert.deepEqual(problemOf("a thing"), { title: "A thing.", help: "" });
});

test("a refused token and a missing address are told from a tier that is down", () => {
  /** @param {string} fallbackReason @param {string} detail @returns {any} */
  const answer = (fallbackReason, detail) => ({
    fallbackReason,
    answeredBy: "mobile",
    calls: [{ detail }],
  });
  const site = { control: false };
  assert.match(
    String(fallbackOf(answer("edge: refused", "HTTP 401: no"), site)),
    /token.*Settings/,
  );
  assert.match(String(fallbackOf(answer("edge: not configured", ""), site)), /address/);
  const down = String(fallbackOf(answer("edge: unreachable", "no answer"), site));
  assert.match(down, /unreachable/);
  assert.doesNotMatch(down, /Settings/);
  assert.equal(fallbackOf(/** @type {any} */ ({ fallbackReason: null }), site), null);
});

test("how far the files have come is told in bytes, and then that the model is made ready", () => {
  const progress = { file: "a", total: 4e6, files: 2 };
  assert.equal(toldOf({ ...progress, loaded: 1500, done: 0 }), "1.5 kB of 4.0 MB");
  // All bytes are there, and the last file is not checked yet.
  assert.equal(toldOf({ ...progress, loaded: 4e6, done: 1 }), "4.0 MB of 4.0 MB");
  assert.equal(toldOf({ ...progress, loaded: 4e6, done: 2 }), "4.0 MB, making it ready");
});
