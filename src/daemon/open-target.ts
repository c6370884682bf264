// Opens targets for a link: a session with another node, or an archive in a store.
import { present } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import type { Random } from '../base/random.js';
import type { TargetSettings } from '../config/settings.js';
import { packer } from '../format/pack.js';
import type { DialSecurity } from '../net/connect.js';
import { type Pace, paced } from '../net/pace.js';
import { greet } from '../peer/greet.js';
import type { PeerFacts } from '../peer/messages.js';
import { patientStore } from '../store/patient-store.js';
import { ArchiveKeep } from '../target/archive-keep.js';
import { openArchiveTarget } from '../target/open-archive.js';
import { remoteTarget } from '../target/remote.js';
import type { Machinery, Network } from './machinery.js';
import type { OpenTarget } from './target-link.js';

export interface NodeParts {
  /** What this node says of itself at contact. */
  readonly facts: () => PeerFacts;
  readonly security: () => DialSecurity;
  readonly dial: Network['dial'];
  /** Outlives the sessions. */
  readonly pace: Pace;
  readonly clock: Clock;
  readonly random: Random;
}

/** Dials a node and greets it. */
export function nodeOpener({ facts, security, dial, pace, clock, random }: NodeParts): OpenTarget {
  return async ({ target, remote, source, timeoutMs }, signal) => {
    const place = { remote, source, timeoutMs, security: security() };
    const stream = paced(await dial(place, { clock, signal }), pace);
    const session = await greet(stream, facts(), { clock, random });
    return { end: remoteTarget(session, target), closed: session.closed };
  };
}

export interface ArchiveParts {
  readonly resource: { readonly id: () => Uint8Array; readonly name: string };
  /** Asked each time: a reload may change it, and credentials and keys are read anew. */
  readonly settings: () => TargetSettings;
  /** Where it was at the last contact; null: there was none. */
  readonly place: () => string | null;
  readonly machinery: Machinery;
  /** Of the resource, where the journal is. */
  readonly directory: string;
  /** Outlives the sessions. */
  readonly pace: Pace;
}

/** Opens an archive in its store. */
export function archiveOpener({
  resource,
  settings,
  place: placeBefore,
  machinery,
  directory,
  pace,
}: ArchiveParts): OpenTarget {
  const { clock, random, log, files } = machinery;
  // What was seen of pins outlives the sessions, too.
  const rule = () => ({
    rule: settings().retain,
    timezone: settings().archive?.timezone ?? localTimezone(),
  });
  const keep = new ArchiveKeep(rule, () => clock.wallMs());
  const pack = packer({ codec: 'zstd' });
  const idle = new AbortController().signal;
  const paced = async (bytes: number): Promise<void> => {
    await pace.turn(idle);
    pace.charge(bytes);
  };
  return async ({ target }) => {
    const { archive } = settings();
    const { url, base, endpoint, region, checksums, storageClass, keyPath } = present(
      archive,
      'it is one',
    );
    const { stores } = machinery;
    const secret = keyPath === null ? null : await stores.secret(keyPath);
    const place = endpoint === null ? url : `${url} at ${endpoint}`;
    const where = { url: base, below: resource.name, isMade: place === placeBefore() };
    const opened = await stores.open({ ...where, endpoint, region, checksums, pace: paced }, clock);
    const keepMs = (): number => settings().timeoutSeconds * 1000;
    const store = patientStore(opened, { keepMs, clock, random });
    try {
      const end = await openArchiveTarget({
        name: target,
        place,
        resource: { id: resource.id(), name: resource.name },
        store,
        secret,
        storageClass,
        files,
        journalPath: `${directory}/${target}.journal`,
        pack,
        keep,
        nowMs: () => clock.wallMs(),
        random,
        log: log.child({ resource: resource.name, target }),
        ...(stores.packBytes === undefined ? {} : { packBytes: stores.packBytes }),
      });
      return { end, closed: end.closed };
    } catch (error) {
      await store.close();
      throw error;
    }
  };
}

export const localTimezone = (): string => new Intl.DateTimeFormat('en').resolvedOptions().timeZone;
