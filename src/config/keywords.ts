// The settings of hast.conf(5) as data: one table for the parser, the suggestions, `hastctl config`
// and the test of the man page. Scopes and defaults of HAST's own words are those of hast.conf(5)
// and parse.y of FreeBSD 14; where this program differs, `refused` or `notes` says so to the user.

/** `node`: an `on` block at top level; `resource node`: an `on` block inside a resource. */
export type Scope = 'global' | 'node' | 'resource' | 'resource node';

/** What may stand as the value. Limits are inclusive. */
export type ValueKind =
  | { readonly kind: 'path' }
  | { readonly kind: 'name' }
  | { readonly kind: 'group' }
  | { readonly kind: 'cron' }
  | { readonly kind: 'timezone' }
  | { readonly kind: 'compression' }
  | {
      readonly kind: 'address';
      readonly use: 'control' | 'export' | 'listen' | 'remote' | 'source';
    }
  | { readonly kind: 'word'; readonly words: readonly string[] }
  | { readonly kind: 'number'; readonly min: number; readonly max: number }
  | { readonly kind: 'size'; readonly bytesMin: number; readonly bytesMax: number }
  | {
      readonly kind: 'duration';
      readonly secondsMin: number;
      readonly secondsMax: number;
      /** True: a number without a unit is seconds. */
      readonly bare: boolean;
    };

export interface Keyword {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly value: ValueKind;
  /** As it would be written; null: none, or it depends on other settings. */
  readonly default: string | null;
  /** Known to FreeBSD's HAST, hence a word that cannot be a bare name. */
  readonly hast: boolean;
  /** Every statement counts, outer scopes first, instead of the innermost and last. */
  readonly additive?: true;
  /** One line for people. */
  readonly doc: string;
  /** Values that are words of the language and yet not accepted: why, and what to write. */
  readonly refused?: Readonly<Record<string, string>>;
  /** Notes for a value; `*` for any. */
  readonly notes?: Readonly<Record<string, string>>;
}

const DAY_SECONDS = 86_400;
const NODE_WIDE = ['global', 'node'] as const;
const RESOURCE_WIDE = ['global', 'resource'] as const;
const ON_OFF = { kind: 'word', words: ['on', 'off'] } as const;

const notSynchronous = (mode: string): string =>
  `${mode} waits for the other node in every write and is not built: here a write is answered ` +
  'once the local disk has it and is sent at the next round; write replication periodic';

export const KEYWORDS: readonly Keyword[] = [
  {
    name: 'control',
    scopes: NODE_WIDE,
    value: { kind: 'address', use: 'control' },
    default: 'unix:///run/hast/hastctl.sock',
    hast: true,
    doc: 'unix socket on which hastd listens to hastctl',
  },
  {
    name: 'listen',
    scopes: NODE_WIDE,
    value: { kind: 'address', use: 'listen' },
    // Both, as in HAST: see LISTEN_DEFAULTS.
    default: 'tcp4://0.0.0.0:8457 tcp6://[::]:8457',
    hast: true,
    additive: true,
    doc: 'address on which the other node connects',
  },
  {
    name: 'pidfile',
    scopes: NODE_WIDE,
    value: { kind: 'path' },
    default: '/run/hast/hastd.pid',
    hast: true,
    doc: 'file with the process id of hastd',
  },
  {
    name: 'statedir',
    scopes: NODE_WIDE,
    value: { kind: 'path' },
    default: '/var/lib/hast',
    hast: false,
    doc: 'directory of maps, digest tables, staged rounds and history',
  },
  {
    name: 'export',
    scopes: NODE_WIDE,
    value: { kind: 'address', use: 'export' },
    default: 'unix:///run/hast/nbd.sock',
    hast: false,
    additive: true,
    doc: 'address of the NBD server that guests use',
  },
  {
    name: 'exportgroup',
    scopes: NODE_WIDE,
    value: { kind: 'group' },
    default: null,
    hast: false,
    doc: 'group that may open the unix export sockets',
  },
  {
    name: 'replication',
    scopes: RESOURCE_WIDE,
    value: { kind: 'word', words: ['periodic'] },
    default: 'periodic',
    hast: true,
    doc: 'when writes are sent',
    refused: {
      fullsync: notSynchronous('fullsync'),
      memsync: notSynchronous('memsync'),
      async:
        'async sends every write by itself and is not built: here what changed is sent at the ' +
        'next round; write replication periodic',
    },
  },
  {
    name: 'schedule',
    scopes: RESOURCE_WIDE,
    value: { kind: 'cron' },
    default: null,
    hast: false,
    doc: 'cron expression of five or six fields that starts rounds',
  },
  {
    name: 'interval',
    scopes: RESOURCE_WIDE,
    value: { kind: 'duration', secondsMin: 10, secondsMax: 31 * DAY_SECONDS, bare: false },
    default: '15m',
    hast: false,
    doc: 'time from the start of one round to the start of the next',
  },
  {
    name: 'timezone',
    scopes: RESOURCE_WIDE,
    value: { kind: 'timezone' },
    default: null,
    hast: false,
    doc: 'time zone of schedule',
  },
  {
    name: 'retain',
    scopes: RESOURCE_WIDE,
    value: { kind: 'number', min: 1, max: 10_000 },
    default: '24',
    hast: false,
    doc: 'restore points kept by the replica',
  },
  {
    name: 'compression',
    scopes: RESOURCE_WIDE,
    value: { kind: 'compression' },
    default: 'zstd:3',
    hast: true,
    doc: 'compression of what is sent',
    notes: { lzf: 'lzf means zstd at its fastest here; write compression zstd:1' },
  },
  {
    name: 'checksum',
    scopes: RESOURCE_WIDE,
    value: { kind: 'word', words: ['none', 'crc32', 'sha256'] },
    default: null,
    hast: true,
    doc: 'accepted; changes nothing',
    notes: { '*': 'changes nothing: every frame has its checksum; the line can go' },
  },
  {
    name: 'timeout',
    scopes: RESOURCE_WIDE,
    value: { kind: 'duration', secondsMin: 1, secondsMax: DAY_SECONDS, bare: true },
    default: '20',
    hast: true,
    doc: 'longest silence of the other node, and longest connecting',
  },
  {
    name: 'exec',
    scopes: RESOURCE_WIDE,
    value: { kind: 'path' },
    default: null,
    hast: true,
    doc: 'program to run on events',
    notes: { '*': 'hooks are not run yet in this version; watch hastctl status instead' },
  },
  {
    name: 'secret',
    scopes: ['global', 'resource', 'resource node'],
    value: { kind: 'path' },
    default: null,
    hast: false,
    doc: 'file with the key that both nodes share',
  },
  {
    name: 'insecure',
    scopes: RESOURCE_WIDE,
    value: ON_OFF,
    default: 'off',
    hast: false,
    doc: 'on: a network address may be used without a secret',
    notes: {
      on: 'without a secret anybody who reaches the port can read and replace the copy',
    },
  },
  {
    name: 'spill',
    scopes: RESOURCE_WIDE,
    value: { kind: 'size', bytesMin: 65_536, bytesMax: 2 ** 48 },
    default: '4G',
    hast: false,
    doc: 'most old content kept aside while a round runs',
  },
  {
    name: 'data-threads',
    scopes: RESOURCE_WIDE,
    value: { kind: 'number', min: 1, max: 16 },
    default: '2',
    hast: false,
    doc: 'threads that serve the guests of one device',
  },
  {
    name: 'metaflush',
    scopes: ['global', 'resource', 'resource node'],
    value: ON_OFF,
    default: 'off',
    hast: true,
    doc: 'on: the intent map is flushed before the first write to an extent',
    refused: {
      on:
        'on is not built yet and comes in a later version; with off a power failure is followed ' +
        'by a comparison of the disk while it is served; write metaflush off',
    },
  },
  {
    name: 'name',
    scopes: ['resource', 'resource node'],
    value: { kind: 'name' },
    default: null,
    hast: true,
    doc: 'name of the NBD export',
  },
  {
    name: 'local',
    scopes: ['resource', 'resource node'],
    value: { kind: 'path' },
    default: null,
    hast: true,
    doc: 'disk image or block device of this node',
  },
  {
    name: 'remote',
    scopes: ['resource node'],
    value: { kind: 'address', use: 'remote' },
    default: null,
    hast: true,
    doc: 'address of the other node, or none',
  },
  {
    name: 'source',
    scopes: ['resource node'],
    value: { kind: 'address', use: 'source' },
    default: null,
    hast: true,
    doc: 'local address of outgoing connections',
  },
];

/** HAST's two: used when no scope has a `listen`. */
export const LISTEN_DEFAULTS: readonly string[] = ['tcp4://0.0.0.0:8457', 'tcp6://[::]:8457'];

const BY_NAME: ReadonlyMap<string, Keyword> = new Map(KEYWORDS.map((k) => [k.name, k]));

export const keywordOf = (name: string): Keyword | null => BY_NAME.get(name) ?? null;

const SCOPE_WORDS: Readonly<Record<Scope, string>> = {
  global: 'at the top level',
  node: 'in an on block at the top level',
  resource: 'in a resource',
  'resource node': 'in an on block of a resource',
};

/** `at the top level or in a resource`. */
export function scopeText(scopes: readonly Scope[]): string {
  const words = scopes.map((scope) => SCOPE_WORDS[scope]);
  const last = words.pop() ?? '';
  return words.length === 0 ? last : `${words.join(', ')} or ${last}`;
}
