// The messages of a peer session as values (DESIGN.md §5; byte for byte: hast-protocol(7),
// encode.ts, decode.ts). A message with a request number other than 0 is a question or its
// answer; with 0 it is a push that nobody answers. Ids are 16 bytes, sizes bytes, times
// milliseconds.
import type { ChunkIndex } from '../base/units.js';
import type { FrameEntry } from '../format/changeset.js';
import type { Epoch, PointRef, RoundId } from '../lineage/lineage.js';

export type PeerRole = 'init' | 'primary' | 'secondary';

/** What each side says of itself at contact. */
export interface PeerFacts {
  readonly node: string;
  readonly resource: string;
  /** Name under which the primary keeps this target. */
  readonly target: string;
  readonly resourceId: Uint8Array | null;
  readonly role: PeerRole;
  /** Newest last; only the last EPOCHS_MAX travel. */
  readonly epochs: readonly Epoch[];
  /** A target's last committed point; a primary's last point of this target. */
  readonly point: PointRef | null;
  /** A primary's round whose outcome it does not know; a secondary's committed point that it lost
   * and went back from. */
  readonly proposed: RoundId | null;
  /** 0: the disk has not been made yet. */
  readonly sizeBytes: number;
  readonly suspect: boolean;
  /** This side gives up after hearing nothing for so long. */
  readonly timeoutMs: number;
}

/** Why a side does not want the session; carried by REFUSE. */
export const REFUSALS = [
  'version',
  'unknown-resource',
  'wrong-resource',
  'secret-needed',
  'same-node',
  'role',
  'size',
  'lineage',
  'busy',
  'stopping',
  'broken',
  'two-primaries',
] as const;
export type Refusal = (typeof REFUSALS)[number];

/** Why a target does not do what was asked; carried by REFUSED. */
export const REASONS = [
  'no-space',
  'not-secondary',
  'wrong-from',
  'wrong-epoch',
  'suspect',
  'apply-failed',
  'drift',
  'bad-frame',
  'busy',
  'size',
  'gone',
] as const;
export type Reason = (typeof REASONS)[number];

export const OUTCOMES = ['committed', 'none', 'forgotten'] as const;
export const ROLES = ['init', 'primary', 'secondary'] as const;
export const DIGEST_SOURCES = ['table', 'disk'] as const;
export const BEGIN_KINDS = ['pass', 'round'] as const;

export interface BeginBody {
  readonly kind: (typeof BEGIN_KINDS)[number];
  readonly resource: Uint8Array;
  readonly round: RoundId;
  readonly epoch: Epoch;
  readonly from: PointRef | null;
  readonly to: PointRef;
  readonly sizeBytes: number;
  readonly spaceBytes: number;
  /** Frames acknowledged on an earlier session; 0 for a new round. */
  readonly resumeAt: number;
  /** Id of the first copy that a round without `from` belongs to. */
  readonly fill: RoundId | null;
  /** It has begun on an earlier session. */
  readonly again: boolean;
}

export const CONSISTENCIES = ['crash', 'quiesced', 'damaged'] as const;

export interface CommitBody {
  readonly round: RoundId;
  readonly from: PointRef | null;
  readonly to: PointRef;
  readonly frames: number;
  /** 32 bytes. */
  readonly indexDigest: Uint8Array;
  readonly consistency: (typeof CONSISTENCIES)[number];
  readonly damaged: readonly ChunkIndex[];
}

export type Greeting =
  | {
      readonly type: 'hello';
      readonly features: number;
      readonly nonce: Uint8Array;
      readonly facts: PeerFacts;
    }
  | {
      readonly type: 'welcome';
      readonly features: number;
      /** That of the HELLO it answers. */
      readonly nonce: Uint8Array;
      /** Number of the session, made by the side that was dialled. */
      readonly session: number;
      readonly facts: PeerFacts;
    }
  | { readonly type: 'refuse'; readonly refusal: Refusal; readonly text: string };

export type Question =
  | { readonly type: 'outcome'; readonly round: RoundId }
  | {
      readonly type: 'digests';
      readonly first: ChunkIndex;
      readonly count: number;
      readonly from: (typeof DIGEST_SOURCES)[number];
    }
  | { readonly type: 'begin'; readonly begin: BeginBody }
  | { readonly type: 'held'; readonly first: ChunkIndex; readonly count: number }
  | { readonly type: 'doubts'; readonly first: ChunkIndex }
  | { readonly type: 'chunk'; readonly chunk: ChunkIndex; readonly at: PointRef }
  | { readonly type: 'commit'; readonly commit: CommitBody }
  | { readonly type: 'wait-applied'; readonly point: PointRef }
  | { readonly type: 'abandon'; readonly round: RoundId };

export type Answer =
  | { readonly type: 'outcome-is'; readonly outcome: (typeof OUTCOMES)[number] }
  | {
      readonly type: 'digests-are';
      readonly at: PointRef | null;
      readonly first: ChunkIndex;
      /** 16 bytes a chunk. */
      readonly digests: Uint8Array;
    }
  | { readonly type: 'begun'; readonly round: RoundId; readonly staged: number }
  | {
      readonly type: 'held-are';
      readonly first: ChunkIndex;
      readonly entries: readonly FrameEntry[];
    }
  | {
      readonly type: 'doubts-are';
      readonly chunks: readonly ChunkIndex[];
      readonly complete: boolean;
    }
  /** No bytes: it cannot be had. */
  | { readonly type: 'chunk-is'; readonly bytes: Uint8Array }
  | { readonly type: 'committed'; readonly round: RoundId }
  /** WANT went before it. */
  | { readonly type: 'wanted'; readonly round: RoundId }
  | { readonly type: 'applied'; readonly point: PointRef }
  | { readonly type: 'apply-failed'; readonly point: PointRef; readonly text: string }
  | { readonly type: 'abandoned'; readonly round: RoundId }
  | Trouble;

/** The answer no, and the answer "I could not"; as pushes they end the round they name. */
export type Trouble =
  | {
      readonly type: 'refused';
      readonly round: RoundId;
      readonly reason: Reason;
      readonly text: string;
    }
  | {
      readonly type: 'failed';
      readonly round: RoundId;
      /** Code of the error at the other side, for people and logs. */
      readonly code: string;
      readonly text: string;
    };

export type Push =
  | {
      readonly type: 'frame';
      readonly session: number;
      readonly round: RoundId;
      readonly number: number;
      /** One encoded frame, which carries its own checksum. */
      readonly bytes: Uint8Array;
    }
  /** In place of a frame: make it of what is staged from an earlier round. */
  | {
      readonly type: 'reuse';
      readonly session: number;
      readonly round: RoundId;
      readonly number: number;
      readonly items: readonly { readonly chunk: ChunkIndex; readonly digest: Uint8Array }[];
    }
  /** Frames 0..frames-1 of the round are durable. */
  | { readonly type: 'staged'; readonly round: RoundId; readonly frames: number }
  /** Whole chunks wanted in the same round (H28). */
  | { readonly type: 'want'; readonly round: RoundId; readonly chunks: readonly ChunkIndex[] };

export type Beat = { readonly type: 'ping' } | { readonly type: 'pong' };

export type Message = Greeting | Question | Answer | Push | Beat;
export type MessageType = Message['type'];
/** The message of one type. */
export type Of<T extends MessageType> = Extract<Message, { readonly type: T }>;

export interface Envelope {
  /** 0: a push. */
  readonly request: number;
  readonly message: Message;
}

/** Number of each type on the wire. 64 and up are kept for the live mode (WRITE). */
export const TYPE_NUMBERS: { readonly [T in MessageType]: number } = {
  hello: 1,
  welcome: 2,
  refuse: 3,
  ping: 4,
  pong: 5,
  outcome: 16,
  'outcome-is': 17,
  digests: 18,
  'digests-are': 19,
  begin: 20,
  begun: 21,
  frame: 22,
  staged: 23,
  want: 24,
  commit: 25,
  committed: 26,
  refused: 27,
  failed: 28,
  'wait-applied': 29,
  applied: 30,
  'apply-failed': 31,
  abandon: 32,
  abandoned: 33,
  held: 34,
  'held-are': 35,
  reuse: 36,
  doubts: 37,
  'doubts-are': 38,
  wanted: 39,
  chunk: 40,
  'chunk-is': 41,
};

const ANSWERS: ReadonlySet<MessageType> = new Set([
  'outcome-is',
  'digests-are',
  'begun',
  'held-are',
  'doubts-are',
  'chunk-is',
  'committed',
  'wanted',
  'refused',
  'failed',
  'applied',
  'apply-failed',
  'abandoned',
]);

export const isAnswer = (message: Message): message is Answer => ANSWERS.has(message.type);

/** Stands where a REFUSED or FAILED is about no round. */
export const NO_ROUND: RoundId = new Uint8Array(16);
