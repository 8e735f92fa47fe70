/** Running the device's graphs by onnxruntime-web, in WebAssembly on one thread. */

import { CorruptArtefactError, problemOf } from "./errors.js";
import { ort } from "./vendor.js";

/** @typedef {import("onnxruntime-common").Tensor} Tensor */

// A second thread gains nothing at these sizes, and wants a page that is isolated from others.
ort.env.wasm.numThreads = 1;
// What fails is thrown as well, and the runtime's own lines would quote token ids.
ort.env.logLevel = "fatal";

/** A graph in memory, ready to run. */
export class Graph {
  #session;

  /** @param {import("onnxruntime-common").InferenceSession} session */
  constructor(session) {
    this.#session = session;
    this.inputs = session.inputNames;
    this.outputs = session.outputNames;
  }

  /**
   * The outputs in their order; inputs that the graph does not take are left out.
   *
   * @param {Record<string, Tensor>} feeds
   * @returns {Promise<Tensor[]>}
   */
  async run(feeds) {
    const wanted = Object.fromEntries(this.inputs.map((name) => [name, feeds[name]]));
    const found = await this.#session.run(wanted);
    return this.outputs.map((name) => found[name]);
  }

  /** Let go of its memory. */
  async release() {
    await this.#session.release();
  }
}

/**
 * Load a graph of a bundle, with the tensors that lie in files beside it.
 *
 * @param {import("./bundle.js").Bundle} bundle
 * @param {string} name
 * @returns {Promise<Graph>}
 * @throws {CorruptArtefactError} it cannot be run here
 */
export async function graphOf(bundle, name) {
  const content = bundle.read(name);
  const told = new TextDecoder("latin1").decode(content);
  // A graph names the files of its tensors in plain UTF-8.
  const beside = [...bundle.names()].filter((one) => one.endsWith(".data") && told.includes(one));
  try {
    return new Graph(
      await ort.InferenceSession.create(content, {
        executionProviders: ["wasm"],
        // As in Python: the graphs are exported as they are to run, and texts differ in length.
        graphOptimizationLevel: "basic",
        enableMemPattern: false,
        externalData: beside.map((path) => ({ path, data: bundle.read(path) })),
      }),
    );
  } catch (error) {
    throw new CorruptArtefactError(
      `${bundle.place}/${name} is no graph that onnxruntime ${ort.env.versions.common} can run ` +
        `(${problemOf(error)}); make the bundle again with: dimec export`,
    );
  }
}
