/** A text, or a pair of texts where the bundle's task is on pairs. */
export type Text = string | readonly [string, string];

/** Where a text would be sent first, and how clear that is. */
export interface Choice {
  /** Position of the tier; 0 is the device. */
  tier: number;
  tierName: string;
  /** Tier → the policy's score, lower is nearer; null for a tier that is never reached. */
  scores: Record<string, number | null>;
  /** The second lowest score less the lowest; null where there are not two. */
  margin: number | null;
}

/** What one tier did for an answer. */
export interface Stay {
  tier: string;
  /** The layers that had run when the input came there: 0 where it came as text. */
  start: number;
  /** The layer up to which it ran; 0 for the exit that reads the embedding layer alone. */
  stop: number;
  /** What was sent there; null where the input arose. */
  payload: "text" | "hidden" | null;
}

/** One answer, and how it came about. */
export interface Prediction {
  /** The most probable class. */
  label: string;
  probability: number;
  /** Class → probability; they add up to 1. */
  probabilities: Record<string, number>;
  /** The tier that the policy chose first, before a layer had run. */
  route: string;
  /** Tier → how the policy scored it for that, lower is nearer; empty where it measures none. */
  distances: Record<string, number | null>;
  margin: number | null;
  /** What ran for the answer, stay by stay. */
  path: Stay[];
  /** The tier whose exit gave the answer. */
  answeredBy: string;
  /** Why another tier answers than the policy wanted, such as "edge: not configured"; or null. */
  fallbackReason: string | null;
  /** The tiers that were asked in vain, in order. */
  tried: string[];
  /** Wall time from the text to the answer. */
  milliseconds: number;
  /** λ of all that ran on the path, and of every sending in vain. */
  cost: number;
  /** Name of the policy that decided. */
  policy: string;
  /** What the policy promises; null where it promises nothing. */
  contract: string | null;
}

/** What a tier is asked. */
export interface Question {
  tier: string;
  text: Text;
  /** Name → the token ids, and what goes with them, as every graph of this model takes them. */
  inputs: Record<string, BigInt64Array>;
}

/** Whoever reaches a tier. */
export interface Client {
  /** Probabilities of the classes, in the bundle's order; rejects with a TierError. */
  infer(question: Question): Promise<Float32Array>;
}

export interface Options {
  /** Whether the policy learns from inputs; left out, as it was fitted to do. */
  adaptive?: boolean | null;
  /**
   * Whom to ask where a tier fails and no exit has spoken before: "accuracy" the deepest of the
   * others first, "cost" the dearest of those that are cheaper; the device is the last.
   */
  fallback?: "accuracy" | "cost";
  /** Tier → who reaches it; a tier without one is never reached, and the next best answers. */
  clients?: Record<string, Client>;
}

/** Where a bundle's files come from. */
export interface Loader {
  /** For messages. */
  place: string;
  /** The content of a file, of which no more than `most` bytes are taken in. */
  read(name: string, most: number): Promise<Uint8Array<ArrayBuffer>>;
  /** The folder of that name below this one. */
  inside(folder: string): Loader;
}

/** Answers texts by an exported bundle: the policy decides before any layer runs. */
export class Mobile {
  private constructor();
  /**
   * Load a bundle: the device's folder, or the folder above it. Rejects with a DimecError.
   *
   * @param place a base URL; in Node also a folder's path; or a loader
   */
  static open(place: string | URL | Loader, options?: Options): Promise<Mobile>;
  /** Name of the policy. */
  get policy(): string;
  /** Whether the policy learns here. */
  get adaptive(): boolean;
  /** Names of the tiers, in order; the first is the device. */
  get tiers(): string[];
  /** Names of the classes. */
  get labels(): string[];
  /** Answer one text or pair; it may be empty, and a long one is cut to the model's length. */
  predict(text: Text): Promise<Prediction>;
  /** Where a text would go first: nothing is answered or learnt. */
  decide(text: Text): Promise<Choice>;
  /** Let go of the graphs, once all that was asked is answered. */
  close(): Promise<void>;
}

/** The kinds of policies that can be run. */
export const kinds: readonly string[];

/** Any error of this package. */
export class DimecError extends Error {}
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
/** A tier gave no usable answer. */
export class TierError extends DimecError {
  constructor(tier: string, reason: string, detail: string, sent: boolean);
  tier: string;
  reason: string;
  detail: string;
  /** Whether the input left the device, so that its sending is to be paid. */
  sent: boolean;
}
