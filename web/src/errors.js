/** Errors that a user can act on: each says what was expected, what came, and what to do. */

/** Any error of this package. */
export class DimecError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** A setting, or a policy, that cannot work here. */
export class ConfigError extends DimecError {}

/** An input that is none. */
export class DataError extends DimecError {}

/** A bundle, or a file of one, that cannot be used. */
export class ArtefactError extends DimecError {}

/** A file is not there. */
export class MissingArtefactError extends ArtefactError {}

/** A file is not what it must be. */
export class CorruptArtefactError extends ArtefactError {}

/** Files that do not belong together. */
export class MismatchError extends ArtefactError {}

/** Another tab, or another mobile of this page, holds the state; it has one writer. */
export class StateBusyError extends DimecError {}

/** The store is full, or refuses to write. */
export class StorageError extends DimecError {}

/** A tier gave no usable answer. */
export class TierError extends DimecError {
  /**
   * @param {string} tier its name
   * @param {string} reason in a word or two, such as "not configured"
   * @param {string} detail for a reader
   * @param {boolean} sent whether the input left the device, so that its sending is to be paid
   */
  constructor(tier, reason, detail, sent) {
    super(`${tier}: ${reason}: ${detail}`);
    this.tier = tier;
    this.reason = reason;
    this.detail = detail;
    this.sent = sent;
  }
}

/**
 * What a stranger's file or a caller gave, short enough and plain enough for a message.
 *
 * @param {unknown} value
 * @param {number} [most] characters
 * @returns {string}
 */
export function shown(value, most = 120) {
  const text = typeof value === "string" ? value : String(JSON.stringify(value));
  const plain = text.replace(/[\p{C}\p{Z}]/gu, " ");
  return plain.length > most ? `${plain.slice(0, most)}…` : plain;
}

/**
 * The message of whatever was thrown, in one line.
 *
 * @param {unknown} error
 * @returns {string}
 */
export function problemOf(error) {
  return shown(error instanceof Error ? `${error.name}: ${error.message}` : String(error), 160);
}
