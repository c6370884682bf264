// What a configuration file says for one node, after inheritance (hast.conf(5)). Only `daemon` and
// `cli` see these values; the layers below get small plain options. Sizes are bytes, durations
// seconds, addresses as written.

import type { RetainRule } from '../retention/keep.js';

/** When rounds run: a cron expression of five or six fields, or every so many seconds. */
export type ScheduleSetting =
  | { readonly kind: 'cron'; readonly expression: string; readonly timezone: string | null }
  | { readonly kind: 'interval'; readonly seconds: number };

/** none: raw blocks; hole: zero blocks only; zstd: level 1..19 (lzf in the file means zstd 1). */
export type CompressionSetting =
  | { readonly codec: 'none' | 'hole' }
  | { readonly codec: 'zstd'; readonly level: number };

/** Where a resource is replicated to: the peer of a short `remote`, named after its node, or a
 * `target NAME { … }` block (DESIGN.md §5). What a block does not set is inherited. */
export interface TargetSettings {
  readonly name: string;
  /** tcp://host:port as written, null for `remote none`; of an archive its url. */
  readonly remote: string | null;
  readonly source: string | null;
  /** An archive; null: another node. */
  readonly archive: ArchiveSettings | null;
  readonly schedule: ScheduleSetting;
  readonly retain: RetainRule;
  readonly compression: CompressionSetting;
  readonly timeoutSeconds: number;
  /** Bits a second that may leave for this target; null: no limit. */
  readonly rateBitsPerSecond: number | null;
  /** Age of the target's point at which the alarm goes off; null: no alarm over lag. */
  readonly maxLagSeconds: number | null;
}

/** Where an archive is, and how it is reached (`archive NAME { … }`). */
export interface ArchiveSettings {
  /** With the resource at its end: what a restore is asked for. */
  readonly url: string;
  /** As written: what is there before there is an archive. */
  readonly base: string;
  readonly endpoint: string | null;
  readonly region: string | null;
  readonly checksums: 'supported' | 'required';
  readonly storageClass: string | null;
  readonly keyPath: string | null;
  /** Of the hours and days of `retain`; null: this machine's. */
  readonly timezone: string | null;
  /** Bytes of packs that are read a day and verified; 0: none. */
  readonly verifyBytes: number;
}

export interface ResourceSettings {
  readonly name: string;
  /** Export name at the NBD server; the resource's name unless `name` is set. */
  readonly exportName: string;
  readonly local: string;
  readonly replication: 'periodic';
  readonly compression: CompressionSetting;
  readonly timeoutSeconds: number;
  readonly metaflush: boolean;
  /** Points that this node keeps of the resource as its secondary. */
  readonly retain: RetainRule;
  /** Of the hours and days of `retain`; null: this machine's. */
  readonly timezone: string | null;
  /** Takes the role up again that it had when hastd ended (H38). */
  readonly remember: boolean;
  /** What a remembered primary does when its peer is not reached; null: serve after a clean stop,
   * wait after an unclean one (H38). */
  readonly startAlone: 'serve' | 'wait' | null;
  /** Share of the clean chunks that the background pass reads a day, 0..1; 0: no pass (H11). */
  readonly scrubShare: number;
  /** Most bytes of before-images kept during a round. */
  readonly spillBytes: number;
  /** File with the pre-shared key, or null. */
  readonly secretPath: string | null;
  readonly insecure: boolean;
  readonly dataThreads: number;
  readonly exec: string | null;
  readonly targets: readonly TargetSettings[];
}

/** Effective settings of this node. */
export interface NodeSettings {
  readonly node: string;
  readonly path: string;
  readonly statedir: string;
  /** Path of the control socket. */
  readonly control: string;
  /** Addresses of the NBD server: unix:///path or tcp://127.0.0.1:port. */
  readonly exports: readonly string[];
  /** Group that may open a unix export socket, or null (mode 0600). */
  readonly exportGroup: string | null;
  readonly listen: readonly string[];
  readonly pidfile: string;
  readonly resources: readonly ResourceSettings[];
}

/** A finding about the file; `error` stops, `note` is printed and goes on. */
export interface ConfigFinding {
  readonly level: 'error' | 'note';
  readonly path: string;
  readonly line: number;
  readonly column: number;
  readonly setting: string;
  /** What is wrong, why, what to write. */
  readonly text: string;
}

/** Where an effective setting came from, for `hastctl config`. */
export interface SettingOrigin {
  /** `resource vm1`, `target b`, or `node`. */
  readonly scope: string;
  readonly setting: string;
  readonly value: string;
  /** `hast.conf:14`, or `default`. */
  readonly origin: string;
}

/** A file with a secret, and where the configuration names it first for this node. */
export interface KeyFile {
  /** A pre-shared key; or what an archive is sealed with. */
  readonly setting: 'secret' | 'key';
  readonly keyPath: string;
  readonly line: number;
  readonly column: number;
}

export interface ConfigResult {
  /** Null when any finding is an error. */
  readonly settings: NodeSettings | null;
  readonly findings: readonly ConfigFinding[];
  readonly origins: readonly SettingOrigin[];
  /** Each once; empty when any finding is an error. */
  readonly keys: readonly KeyFile[];
}
