/** What the page takes from elsewhere in its site: the mobile, and the charts' library. */

// Both lie there in a site, not in the sources; see dimec.web.assets.
// @ts-expect-error
import { openInWorker as open } from "../mobile/remote.js";
// @ts-expect-error
import Plot from "../vendor/uplot/uPlot.esm.js";

/** @type {typeof import("../src/remote.js").openInWorker} */
export const openInWorker = open;
/** @type {any} */
export const uPlot = Plot;
