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

/** One asking of a tier. */
export interface Call extends Took {
  tier: string;
  /** The whole call, with retries and pauses. */
  milliseconds: number;
  /** Why there was no usable answer, one of `reasons`; null where there was one. */
  reason: string | null;
  /** The same for a reader, such as "HTTP 401: …"; null likewise. */
  detail: string | null;
}

/** What a call took, whether there was an answer or not. */
export interface Took {
  /** Requests that were started; 0 where the tier was left alone. */
  tries: number;
  /** Bytes of HTTP, as far as a page sees them, of all tries that ended in an HTTP answer. */
  sentBytes: number;
  /** Likewise. */
  receivedBytes: number;
}

/** A step of the policy, and why it was taken. */
export interface PolicyStep {
  /** The exit that had spoken last; null before a layer had run. */
  at: { tier: string; layer: number } | null;
  next: { tier: string; layer: number } | "answer";
  why: string;
  /** The numbers that it was decided by; which there are depends on the kind of policy. */
  values: Record<string, unknown>;
}

/** One answer, and how it came about. */
export interface Prediction {
  /** Names the input; the same id again gets this answer. */
  id: string;
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
  /** Wall time from the text to the answer; of one that was given before, what it took then. */
  milliseconds: number;
  /**
   * The same by part, and of the recording; waiting for others' turns is in none. All 0 of an
   * answer that was given before.
   */
  parts: Record<"tokenise" | "embed" | "decide" | "layers" | "tiers" | "record", number>;
  /** One for each asking of another tier, in order; none of an answer that was given before. */
  calls: Call[];
  /** λ of all that ran on the path, and of every sending in vain. */
  cost: number;
  /**
   * The policy's steps in order; where a tier fails, the last is the one that led there. None of an
   * answer that was given before: the state keeps the answer, and not its reasons.
   */
  steps: PolicyStep[];
  /** Whether it is in the state: false where the store refuses; it then waits for room. */
  recorded: boolean;
  /** Whether the safe policy decided, which sends every text to the last tier, after an alarm. */
  safe: boolean;
  /** Name of the policy that decided. */
  policy: string;
  /** What the policy promises; null where it promises nothing. */
  contract: string | null;
}

/** A text of a stream, with its id or without. */
export type Input = Text | { text: Text; id?: string };

/** All answers of a state, added up. */
export interface Ledger {
  answers: number;
  /** Answers that the policy has learnt from. */
  learnt: number;
  /** Tier → answers that the policy sent there first. */
  routes: Record<string, number>;
  /** Tier → answers that it gave. */
  answered: Record<string, number>;
  /** Reason, as in `fallbackReason` → answers. */
  fallbacks: Record<string, number>;
  /** Tier → reason → how often the tier was asked in vain for that reason. */
  failures: Record<string, Record<string, number>>;
  /** Tier → layers that ran there. */
  layers: Record<string, number>;
  /** Tier → inputs that were sent there, and answered by it. */
  sent: Record<string, number>;
  /** λ of all answers, and by the tier that gave them. */
  cost: number;
  costs: Record<string, number>;
  /** Tier → wall time of the answers that it gave. */
  milliseconds: Record<string, number>;
  meanCost: number | null;
  /** 1 - mean cost / price of the last tier: above 0 it is cheaper than to send all there. */
  reduction: number | null;
  meanMilliseconds: number | null;
  /** Answers that were given and wait for room in the store. */
  waiting: number;
  /** Answers that were given and never will be recorded: too many were waiting. */
  lost: number;
  /** Answers whose way the safe policy chose. */
  safe: number;
  /** Answers that were held against the last tier's, and those of them that differ from it. */
  audited: number;
  different: number;
  /** Answers that were picked, and the last tier could not be asked. */
  auditsFailed: number;
  /** λ of all asking for the audit; no answer's cost has a part of it. */
  auditCost: number;
  /** The row of the audit at which its alarm was raised. */
  alarm: number | null;
  /** Answers that there were when that was recorded. */
  safeSince: number | null;
}

/** What a mobile is and has. */
export interface Info {
  bundle: string;
  /** Of the device's model. */
  version: string;
  /** Where the state lies. */
  state: string;
  policy: string;
  contract: string | null;
  /** The share of texts that is audited. */
  audit: number;
  safe: boolean;
  adaptive: boolean;
  /** From the call of `open` to ready to answer. */
  startMilliseconds: number;
  /** Of the device's files, and whether all of them came out of the cache. */
  bytes: number;
  cached: boolean;
}

/** An e-process that watches one bound of the contract. */
export interface MonitorInfo {
  bound: number;
  /** The probability of any false alarm, ever. */
  alpha: number;
  rows: number;
  /** Of the rows' values. */
  sum: number;
  /** E: 1 at first; 1/alpha is the alarm. */
  capital: number;
  /** The row at which that was reached. */
  alarm: number | null;
}

/** What a policy has learnt: arrays by name. */
export type Learnt = Readonly<Record<string, { shape: readonly number[]; data: Float64Array }>>;

/** A row of the audit, as it is stored. */
export interface AuditRow {
  row: number;
  id: string;
  /** The last tier's label; null where it gave no answer. */
  reference: string | null;
  different: number | null;
  lost: number | null;
  cost: number;
}

/** One change of a store: it takes effect as a whole, or not at all. */
export interface StoreTransaction {
  has(id: string): Promise<boolean>;
  add(answer: { id: string }): void;
  find(id: string): Promise<any>;
  audit(row: AuditRow): void;
  audited(id: string): Promise<AuditRow | null>;
  /** At most so many rows from a number on, in order. */
  auditsFrom(row: number, most: number): Promise<AuditRow[]>;
  put(rest: any): void;
}

/** Where a state lies, for one that is kept elsewhere. It refuses by a StorageError. */
export interface Store {
  /** For messages. */
  readonly place: string;
  /** Whether it can be used; where it went away, `load` is called again. */
  readonly open: boolean;
  /** Open it; what was put last, and the number of answers. */
  load(): Promise<{ rest: any; answers: number }>;
  find(id: string): Promise<any>;
  transact<T>(work: (transaction: StoreTransaction) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** What a tier is asked. */
export interface Question {
  tier: string;
  text: Text;
  /** Name → the token ids, and what goes with them, as every graph of this model takes them. */
  inputs: Record<string, BigInt64Array>;
  /** Names the input in logs. */
  id: string;
  /** W3C trace context. */
  traceparent: string;
  /** For the client to count in, if it does. */
  took: Took;
}

/** Whoever reaches a tier. */
export interface Client {
  /** Probabilities of the classes, in the bundle's order; rejects with a TierError. */
  infer(question: Question): Promise<Float32Array>;
}

/** A link that is shaped: to see what a slow or a broken one does. */
export interface Link {
  /** Nothing gets through: the tier is unreachable at once, and what is under way is lost. */
  cut?: boolean;
  /** Milliseconds to the tier and back. */
  roundTrip?: number;
  /** Bits a second to the tier. */
  up?: number;
  /** Bits a second back from it. */
  down?: number;
}

/** How far the device's files have come. */
export interface Progress {
  /** The file that has just come a bit further. */
  file: string;
  /** Bytes of all files that are there, as fetched or out of the cache. */
  loaded: number;
  /** Bytes of all files, as the manifest has them. */
  total: number;
  /** Files that are there as a whole, their hashes checked; and of all. */
  done: number;
  files: number;
}

export interface Options {
  /**
   * Called as the device's files arrive: with the first bytes, then at most once for each hundredth
   * of all, and with each file that is whole; the last time with `loaded` equal to `total`. Behind
   * that the graphs are made ready, which takes a moment. What it throws ends the opening.
   */
  onProgress?: (progress: Progress) => void;
  /** Whether the policy learns from inputs; left out, as it was fitted to do. */
  adaptive?: boolean | null;
  /**
   * Whom to ask where a tier fails and no exit has spoken before: "accuracy" the deepest of the
   * others first, "cost" the dearest of those that are cheaper; the device is the last.
   */
  fallback?: "accuracy" | "cost";
  /**
   * Tier → address of its server, such as "https://edge.example:8001"; a tier that has none, and
   * no client, is never reached, and the next best answers.
   */
  tiers?: Record<string, string>;
  /** Bearer token for the servers, or one for each tier. */
  token?: string | Record<string, string> | null;
  /** Seconds for a tier's answer, retries included; left out, 1. */
  timeout?: number;
  /** Further attempts within that time; left out, 2. */
  retries?: number;
  /** Send the token over plain HTTP to another machine all the same. */
  insecure?: boolean;
  /** Tier → how its link is shaped from the start. */
  links?: Record<string, Link>;
  /** Tier → who reaches it in place of an address. */
  clients?: Record<string, Client>;
  /**
   * Name of the state, which has every answer by its id, what the policy has learnt, and the audit;
   * ":memory:" keeps none; or a store. Left out, that of the bundle in the browser's IndexedDB.
   */
  state?: string | Store;
  /** Whether the device's files are kept in the browser's private files; left out, they are. */
  cache?: boolean;
  /** Share of the texts, in (0, 1], that the last tier is asked about too. */
  audit?: number | null;
  /** The share of different answers that is allowed, in points; left out, the contract's. */
  auditBound?: number | null;
  /** Of the draws, to repeat them in a test. */
  auditSeed?: number | null;
  /** Begin the audit anew, and go back to the fitted policy after an alarm. */
  auditReset?: boolean;
}

/** Where a bundle's files come from. */
export interface Loader {
  /** For messages. */
  place: string;
  /**
   * The content of a file, of which no more than `most` bytes are taken in.
   *
   * @param watched may be left aside: `came` is to be told of bytes as they come, and the signal
   *   says that nobody wants the file any more
   */
  read(
    name: string,
    most: number,
    watched?: { came: (bytes: number) => void; signal: AbortSignal },
  ): Promise<Uint8Array<ArrayBuffer>>;
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
  /** Whether a text is a pair of texts. */
  get pairs(): boolean;
  /** Answer one text or pair; it may be empty, and a long one is cut to the model's length. */
  predict(text: Text, options?: { id?: string }): Promise<Prediction>;
  /**
   * Answer a stream; the answers come in the order of the texts, each recorded before it is given.
   *
   * @param options workers: how many texts may be with other tiers at once; left out, 1
   */
  predictMany(
    texts: Iterable<Input> | AsyncIterable<Input>,
    options?: { workers?: number },
  ): AsyncGenerator<Prediction, void, undefined>;
  /** All answers in the state, added up. */
  ledger(): Promise<Ledger>;
  info(): Promise<Info>;
  /** What the policy's decisions rest on now, where it learns. */
  memory(): Promise<Learnt>;
  /** What the audit knows; null where nothing is audited. */
  monitors(): Promise<{
    differences: MonitorInfo | null;
    drops: MonitorInfo | null;
    alarm: number | null;
    /** The alarm in a sentence. */
    told: string | null;
  } | null>;
  /**
   * Say the true label of an audited text: 1 where only the last tier is right, -1 where only the
   * policy is, else 0.
   */
  label(id: string, label: string): Promise<number>;
  /** Begin the audit anew, and go back to the fitted policy after an alarm. */
  resetAudit(): Promise<void>;
  /** Where a text would go first: nothing is answered, learnt or recorded. */
  decide(text: Text): Promise<Choice>;
  /** The circuit breaker's state of each tier that has an address. */
  circuits(): Record<string, "closed" | "open" | "half-open">;
  /** Shape the link to a tier from now on; null for the link as it is. */
  link(tier: string, link: Link | null): void;
  /** End all streams, and let go of everything, once all that was asked is answered. */
  close(): Promise<void>;
}

/** Why a tier gave no answer: the reasons of a TierError, and of a call. */
export const reasons: readonly string[];

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
/** Another tab, or another mobile of this page, holds the state; it has one writer. */
export class StateBusyError extends DimecError {}
/** The store of the state cannot be read or written. */
export class StorageError extends DimecError {}
/** A tier gave no usable answer. */
export class TierError extends DimecError {
  constructor(tier: string, reason: string, detail: string, sent: boolean);
  tier: string;
  reason: string;
  detail: string;
  /** Whether the input left the device, so that its sending is to be paid. */
  sent: boolean;
}
