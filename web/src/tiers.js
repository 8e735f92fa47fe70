/** Tiers and what a path through them costs, in units of λ, the price of a layer at the edge. */

/**
 * An ordered place that can answer; the first is the device.
 *
 * @typedef {object} Tier
 * @property {string} name
 * @property {number} layer the deepest layer that runs here, at whose exit the tier answers
 * @property {number} layerPrice of running one layer here
 * @property {number} sendPrice of sending an input here
 * @property {number} visitPrice of a visit; one that stops early is charged its share
 * @property {string} source the model that runs here; tiers cut out of one model share it
 * @property {string} version of the tier's model
 * @property {"tokens" | "text"} takes what it is sent
 */

/**
 * A stay at a tier, as far as it went.
 *
 * @typedef {object} Visit
 * @property {number} tier its position
 * @property {number} start layers that had run when the input came: 0 where it came as text
 * @property {number} stop the layer that it was run up to
 * @property {"text" | "hidden" | null} payload what was sent there; null where the input arose
 */

/**
 * The price of an answer from a tier, where nothing ran before (equation 5 of the paper).
 *
 * @param {Tier} tier
 */
export function priceOf(tier) {
  return tier.layerPrice * tier.layer + tier.sendPrice + tier.visitPrice;
}

/**
 * λ of a path, and of every sending in vain.
 *
 * A visit runs the layers from `start` to `stop`, is a sending wherever it is not to the first
 * tier, and is charged stop / layer of the tier's visit price. The sums go tier by tier in the
 * order in which a replay makes them, so that both come to the same number.
 *
 * @param {readonly Visit[]} path
 * @param {readonly number[]} vain positions of the tiers that got the input in vain
 * @param {readonly Tier[]} tiers
 */
export function costOf(path, vain, tiers) {
  const unanswered = vain.map((tier) => ({ tier, start: 0, stop: 0 }));
  const visits = [...path, ...unanswered];
  let total = 0;
  tiers.forEach((tier, k) => {
    const here = visits.filter((visit) => visit.tier === k);
    const layers = here.reduce((sum, visit) => sum + (visit.stop - visit.start), 0);
    const charges = here.reduce((sum, visit) => sum + visit.stop / tier.layer, 0);
    total += tier.layerPrice * layers;
    total += tier.sendPrice * (k ? here.length : 0);
    total += tier.visitPrice * charges;
  });
  return total;
}
