// What a store really honours, tried out in place (`hastctl archive check`): servers that say S3
// differ, and some ignore a condition silently (RGW in versioned buckets, small emulators). Objects
// are made below `probe/` and removed again. Times are milliseconds.
//
// 'safe': all that an archive relies on. 'one-writer': objects are kept, but of two that create the
// same one both may believe that they did it (H35); the archive is good as long as one node only
// writes it, ever. 'unsafe': what was stored does not come back, or stays when it is removed.
import type { Clock } from '../base/clock.js';
import { equalBytes } from '../base/digest.js';
import { codeOf, describeError } from '../base/errors.js';
import { hex, type Random } from '../base/random.js';
import { MIB } from '../base/units.js';
import type { ObjectStore, StoreCounts } from './store.js';

export type ProbeResult = 'yes' | 'no' | 'unknown';
export type ProbeVerdict = 'safe' | 'one-writer' | 'unsafe';

export interface ProbeFinding {
  readonly name: ProbeName;
  readonly result: ProbeResult;
  /** What was seen, and what it means. */
  readonly text: string;
  readonly ms: number;
}

export interface Probe {
  readonly url: string;
  readonly verdict: ProbeVerdict;
  readonly findings: readonly ProbeFinding[];
  readonly counts: Readonly<StoreCounts>;
}

/** In the order in which they are tried. `needs`: the verdict when it is not so. */
const PROBES = {
  'write and read': { needs: 'unsafe' },
  ranges: { needs: 'unsafe' },
  replace: { needs: 'unsafe' },
  'create once': { needs: 'one-writer' },
  race: { needs: 'one-writer' },
  remove: { needs: 'unsafe' },
  list: { needs: null },
} as const satisfies Record<string, { needs: ProbeVerdict | null }>;

export type ProbeName = keyof typeof PROBES;

/** At the first request: of the way to the store, not of what it honours. */
const CANNOT_TRY: ReadonlySet<string> = new Set([
  'STORE_NO_BUCKET',
  'STORE_DENIED',
  'STORE_UNREACHABLE',
]);
const RACERS = 8;
const LARGE_BYTES = 2 * MIB;

/** `storageClass`: of the object that is written and read; null: what the bucket has. Rejects with
 * what keeps it from trying anything (CANNOT_TRY); all else that fails is a finding. */
export async function probeStore(
  store: ObjectStore,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  storageClass: string | null,
): Promise<Probe> {
  const prefix = `probe/${hex(random.bytes(8))}`;
  const parts: Parts = { store, random, prefix, storageClass, made: new Set() };
  const findings: ProbeFinding[] = [];
  for (const name of Object.keys(PROBES) as ProbeName[]) {
    const beganMs = clock.monotonicMs();
    const { result, text } = await TRIES[name](parts).catch((error: unknown) => {
      if (findings.length === 0 && CANNOT_TRY.has(codeOf(error) ?? '')) throw error;
      return no(describeError(error));
    });
    findings.push({ name, result, text, ms: Math.round(clock.monotonicMs() - beganMs) });
    // Without this nothing else says anything.
    if (name === 'write and read' && result === 'no') break;
  }
  await store.remove([...parts.made]).catch(() => undefined);
  return { url: store.url, verdict: verdictOf(findings), findings, counts: { ...store.counts } };
}

export function verdictOf(findings: readonly ProbeFinding[]): ProbeVerdict {
  let verdict: ProbeVerdict = 'safe';
  for (const { name, result } of findings) {
    const { needs } = PROBES[name];
    if (result === 'yes' || needs === null) continue;
    if (needs === 'unsafe') return 'unsafe';
    verdict = needs;
  }
  return verdict;
}

interface Parts {
  readonly store: ObjectStore;
  readonly random: Random;
  readonly prefix: string;
  readonly storageClass: string | null;
  /** Keys that may have been made. */
  readonly made: Set<string>;
}

interface Tried {
  readonly result: ProbeResult;
  readonly text: string;
}

const yes = (text: string): Tried => ({ result: 'yes', text });
const no = (text: string): Tried => ({ result: 'no', text });

const TRIES: Readonly<Record<ProbeName, (parts: Parts) => Promise<Tried>>> = {
  'write and read': async (parts) => {
    const { store, random, storageClass } = parts;
    const bytes = random.bytes(LARGE_BYTES);
    const key = keyOf(parts, 'large');
    await store.put(key, bytes, 'replace', storageClass ?? undefined);
    const found = await store.readWhole(key, 2 * LARGE_BYTES);
    if (found === null) return no('an object that was just written is not there');
    if (!equalBytes(found, bytes)) return no('an object comes back as another one');
    const has =
      storageClass === null ? null : ((await store.head(key))?.storageClass ?? 'STANDARD');
    if (storageClass !== has) return no(`it is of class ${has}, ${storageClass} was asked for`);
    return yes(`2 MiB come back as they were written${has === null ? '' : `, of class ${has}`}`);
  },
  ranges: async (parts) => {
    const { store, random } = parts;
    const bytes = random.bytes(10_000);
    const key = keyOf(parts, 'ranges');
    await store.put(key, bytes, 'replace');
    for (const [from, length] of [
      [0, 1],
      [4096, 5000],
      [9999, 1],
    ] as const) {
      const part = await store.read(key, from, length);
      if (equalBytes(part, bytes.subarray(from, from + length))) continue;
      return no(`bytes ${from}..${from + length - 1} come back as others`);
    }
    return yes('a part of an object can be read alone');
  },
  replace: async (parts) => {
    const { store, random } = parts;
    const key = keyOf(parts, 'replace');
    for (const bytes of [random.bytes(100), random.bytes(200), random.bytes(50)]) {
      await store.put(key, bytes, 'replace');
      const found = await store.readWhole(key, 1000);
      if (found === null || !equalBytes(found, bytes)) return no('what was replaced is read still');
    }
    return yes('what was written last is read');
  },
  'create once': async (parts) => {
    const { store, random } = parts;
    const key = keyOf(parts, 'once');
    const [first, second] = [random.bytes(64), random.bytes(64)];
    await store.put(key, first, 'create');
    const answer = await store.put(key, second, 'create');
    const found = await store.readWhole(key, 1000);
    if (found !== null && equalBytes(found, second)) {
      return no('"If-None-Match: *" is ignored: a second object replaced the first');
    }
    if (answer === 'stored') return no('a second object was answered as stored, and was not');
    return yes('"If-None-Match: *" makes an object once');
  },
  race: async (parts) => {
    const { store, random } = parts;
    const key = keyOf(parts, 'race');
    const writers = Array.from({ length: RACERS }, (_, at) => random.bytes(32 + at));
    const answers = await Promise.all(
      writers.map((bytes) => store.put(key, bytes, 'create').catch(() => 'lost' as const)),
    );
    const found = await store.readWhole(key, 1000);
    const stands = writers.filter((bytes) => found !== null && equalBytes(found, bytes)).length;
    const told = answers.filter((answer) => answer === 'stored').length;
    if (stands !== 1) return no(`of ${RACERS} writers none has the object that stands there`);
    if (told > 1) return no(`of ${RACERS} writers ${told} were told that they made it`);
    return yes(`of ${RACERS} writers at the same time one wins`);
  },
  remove: async (parts) => {
    const { store } = parts;
    await store.remove([...parts.made]);
    for (const key of parts.made) {
      if ((await store.head(key)) !== null) return no('a removed object is there still');
    }
    return yes('what is removed is gone');
  },
  list: async (parts) => {
    const { store, random, prefix } = parts;
    await store.put(keyOf(parts, 'listed'), random.bytes(10), 'replace');
    let count = 0;
    for await (const { key } of store.list(`${prefix}/`)) if (key.endsWith('/listed')) count += 1;
    return count === 1
      ? yes('objects can be listed (no round and no restore does it)')
      : no('an object that was just written is not listed (no round and no restore needs it)');
  },
};

function keyOf({ prefix, made }: Parts, name: string): string {
  const key = `${prefix}/${name}`;
  made.add(key);
  return key;
}
