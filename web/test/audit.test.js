/** The audit: chance picks, the last tier is asked, the monitors watch, and the alarm stays. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { InOrder } from "../src/contract/in_order.js";
import { Monitor } from "../src/contract/monitor.js";
import { ConfigError, CorruptArtefactError, DataError, Mobile, TierError } from "../src/index.js";
import { MemoryStore } from "../src/state/store.js";
import { bundleOf, casesOf, copyOf, rewrite } from "./support.js";

/** @typedef {import("../mobile.js").Options} Options */

const { folder: device, golden } = bundleOf("max-softmax-tiers");
/** @type {string[]} */
const texts = golden.inputs.map((/** @type {any} */ input) => input.text);
const labels = ["negative", "positive"];

test("monitors are Python's, row by row, however late the rows come", () => {
  for (const { bound, alpha, low, first, events } of casesOf("monitors.json")) {
    let monitor = new Monitor(bound, alpha, low);
    let line = new InOrder(first);
    for (const { row, value, due, ...right } of events) {
      const values = line.settle(row, value);
      assert.deepEqual(values, due);
      monitor.extend(values);
      const { capital, rows, sum, alarm } = monitor;
      assert.ok(Math.abs(capital - right.capital) <= 1e-9 * right.capital, `${capital}`);
      assert.deepEqual([rows, sum, alarm], [right.rows, right.sum, right.alarm]);
      monitor = Monitor.of(JSON.parse(JSON.stringify(monitor)));
      line = InOrder.of(JSON.parse(JSON.stringify(line)));
    }
  }
});

/** A last tier that says the opposite of the device, or the same, or fails. */
class Cloud {
  asked = 0;
  /** @type {"same" | "other" | "fails"} */
  says = "same";
  /** @type {Map<string, string>} text → the device's label */
  known = new Map();

  /** @param {import("../mobile.js").Question} question */
  async infer({ text }) {
    this.asked += 1;
    if (this.says === "fails") throw new TierError("cloud", "timeout", "no answer", true);
    const own = labels.indexOf(String(this.known.get(String(text))));
    const said = this.says === "same" ? own : 1 - own;
    return Float32Array.from(labels, (_, k) => Number(k === said));
  }
}

/** What the device says of each text. @returns {Promise<Cloud>} */
async function cloudThatKnows() {
  const cloud = new Cloud();
  const mobile = await Mobile.open(device);
  for (const text of texts) cloud.known.set(text, (await mobile.predict(text)).label);
  await mobile.close();
  return cloud;
}

/**
 * A mobile whose every answer is the device's own.
 *
 * @param {import("node:test").TestContext} context
 * @param {Cloud} cloud
 * @param {Options} options
 * @param {object | null} [contract]
 */
async function audited(context, cloud, options, contract = null) {
  const bundle = copyOf(context, device);
  rewrite(bundle, "policy.json", (policy) => ({
    ...policy,
    kind: "tier",
    settings: { tier: 0 },
    arrays: [],
    fitted_on: { ...policy.fitted_on, contract },
  }));
  const mobile = await Mobile.open(bundle, { clients: { cloud }, ...options });
  context.after(() => mobile.close());
  return mobile;
}

test("answers stay the policy's, and the audit's cost is no answer's", async (context) => {
  const cloud = await cloudThatKnows();
  const mobile = await audited(context, cloud, { audit: 1, auditBound: 20 });
  let costs = 0;
  for (const text of texts) {
    const { answeredBy, label, cost, safe } = await mobile.predict(text);
    assert.deepEqual([answeredBy, safe], ["mobile", false]);
    assert.equal(label, cloud.known.get(text));
    costs += cost;
  }
  assert.equal(cloud.asked, texts.length);
  const ledger = await mobile.ledger();
  assert.deepEqual([ledger.audited, ledger.different, ledger.auditsFailed], [texts.length, 0, 0]);
  assert.ok(Math.abs(ledger.cost - costs) < 1e-9);
  assert.ok(ledger.auditCost > 0);
  assert.equal(ledger.alarm, null);
  const right = new Monitor(0.2, 1 - 0.95, 0);
  right.extend(texts.map(() => 0));
  const monitors = await mobile.monitors();
  assert.equal(monitors?.differences?.capital, right.capital);
});

test("the alarm puts the safe policy in place, until the audit is begun anew", async (context) => {
  const warn = mock.method(console, "warn", () => undefined);
  context.after(() => warn.mock.restore());
  const cloud = await cloudThatKnows();
  cloud.says = "other";
  const store = new MemoryStore();
  const options = { audit: 1, auditBound: 20, state: store };
  const mobile = await audited(context, cloud, options);
  const right = new Monitor(0.2, 1 - 0.95, 0);
  let before = 0;
  for (; !right.alarm; before += 1) {
    const { safe, policy } = await mobile.predict(texts[before % texts.length]);
    assert.equal(safe, false);
    assert.notEqual(policy, "all-cloud");
    right.update(1);
  }
  assert.equal((await mobile.info()).safe, true);
  assert.equal(warn.mock.callCount(), 1);
  assert.match(String(warn.mock.calls[0].arguments[0]), /alarm .*more answers differ.* than 20 %/);
  const asked = cloud.asked;
  const answer = await mobile.predict(texts[0], { id: "safe" });
  assert.deepEqual(
    [answer.safe, answer.policy, answer.contract, answer.answeredBy, answer.route],
    [true, "all-cloud", null, "cloud", "cloud"],
  );
  assert.equal(cloud.asked, asked + 1);
  assert.equal((await mobile.decide(texts[0])).tierName, "cloud");
  const { alarm, safeSince, safe, audited: rows } = await mobile.ledger();
  assert.deepEqual([alarm, safeSince, safe, rows], [right.alarm, before, 1, before]);
  await mobile.close();
  // It stays through a restart, of whatever is wanted then; another bound is refused.
  await assert.rejects(audited(context, cloud, { ...options, auditBound: 30 }), /begin anew/);
  const later = await audited(context, cloud, { state: store });
  assert.equal((await later.info()).safe, true);
  assert.equal((await later.predict("x", { id: "safe" })).policy, "all-cloud");
  await later.resetAudit();
  assert.equal((await later.info()).safe, false);
  assert.equal((await later.predict(texts[0])).answeredBy, "mobile");
  await later.close();
  const again = await audited(context, cloud, { ...options, auditBound: 30, auditReset: true });
  await again.predict(texts[0]);
  assert.equal((await again.monitors())?.differences?.rows, 1);
  assert.equal((await again.ledger()).audited, before + 1);
});

test("a last tier that fails gives a row up, and an audit holds up no other", async (context) => {
  const cloud = await cloudThatKnows();
  const mobile = await audited(context, cloud, { audit: 1, auditBound: 20 });
  for (const [k, says] of /** @type {const} */ (["same", "fails", "same"]).entries()) {
    cloud.says = says;
    await mobile.predict(texts[k]);
  }
  const { audited: rows, auditsFailed } = await mobile.ledger();
  assert.deepEqual([rows, auditsFailed], [2, 1]);
  assert.equal((await mobile.monitors())?.differences?.rows, 2);
  // An input that gets no answer at all leaves no hole in the line either.
  cloud.infer = async () => {
    throw new RangeError("of the client's own");
  };
  await assert.rejects(mobile.predict(texts[3]), RangeError);
  cloud.infer = Cloud.prototype.infer;
  cloud.says = "same";
  await mobile.predict(texts[4]);
  assert.equal((await mobile.monitors())?.differences?.rows, 3);
});

const drop = {
  max_accuracy_drop: 10,
  max_disagreement: null,
  max_cost: null,
  confidence: 0.9,
  calibration: { different_bound: 0.6 },
};

test("labels tell the drop, and rows behind one without its label wait", async (context) => {
  const cloud = await cloudThatKnows();
  const mobile = await audited(context, cloud, { audit: 1 }, drop);
  /** @type {("same" | "other")[]} */
  const pattern = ["same", "other", "same", "other", "same"];
  for (const [k, says] of pattern.entries()) {
    cloud.says = says;
    await mobile.predict(texts[k], { id: `${k}` });
  }
  const told = async () => {
    const { rows = -1, sum = -1 } = (await mobile.monitors())?.drops ?? {};
    return [rows, sum];
  };
  assert.deepEqual(await told(), [1, 0]);
  const other = (/** @type {number} */ k) => {
    return labels.find((label) => label !== cloud.known.get(texts[k])) ?? "";
  };
  assert.equal(await mobile.label("3", String(cloud.known.get(texts[3]))), -1);
  assert.deepEqual(await told(), [1, 0]);
  assert.equal(await mobile.label("1", other(1)), 1);
  assert.deepEqual(await told(), [5, 0]);
  assert.equal(await mobile.label("1", other(1)), 1);
  assert.equal(await mobile.label("0", other(0)), 0);
  assert.deepEqual(await told(), [5, 0]);
  await assert.rejects(
    mobile.label("1", String(cloud.known.get(texts[1]))),
    /another label before/,
  );
  await assert.rejects(mobile.label("nobody", "positive"), /was not audited/);
  await assert.rejects(mobile.label("1", "neutral"), /label among negative, positive/);
  const { differences, drops } = /** @type {any} */ (await mobile.monitors());
  assert.deepEqual([differences.bound, drops.bound], [0.6, 0.1]);
  assert.ok(Math.abs(drops.alpha - 0.05) < 1e-12);
  assert.equal((await mobile.info()).contract, "drop at most 10 points at 90 % confidence");
});

test("chance picks its share, the same for the same seed, and streams keep the order", async (context) => {
  const cloud = await cloudThatKnows();
  const counts = [];
  for (const auditSeed of [1, 1, 2]) {
    const mobile = await audited(context, cloud, { audit: 0.3, auditBound: 20, auditSeed });
    const before = cloud.asked;
    const picked = [];
    const inputs = Array.from({ length: 60 }, (_, k) => texts[k % texts.length]);
    for await (const { calls } of mobile.predictMany(inputs, { workers: 3 })) {
      picked.push(calls.length);
    }
    assert.equal((await mobile.ledger()).audited, cloud.asked - before);
    counts.push(picked.join(""));
  }
  assert.equal(counts[0], counts[1]);
  assert.notEqual(counts[0], counts[2]);
  const share = counts[0].replaceAll("0", "").length / 60;
  assert.ok(share > 0.1 && share < 0.5, `${share}`);
});

test("an audit that cannot be is refused", async (context) => {
  const cloud = await cloudThatKnows();
  /** @type {[Options, RegExp, (object | null)?][]} */
  const wrong = [
    [{ auditBound: 1 }, /does nothing without audit/],
    [{ audit: 0 }, /audit must be a share/],
    [{ audit: 1.5 }, /audit must be a share/],
    [{ audit: 0.1 }, /fitted without a contract/],
    [{ audit: 0.1, auditBound: 0 }, /auditBound must be over 0/],
    [{ audit: 0.1, auditBound: 20, auditSeed: 0.5 }, /auditSeed must be a whole number/],
    [{ audit: 0.1 }, /nothing to find/, { ...drop, calibration: { different_bound: 1 } }],
  ];
  for (const [options, problem, contract] of wrong) {
    await assert.rejects(audited(context, cloud, options, contract), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, problem);
      return true;
    });
  }
  await assert.rejects(
    audited(context, cloud, {}, { ...drop, confidence: "high" }),
    CorruptArtefactError,
  );
  const alone = Mobile.open(bundleOf("pabee").folder, { audit: 0.1, auditBound: 20 });
  await assert.rejects(alone, /these tiers are one alone/);
  const mobile = await audited(context, cloud, {});
  await assert.rejects(mobile.label("x", "positive"), DataError);
  assert.equal(await mobile.monitors(), null);
});
