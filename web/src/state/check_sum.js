/** A check sum of what a state knows beside its answers: a damaged one is found when it is opened. */

/** The remainders of all bytes: CRC-32 as in zlib, PNG and Python (polynomial 0xedb88320). */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest;
});

/**
 * CRC-32 of bytes. At once, and not by Web Crypto: IndexedDB ends a transaction that waits.
 *
 * @param {Uint8Array} bytes
 * @param {number} [before] the check sum of the bytes that stand before these
 * @returns {number} from 0 up to 2^32
 */
export function crc32(bytes, before = 0) {
  let rest = ~before;
  for (let k = 0; k < bytes.length; k += 1) rest = TABLE[(rest ^ bytes[k]) & 255] ^ (rest >>> 8);
  return ~rest >>> 0;
}

/**
 * Of a state's record of all but the answers, its own check sum left out.
 *
 * @param {any} rest plain values; `learnt` has arrays by name, or is null
 * @returns {number}
 */
export function checkSumOf({ checkSum, learnt, ...told }) {
  const arrays = Object.entries(learnt ?? {});
  const shapes = learnt && arrays.map(([name, { shape }]) => [name, shape]);
  const text = new TextEncoder().encode(JSON.stringify([told, shapes]));
  return arrays.reduce((sum, [, { data }]) => {
    return crc32(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), sum);
  }, crc32(text));
}
