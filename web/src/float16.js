/** Numbers of half precision (IEEE 754 binary16), which not every browser has arrays of. */

/**
 * The number of a bit pattern; each is exact in single precision.
 *
 * @param {number} bits 0 … 65535
 */
export function ofHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** @param {Uint16Array} bits */
export function ofHalves(bits) {
  return Float32Array.from(bits, ofHalf);
}
