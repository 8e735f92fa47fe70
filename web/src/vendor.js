/**
 * The two packages that are not ours. Nothing else imports a package by its bare name, so a page
 * without an import map, or a worker, needs this one file rewritten.
 */

export * as ort from "onnxruntime-web/wasm";
export { Tokenizer } from "@huggingface/tokenizers";
