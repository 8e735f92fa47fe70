/** Bytes: one after the other, in base64, and random ones. */

/**
 * One array of all bytes, in order.
 *
 * @param {readonly Uint8Array[]} parts
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    whole.set(part, end);
    end += part.length;
  }
  return whole;
}

/**
 * The bytes of a typed array. Raw tensors are little-endian, as is every machine with WebAssembly.
 *
 * @param {ArrayBufferView} values
 */
export function bytesOf({ buffer, byteOffset, byteLength }) {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/**
 * In base64, with padding.
 *
 * @param {Uint8Array} bytes few of them, such as a hash
 */
export function base64Of(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

/**
 * Random bytes in hexadecimal.
 *
 * @param {number} count
 */
export function randomHex(count) {
  const bytes = crypto.getRandomValues(new Uint8Array(count));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
