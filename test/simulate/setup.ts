// What a simulated run begins with, drawn from its seed: sizes and settings, who is there, and the
// acts. Sizes are bytes.
import { type Random, seededRandom } from '../../src/base/random.js';
import { MIB, SECTOR_BYTES } from '../../src/base/units.js';
import { retainLast } from '../../src/config/retain.js';
import type { ResourceSettings, TargetSettings } from '../../src/config/settings.js';
import { type Act, drawActs, PROFILES, withArchiveActs } from './acts.js';
import { type Hardware, RESOURCE } from './machine.js';

export interface Setup {
  readonly seed: number;
  readonly hosts: readonly string[];
  readonly sizeBytes: number;
  readonly extentBytes: number;
  readonly keepdirty: number;
  readonly spillBytes: number;
  readonly retain: number;
  /** Points of replicas are named and lose their names: what is retained has gaps. */
  readonly named?: boolean;
  readonly metaflush: boolean;
  /** By host; default: all plain. */
  readonly hardware?: readonly Hardware[];
  /** Of the disk a day. */
  readonly scrubShare?: number;
  /** Of every target's link; default: as fast as it can. */
  readonly bitsPerSecond?: number | null;
  /** Guests write around every cut. */
  readonly busy: boolean;
  /** Null: there is none. */
  readonly archive?: ArchiveSetup | null;
  readonly acts: readonly Act[];
}

/** A further target of the resource: an archive in a store that has faults (bucket.ts). */
export interface ArchiveSetup {
  readonly sealed: boolean;
  readonly packBytes: number;
  /** Its `retain`. */
  readonly last: number;
  readonly daily: number;
  /** Longest time of a request, one way. */
  readonly requestMsMax: number;
  /** One request in so many fails, beside the bursts; 0: none. */
  readonly failsOneIn: number;
}

export const OFFSITE = 'offsite';

/** An operator who gives the archive another url takes the next one. */
export const archiveUrl = (generation: number): string => `memory://bucket-${generation}`;

const KIB = 1024;
const ACTS_MAX = 60;
/** One run in so many has an archive. */
const ARCHIVE_ONE_IN = 4;

/** `always`: with an archive. */
export function drawSetup(seed: number, always = false): Setup {
  const random = seededRandom(seed);
  const hosts = random.below(5) < 2 ? ['a', 'b', 'c'] : ['a', 'b'];
  const profile = PROFILES[random.below(PROFILES.length)] ?? {};
  // Some have rounds of several frames, of which a part may be staged when something happens.
  const bitsPerSecond = drawRate(seededRandom(seed + 14));
  const isLarge = random.below(bitsPerSecond === null ? 8 : 2) === 0;
  const chunks = 1 + random.below(isLarge ? 40 : 5);
  const tail = random.below(3) === 0 ? 0 : SECTOR_BYTES * random.below(64);
  const drawn = {
    seed,
    hosts,
    sizeBytes: chunks * 64 * KIB + tail,
    extentBytes: 64 * KIB * (1 + random.below(2)),
    keepdirty: random.below(3),
    spillBytes: random.below(5) === 0 ? 128 * KIB : 4 * MIB,
    retain: 1 + random.below(3),
    metaflush: random.below(3) === 0,
    scrubShare: random.below(6) === 0 ? 1 : 0,
    bitsPerSecond,
    busy: seededRandom(seed + 13).below(3) > 0,
    hardware: hosts.map(() => drawHardware(random)),
    acts: drawActs(random, profile, hosts.length, 10 + random.below(ACTS_MAX - 10)),
  };
  // Of numbers of their own: the other runs stay what they are.
  const named = seededRandom(seed + 22).below(2) === 0;
  const own = seededRandom(seed + 21);
  if (own.below(ARCHIVE_ONE_IN) > 0 && !always) return { ...drawn, named };
  const archive = drawArchive(own);
  return { ...drawn, named, archive, acts: withArchiveActs(own, drawn.acts, hosts.length) };
}

function drawArchive(random: Random): ArchiveSetup {
  return {
    sealed: random.below(3) === 0,
    packBytes: KIB * ([160, 160, 400, 4096][random.below(4)] ?? 160),
    last: 1 + random.below(3),
    daily: random.below(3),
    requestMsMax: [2, 30, 200, 1500][random.below(4)] ?? 2,
    failsOneIn: [0, 200, 40, 12][random.below(4)] ?? 0,
  };
}

function drawHardware(random: Random): Hardware {
  const ioMsMax = [2, 2, 20, 200, 600][random.below(5)] ?? 2;
  const cached = (['always', 'never', 1 + random.below(1000)] as const)[random.below(3)] ?? 'never';
  // Rounds read a disk that is busy with its guests.
  const asideMsMax = Math.max(ioMsMax, [0, 0, 300, 3000][random.below(4)] ?? 0);
  return { ioMsMax, asideMsMax, blind: random.below(4) === 0, cached };
}

/** On some links a first copy takes minutes. */
const drawRate = (random: Random): number | null =>
  random.below(6) > 0 ? null : ([20_000, 200_000][random.below(2)] ?? null);

const TIMEOUT_SECONDS = 5;

/** Of the node `name`: every other one is a target of its, but those that are left out. */
export function settingsOf(
  setup: Setup,
  name: string,
  without: ReadonlySet<string> = new Set(),
  generation = 0,
): ResourceSettings {
  const compression = { codec: 'none' } as const;
  const targets = setup.hosts
    .filter((host) => host !== name && !without.has(host))
    .map(
      (host): TargetSettings => ({
        name: host,
        remote: `tcp://${host}:8457`,
        source: null,
        archive: null,
        schedule: { kind: 'interval', seconds: 3600 },
        retain: retainLast(setup.retain),
        compression,
        timeoutSeconds: TIMEOUT_SECONDS,
        rateBitsPerSecond: setup.bitsPerSecond ?? null,
        maxLagSeconds: null,
      }),
    );
  return {
    name: RESOURCE,
    exportName: RESOURCE,
    local: '/disk',
    replication: 'periodic',
    compression,
    timeoutSeconds: TIMEOUT_SECONDS,
    metaflush: setup.metaflush,
    retain: retainLast(setup.retain),
    timezone: 'UTC',
    remember: true,
    startAlone: null,
    scrubShare: setup.scrubShare ?? 0,
    spillBytes: setup.spillBytes,
    secretPath: null,
    insecure: true,
    dataThreads: 2,
    exec: null,
    targets: setup.archive == null ? targets : [...targets, archiveOf(setup, generation)],
  };
}

function archiveOf(setup: Setup, generation: number): TargetSettings {
  const { sealed = false, last = 1, daily = 0 } = setup.archive ?? {};
  const base = archiveUrl(generation);
  return {
    name: OFFSITE,
    remote: `${base}/${RESOURCE}`,
    source: null,
    archive: {
      url: `${base}/${RESOURCE}`,
      base,
      endpoint: null,
      region: null,
      checksums: 'supported',
      storageClass: null,
      keyPath: sealed ? '/key' : null,
      timezone: 'UTC',
      verifyBytes: 0,
    },
    schedule: { kind: 'interval', seconds: 3600 },
    retain: { ...retainLast(last), daily },
    compression: { codec: 'none' },
    timeoutSeconds: TIMEOUT_SECONDS,
    rateBitsPerSecond: setup.bitsPerSecond ?? null,
    maxLagSeconds: null,
  };
}
