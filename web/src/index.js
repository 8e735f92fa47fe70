/** @dimec/mobile: an exported bundle of dimec, run without any server of its own. */

export {
  ArtefactError,
  ConfigError,
  CorruptArtefactError,
  DataError,
  DimecError,
  MismatchError,
  MissingArtefactError,
  StateBusyError,
  StorageError,
  TierError,
} from "./errors.js";
export { Mobile } from "./mobile.js";
export { REASONS as reasons } from "./net/errors.js";
export { kinds } from "./policies/kinds.js";
