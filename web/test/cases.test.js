/** Parts against what Python's own parts say of random cases. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { Exit0 } from "../src/exit0.js";
import { arraysOf } from "../src/safetensors.js";
import { Encoder } from "../src/tokens.js";
import { assertClose, casesOf } from "./support.js";

for (const { name, limit, tokenizer, cases } of casesOf("tokenizers.json")) {
  const { direction } = tokenizer.truncation;
  test(`${name}, cut at ${limit} from the ${direction}: ${cases.length} texts and pairs`, () => {
    const encoder = new Encoder(tokenizer, limit);
    for (const { text, ids, types } of cases) {
      assert.deepEqual(encoder.encode(text), { ids, types }, JSON.stringify(text));
    }
  });
}

for (const { file, cases } of casesOf("exit0.json")) {
  test(`exit 0 of ${file}`, () => {
    const where = path.join(String(process.env.DIMEC_BUNDLES), file);
    const { arrays, metadata } = arraysOf(Uint8Array.from(readFileSync(where)), "exit 0", where);
    const exit0 = new Exit0(arrays, metadata);
    for (const { ids, pooled, said } of cases) {
      assertClose(exit0.one(ids, Float32Array.from(pooled)), said, `${ids}`, 1e-6);
    }
  });
}
