// The settings of resources and their targets. Words and defaults of HAST's own are those of
// hast.conf(5) and parse.y of FreeBSD 14; where this program differs, `refused` or `notes` says so.
import type { Keyword } from './keyword.js';

const DAY_SECONDS = 86_400;
const RESOURCE_WIDE = ['global', 'resource'] as const;
const TARGET_WIDE = ['global', 'resource', 'target'] as const;
const ON_OFF = { kind: 'word', words: ['on', 'off'] } as const;

const notSynchronous = (mode: string): string =>
  `${mode} waits for the other node in every write and is not built: here a write is answered ` +
  'once the local disk has it and is sent at the next round; write replication periodic';

export const RESOURCE_KEYWORDS: readonly Keyword[] = [
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
    scopes: TARGET_WIDE,
    value: { kind: 'cron' },
    default: null,
    hast: false,
    doc: 'cron expression of five or six fields that starts rounds',
  },
  {
    name: 'interval',
    scopes: TARGET_WIDE,
    value: { kind: 'duration', secondsMin: 10, secondsMax: 31 * DAY_SECONDS, bare: false },
    default: '15m',
    hast: false,
    doc: 'time from the start of one round to the start of the next',
  },
  {
    name: 'timezone',
    scopes: TARGET_WIDE,
    value: { kind: 'timezone' },
    default: null,
    hast: false,
    doc: 'time zone of schedule',
  },
  {
    name: 'max-lag',
    scopes: TARGET_WIDE,
    value: {
      kind: 'duration',
      secondsMin: 60,
      secondsMax: 366 * DAY_SECONDS,
      bare: false,
      none: true,
    },
    // From the schedule: see maxLag in targets.ts.
    default: null,
    hast: false,
    doc: 'age of the last point at which the alarm goes off, or none',
  },
  {
    name: 'retain',
    scopes: TARGET_WIDE,
    value: { kind: 'number', min: 1, max: 10_000 },
    default: '24',
    hast: false,
    doc: 'restore points kept by the replica',
  },
  {
    name: 'rate',
    scopes: TARGET_WIDE,
    value: { kind: 'rate', bitsMin: 8000, bitsMax: 1e12 },
    default: 'none',
    hast: false,
    doc: 'most bits a second that leave for a target, or none',
  },
  {
    name: 'compression',
    scopes: TARGET_WIDE,
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
    scopes: TARGET_WIDE,
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
    name: 'remember',
    scopes: RESOURCE_WIDE,
    value: ON_OFF,
    default: 'on',
    hast: false,
    doc: 'on: the role that was given last is taken up again when hastd starts',
  },
  {
    name: 'start-alone',
    scopes: RESOURCE_WIDE,
    value: { kind: 'word', words: ['serve', 'wait'] },
    // Serve after a clean stop, wait after an unclean one.
    default: null,
    hast: false,
    doc: 'what a remembered primary does that does not reach its other node',
  },
  {
    name: 'scrub',
    scopes: RESOURCE_WIDE,
    value: { kind: 'share', percentMin: 0.1, percentMax: 100 },
    default: '1%',
    hast: false,
    doc: 'share of the clean chunks that is compared a day, or off',
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
    scopes: ['resource node', 'target'],
    value: { kind: 'address', use: 'remote' },
    default: null,
    hast: true,
    doc: 'address of the other node, or none',
  },
  {
    name: 'source',
    scopes: ['resource node', 'target'],
    value: { kind: 'address', use: 'source' },
    default: null,
    hast: true,
    doc: 'local address of outgoing connections',
  },
];
