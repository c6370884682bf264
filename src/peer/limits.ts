// Limits of the peer protocol, all in one place; hast-protocol(7) lists them. Nothing that came
// from outside is allocated before it was held against one of these.

import { MIB } from '../base/units.js';
import { FRAME_BYTES_MAX, FRAME_ENTRIES_MAX } from '../format/changeset.js';

/** Version of the protocol: of every header, and of all that follows it. */
export const PROTOCOL_VERSION = 1;
/** Optional features this program offers; both sides use what both offer. None yet. */
export const FEATURES = 0;

/** Longest payload of a message that is no FRAME and no greeting. */
export const CONTROL_BYTES_MAX = MIB;
/** Longest HELLO, WELCOME or REFUSE: what a stranger may make us hold. */
export const GREETING_BYTES_MAX = 160 * 1024;
/** Session, round and number in front of a frame. */
export const FRAME_PREFIX_BYTES = 24;
export const FRAME_PAYLOAD_BYTES_MAX = FRAME_PREFIX_BYTES + FRAME_BYTES_MAX;

/** Most epochs told at contact, newest last; older ones are left out. */
export const EPOCHS_MAX = 256;
/** Names of nodes, resources and targets, UTF-8. */
export const NAME_BYTES_MAX = 255;
/** Sentences for people, UTF-8; longer ones are cut. */
export const TEXT_BYTES_MAX = 4096;
/** Chunks of one DIGESTS, HELD, DOUBTS_ARE or WANT message. */
export const DIGESTS_CHUNKS_MAX = 16_384;
export const HELD_CHUNKS_MAX = 16_384;
export const DOUBTS_CHUNKS_MAX = 16_384;
export const WANT_CHUNKS_MAX = 16_384;
/** Chunks wanted in a round and not yet taken note of by it: 64 GiB of the disk. */
export const WANTED_CHUNKS_MAX = 64 * WANT_CHUNKS_MAX;
/** Chunks of one REUSE: as many as a frame may have. */
export const REUSE_CHUNKS_MAX = FRAME_ENTRIES_MAX;
/** Damaged chunks that a COMMIT names; DAMAGED_CHUNKS_MAX of target.ts. */
export const COMMIT_DAMAGED_MAX = 1024;

/** Questions one side may have open at once. */
export const REQUESTS_MAX = 64;
/** Bytes of frames sent and not yet durable at the other side (H31). */
export const UNSTAGED_BYTES_MAX = 16 * MIB;
/** What a chunk of a REUSE counts for there: the memory it takes, rather than its bytes. */
export const REUSE_ITEM_UNSTAGED_BYTES = 256;

/** Something is sent at least this often (or three times in the other side's timeout). */
export const KEEPALIVE_MS = 10_000;
/** Shortest timeout a side may name: one that is shorter would make the other side beat all day. */
export const TIMEOUT_MS_MIN = 1000;
/** For HELLO and its answer. */
export const GREETING_TIMEOUT_MS = 20_000;
/** For what is queued to leave when a session is closed in order. */
export const CLOSE_TIMEOUT_MS = 2_000;
