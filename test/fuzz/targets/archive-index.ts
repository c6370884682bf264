// Archives: nodes of an index, the journal of a sender, and the file with the key of a sealed one.
// What is accepted is encoded again to the same bytes. Layouts: hast-archive(5).
import assert from 'node:assert/strict';
import { Journal } from '../../../src/archive/journal.js';
import { parseArchiveSecret } from '../../../src/archive/secret.js';
import { checkOf, equalBytes } from '../../../src/base/digest.js';
import { codeOf } from '../../../src/base/errors.js';
import type { Random } from '../../../src/base/random.js';
import { MIB } from '../../../src/base/units.js';
import {
  decodeJournalHeader,
  encodeJournalHeader,
  JOURNAL_HEADER_BYTES,
  JOURNAL_ROW_BYTES,
  type JournalRow,
  putJournalRow,
  takeJournalRow,
} from '../../../src/format/archive-journal.js';
import { decodeLeaf, encodeLeaf } from '../../../src/format/archive-leaf.js';
import {
  decodeNode,
  decodePackPage,
  decodePage,
  decodeRoot,
  encodeNode,
  encodePackPage,
  encodePage,
  encodeRoot,
} from '../../../src/format/archive-node.js';
import { packRaw, unpack } from '../../../src/format/pack.js';
import { readUnfinished, unfinishedPath } from '../../../src/restore/unfinished.js';
import { archiveFiles, JOURNAL, LEAF_REGION, ROOT } from '../../format/golden-archives.js';
import { CrashWorld } from '../../world/memory-files.js';
import { decided, oneBitOff, pure, refusal, type Target, type Verdict } from '../target.js';
import { INPUT_BYTES_MAX, mendAt, once, PLACE } from './archives.js';

const FILES = archiveFiles();

const number32 = (bytes: Uint8Array, at: number): number =>
  bytes.length < at + 4 ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);

type Kind = 'leaf' | 'page' | 'packs' | 'root';
const NODES: readonly Kind[] = ['leaf', 'page', 'packs', 'root'];
const { packs: PACKS } = ROOT;

/** Decoded and encoded again, by kind. */
const AGAIN: Readonly<Record<Kind, (raw: Uint8Array) => Uint8Array>> = {
  leaf: (raw) => encodeLeaf(decodeLeaf(raw, LEAF_REGION, PACKS, PLACE)),
  page: (raw) => encodePage(decodePage(raw, PACKS, PLACE)),
  packs: (raw) => encodePackPage(decodePackPage(raw, PLACE)),
  root: (raw) => encodeRoot(decodeRoot(raw, PLACE)),
};

const kinded = (kind: Kind, raw: Uint8Array): Uint8Array =>
  Buffer.concat([Uint8Array.of(NODES.indexOf(kind)), raw]);

/** Input: the kind of node, then its raw bytes. */
const index: Target = {
  name: 'archive-index',
  kind: 'bytes',
  inputBytesMax: INPUT_BYTES_MAX,
  onceBytesMax: MIB,
  totalBytesMax: 8 * MIB,
  seeds: () => [
    kinded('leaf', FILES['archive-leaf-v0.bin']),
    kinded('page', FILES['archive-page-v0.bin']),
    kinded('packs', FILES['archive-pack-page-v0.bin']),
    kinded('root', FILES['archive-root-v0.bin']),
  ],
  open: pure((input) => {
    const kind = NODES[(input[0] ?? 0) % NODES.length] ?? 'leaf';
    const raw = input.subarray(1);
    return decided(
      PLACE,
      () => AGAIN[kind](raw),
      (again) => {
        assert.ok(equalBytes(again, raw), 'one encoding');
        const { body, check } = encodeNode(raw, packRaw);
        assert.ok(equalBytes(decodeNode(body, check, unpack, PLACE), raw));
        const off = oneBitOff(body);
        assert.throws(() => decodeNode(off, check, unpack, PLACE), /fuzz of archive/);
      },
    );
  }),
};

/** A node's body as it stands in its record, whose check is right. */
const node: Target = {
  name: 'archive-node',
  kind: 'bytes',
  inputBytesMax: 8192,
  // A node says how long it is: at most what the longest root has.
  onceBytesMax: 3 * MIB,
  totalBytesMax: 8 * MIB,
  seeds: () => [FILES['archive-node-raw-v0.bin'], FILES['archive-node-zstd-v0.bin']],
  open: pure((input) =>
    decided(
      PLACE,
      () => decodeNode(input, checkOf(input), unpack, PLACE),
      (raw) => assert.equal(raw.length, number32(input, 1), 'as long as it says'),
    ),
  ),
};

/** The checks of header and rows put right. */
export function mendJournal(bytes: Uint8Array, random: Random): Uint8Array {
  if (bytes.length >= JOURNAL_HEADER_BYTES) {
    const header = bytes.subarray(0, JOURNAL_HEADER_BYTES);
    mendAt(header);
  }
  for (let at = JOURNAL_HEADER_BYTES; at + JOURNAL_ROW_BYTES <= bytes.length; ) {
    if (random.below(16) > 0) mendAt(bytes.subarray(at, at + JOURNAL_ROW_BYTES));
    at += JOURNAL_ROW_BYTES;
  }
  return bytes;
}

const journal: Target = {
  name: 'archive-journal',
  kind: 'bytes',
  inputBytesMax: INPUT_BYTES_MAX,
  onceBytesMax: MIB,
  totalBytesMax: 32 * MIB,
  seeds: () => [FILES['archive-journal-v0.bin'], encodeJournalHeader({ ...JOURNAL, from: null })],
  mend: mendJournal,
  open: pure(async (input) => {
    const first = input.subarray(0, JOURNAL_HEADER_BYTES);
    const verdict = await once(
      first,
      (bytes) => decodeJournalHeader(bytes, PLACE),
      encodeJournalHeader,
    );
    for (const row of rowsOf(input)) {
      const again = new Uint8Array(JOURNAL_ROW_BYTES);
      putJournalRow(again, 0, row.value);
      assert.ok(equalBytes(again, row.bytes), 'one encoding');
      assert.equal(takeJournalRow(oneBitOff(row.bytes), 0), null, 'a row has a check');
    }
    // One of a later version stays as it is; what is not whole is begun anew.
    await opened(input).catch((error: unknown) => {
      assert.equal(codeOf(error), 'FORMAT_VERSION');
    });
    return verdict;
  }),
};

function* rowsOf(input: Uint8Array): Generator<{ value: JournalRow; bytes: Uint8Array }> {
  for (let at = JOURNAL_HEADER_BYTES; at < input.length; at += JOURNAL_ROW_BYTES) {
    const value = takeJournalRow(input, at);
    if (value === null) return;
    yield { value, bytes: input.slice(at, at + JOURNAL_ROW_BYTES) };
  }
}

/** As a sender opens it: whatever it holds can be read, gone on with, and emptied. */
async function opened(input: Uint8Array): Promise<void> {
  const world = new CrashWorld();
  world.plant('/j', input);
  const { journal: own } = await Journal.open(world, '/j', JOURNAL);
  for (let run = 0; run < Math.min(own.runs, 8); run += 1) {
    for await (const { piece } of own.run(run, 0, (pack) => own.isPut(pack))) {
      assert.ok(piece.place === null || own.isPut(piece.place.pack));
    }
  }
  for (const number of own.packNumbers) {
    assert.ok(number < own.nextPack, 'no number is given twice');
    assert.equal(own.packOf(number)?.number, number);
  }
  await own.dropped(null);
  assert.deepEqual([own.runs, own.packNumbers.length], [0, 0]);
  await own.close();
}

/** A key, or `passphrase WORDS`. */
const secret: Target = {
  name: 'archive-secret',
  kind: 'text',
  inputBytesMax: 300,
  onceBytesMax: 65_536,
  totalBytesMax: MIB,
  words: ['passphrase ', '\t', '\n', 'é', '\u00a0', '0', 'f'],
  seeds: () => [
    Buffer.from('passphrase correct horse battery\n'),
    Buffer.from(`${'ab'.repeat(32)}\n`),
  ],
  open: pure((input) => {
    const text = Buffer.from(input).toString();
    try {
      const found = parseArchiveSecret(text, PLACE);
      if (found.kind === 'key') assert.equal(found.bytes.length, 32);
      else assert.ok(found.text.length >= 12 && found.text === found.text.trim());
      return 'accepted';
    } catch (error) {
      // A sentence of ours may have a short word of it.
      const words = text.replace(/^passphrase[ \t]+/, '').trim();
      assert.ok(words.length < 12 || !String(error).includes(words), 'is not repeated');
      return refusal(error, PLACE);
    }
  }),
};

/** The file beside an unfinished restore. */
const mark: Target = {
  name: 'restore-mark',
  kind: 'text',
  inputBytesMax: 1000,
  onceBytesMax: 65_536,
  totalBytesMax: MIB,
  words: ['"hastRestore":1', '"inode":', '"born":', '"sizeBytes":', '"point":{', 'null', '-1'],
  seeds: () => [
    Buffer.from(
      '{"hastRestore":1,"archive":"s3://b/vm1","point":{"id":"00112233445566778899aabbccddeeff",' +
        '"number":4,"time":"2026-11-20T02:00:00Z"},"sizeBytes":512,"inode":"7","born":"5"}\n',
    ),
  ],
  open: pure(async (input) => {
    const world = new CrashWorld();
    const path = '/d/vm1.img';
    world.plant(unfinishedPath(path), input);
    let verdict: Verdict = 'accepted';
    try {
      const found = await readUnfinished(world, path);
      assert.equal(found?.hastRestore, 1);
      assert.match(found.point.id, /^[0-9a-f]{32}$/);
    } catch (error) {
      verdict = refusal(error, unfinishedPath(path));
    }
    return verdict;
  }),
};

export const INDEX_TARGETS: readonly Target[] = [index, node, journal, secret, mark];
