/** @dimec/mobile: an exported bundle of dimec, run without any server of its own. */

export {
  ArtefactError,
  ConfigError,
  CorruptArtefactError,
  DataError,
  DimecError,
  MismatchError,
  MissingArtefactError,
  TierError,
} from "./errors.js";
export { Mobile } from "./mobile.js";
export { kinds } from "./policies/kinds.js";
