// Every file that a node keeps: how rot in it is found, and what then leads out. `damageAll` tries
// the in-memory rows; kept-files.test.ts checks that no scene has a file without a row, and that
// hastd(8) names each.
import type { Kind } from './damage.js';
import type { End } from './scenes.js';

export interface KeptFile {
  readonly name: string;
  readonly file: RegExp;
  readonly end: End;
  /** Where the file matters. */
  readonly scenes: readonly string[];
  readonly found: string;
  readonly wayOut: string;
  /** Why some damage does no harm, and is not named. */
  readonly harmless?: string;
  /** How a file that is gone without a trace is told: by the other end. */
  readonly goneAs?: RegExp;
  /** Kinds whose harm only a pass over the disk finds. */
  readonly blind?: ReadonlySet<Kind>;
}

const ALIVE = ['clean stop', 'killed', 'answer lost'];
const REPLICA = ['killed', 'in the middle of an apply', 'committed, not applied', 'staged'];

export const KEPT_FILES: readonly KeptFile[] = [
  {
    name: 'resource.json of a primary',
    file: /^resource\.json(\.2)?$/,
    end: 'primary',
    scenes: ALIVE,
    found: 'checksum of each copy, generation',
    wayOut: 'the other copy, by itself',
  },
  {
    name: 'resource.json of a replica',
    file: /^resource\.json(\.2)?$/,
    end: 'replica',
    scenes: REPLICA,
    found: 'checksum of each copy, generation',
    wayOut: 'the other copy, by itself',
  },
  {
    name: 'TARGET.dirty',
    file: /^b\.dirty$/,
    end: 'primary',
    scenes: ALIVE,
    found: 'checksums of header and pages; the generation, where a state was published since',
    wayOut: 'everything is compared, by itself',
    blind: new Set(['older']),
  },
  {
    name: 'intent.map',
    file: /^intent\.map$/,
    end: 'primary',
    scenes: ['killed', 'clean stop'],
    found: 'checksum of the header, two copies of each page',
    wayOut: 'the union of both copies, or everything is compared, by itself',
    blind: new Set(['older']),
  },
  {
    name: 'TARGET.digests',
    file: /^b\.digests$/,
    end: 'primary',
    scenes: ALIVE,
    found: 'checksums of header and pages, its point',
    wayOut: 'what is unknown is asked for, or sent, by itself',
  },
  {
    name: 'TARGET.entries',
    file: /^b\.entries$/,
    end: 'primary',
    scenes: ALIVE,
    found: 'not looked at',
    wayOut: 'none is needed',
    harmless: 'emptied at every start',
  },
  {
    name: 'TARGET.spill',
    file: /^b\.spill$/,
    end: 'primary',
    scenes: ALIVE,
    found: 'not looked at',
    wayOut: 'none is needed',
    harmless: 'emptied at every start',
  },
  {
    name: 'disk.digests',
    file: /^disk\.digests$/,
    end: 'replica',
    scenes: REPLICA,
    found: 'checksums of header and pages, its point',
    wayOut: 'read from the disk again, by itself',
  },
  {
    name: 'committed-ROUND',
    file: /^committed-/,
    end: 'replica',
    scenes: ['in the middle of an apply', 'committed, not applied'],
    found: 'checksums of header, frames, index and trailer',
    wayOut:
      'back to the point before by the undo, and everything is compared, by itself; one that is ' +
      'gone before its undo stood: create --force, as the primary says',
    goneAs: /behind: it stands at point \d+, this node knows it at point \d+/,
  },
  {
    name: 'undo-POINT',
    file: /^undo-/,
    end: 'replica',
    scenes: REPLICA,
    found: 'checksums of header, frames, index and trailer, when it is read',
    wayOut: 'this point and those before it are lost, the newest stands',
    harmless: 'its point is dropped before anybody reads it',
  },
  {
    name: 'room-POINT.part',
    file: /^room-.*\.part$/,
    end: 'replica',
    scenes: ['committed, not applied'],
    found: 'not looked at',
    wayOut: 'none is needed',
    harmless: 'space only: written from its beginning before it is read',
  },
  {
    name: 'stage-ROUND',
    file: /^stage-/,
    end: 'replica',
    scenes: ['staged'],
    found: 'checksums of header and frames; each chunk is verified with its round (C2)',
    wayOut: 'it is sent again, by itself',
    harmless: 'worth the bytes that it saves, and no more',
  },
];

/** Kept files that no crash world has: text of operators, lists for people, and the disks; where
 * they are tried. */
export const PLAIN_FILES: readonly (Omit<KeptFile, 'end' | 'scenes' | 'file'> & {
  readonly tried: string;
})[] = [
  {
    name: 'local disk of a primary',
    found: 'the background pass, past the page cache; verify --deep',
    wayOut: 'the content of before is in an older point of the replica',
    tried: 'disks.test.ts',
  },
  {
    name: 'local disk of a replica',
    found: 'verify --deep; each chunk that a round writes in part',
    wayOut: 'create --force, which compares and sends what differs',
    tried: 'disks.test.ts',
  },
  {
    name: 'rounds.jsonl',
    found: 'a line that is no record is left out',
    wayOut: 'none is needed',
    harmless: 'shown to people; nothing is decided by it',
    tried: 'plain-files.test.ts',
  },
  {
    name: 'secret',
    found: 'no 64 digits: SECRET_MALFORMED; another key: the link is refused',
    wayOut: 'copy the key of the other node',
    tried: 'plain-files.test.ts',
  },
  {
    name: 'hast.conf',
    found: 'file, line and column of what is no configuration',
    wayOut: 'mend the text',
    harmless: 'another valid text is an edit like any: written by people, kept by no program',
    tried: 'plain-files.test.ts',
  },
  {
    name: 'lock',
    found: 'not looked at',
    wayOut: 'none is needed',
    harmless: 'the lock is on the inode; what it says is for a message',
    tried: 'plain-files.test.ts',
  },
];
