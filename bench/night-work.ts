// A machine's disk and one night of work on it. Imitated: a server with packages, a PostgreSQL and
// an SQLite database, logs and uploads, on ext4 with discard. What a night does: 1.5 % of the
// package files replaced as dpkg does it (new file, rename) with content a little shifted, 1 % of
// the files below share deleted, logs appended, database pages rewritten in place, segments of the
// write-ahead log recycled, new uploads. Packages are files of this machine's /usr, a seeded
// choice: the same machine and seed give the same files; other machines give other bytes of the
// same kinds.
import {
  appendFileSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Random } from '../src/base/random.js';
import { GIB, MIB } from '../src/base/units.js';
import { type NightContent, nightContent } from './night-content.js';
import {
  changeTable,
  fillRelation,
  fillTable,
  updateRelation,
  writeSegment,
} from './night-database.js';

/** Everything below is for a disk of this size; another size has its share of it. */
const NOMINAL_BYTES = 4 * GIB;
const PACKAGES_BYTES = 1400 * MIB;
const PACKAGE_ROOTS = ['/usr/bin', '/usr/lib', '/usr/share'];
const FILE_BYTES_MAX = 24 * MIB;
const RELATION_BYTES = 256 * MIB;
const SEGMENTS = 3;
const SEGMENTS_RECYCLED = 2;
const TABLE_ROWS = 200_000;
const SERVICES = 20;
const UPLOADS = 60;
const PAGE_UPDATES = 3000;
const TABLE_CHANGE = { updates: 2000, inserts: 1000, deletes: 500 };
const UPLOADS_NEW = 12;

const relationOf = (root: string): string => join(root, 'var/lib/postgresql/base/16385');
const segmentOf = (root: string, index: number): string =>
  join(root, `var/lib/postgresql/wal/${String(index).padStart(24, '0')}`);
const tableOf = (root: string): string => join(root, 'var/lib/app/app.db');
const logOf = (root: string, service: number): string => join(root, `var/log/svc${service}.log`);
const uploadOf = (root: string, name: string): string => join(root, 'srv/uploads', name);

/** Puts the files of the machine below `root`, an empty file system of about `diskBytes`. */
export function fillMachine(root: string, diskBytes: number, seed: number): void {
  const content = nightContent(seed);
  const share = (whole: number): number => Math.ceil((whole * diskBytes) / NOMINAL_BYTES);
  for (const folder of ['var/lib/postgresql/base', 'var/lib/postgresql/wal', 'var/lib/app']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  for (const folder of ['var/log', 'srv/uploads'])
    mkdirSync(join(root, folder), { recursive: true });
  copyPackages(root, share(PACKAGES_BYTES), content.random);
  fillRelation(relationOf(root), share(RELATION_BYTES), content);
  for (let index = 0; index < SEGMENTS; index += 1) {
    writeSegment(segmentOf(root, index), false, content);
  }
  fillTable(tableOf(root), share(TABLE_ROWS), content);
  for (let service = 0; service < SERVICES; service += 1) {
    writeFileSync(logOf(root, service), content.log(1, service, share(4000)));
  }
  for (let index = 0; index < share(UPLOADS); index += 1) upload(root, `img${index}.jpg`, content);
}

/** One night on a machine that fillMachine made for `diskBytes`. */
export function workOneNight(root: string, diskBytes: number, seed: number): void {
  const content = nightContent(seed + 1);
  const { random } = content;
  const share = (whole: number): number => Math.ceil((whole * diskBytes) / NOMINAL_BYTES);
  const packages = filesBelow(join(root, 'usr'));
  for (const path of chosen(packages, 0.015, random)) upgrade(path, content);
  const shared = filesBelow(join(root, 'usr/share'));
  for (const path of chosen(shared, 0.01, random)) rmSync(path);
  for (let service = 0; service < SERVICES; service += 1) {
    appendFileSync(logOf(root, service), content.log(2, service, share(500 + random.below(7500))));
  }
  updateRelation(relationOf(root), share(PAGE_UPDATES), content);
  for (let index = 0; index < SEGMENTS_RECYCLED; index += 1) {
    writeSegment(segmentOf(root, index), true, content);
  }
  const { updates, inserts, deletes } = TABLE_CHANGE;
  const change = { updates: share(updates), inserts: share(inserts), deletes: share(deletes) };
  changeTable(tableOf(root), share(TABLE_ROWS), change, content);
  for (let index = 0; index < share(UPLOADS_NEW); index += 1)
    upload(root, `new${index}.jpg`, content);
}

/** Files of this machine's /usr, in seeded order, up to about `bytes`. */
function copyPackages(root: string, bytes: number, random: Random): void {
  const all = PACKAGE_ROOTS.flatMap((folder) => filesBelow(folder));
  let room = bytes;
  for (const path of chosen(all, 1, random)) {
    const { size } = statSync(path);
    if (room <= 0) return;
    if (size > FILE_BYTES_MAX) continue;
    mkdirSync(join(root, dirname(path)), { recursive: true });
    copyFileSync(path, join(root, path));
    room -= size;
  }
  console.log(`note: this machine's /usr is ${Math.round(room / MIB)} MiB short of what is wanted`);
}

/** Regular files below a folder, in the order of their paths. */
function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder)
    .sort()
    .flatMap((name) => {
      const path = join(folder, name);
      const facts = lstatSync(path);
      if (facts.isDirectory()) return filesBelow(path);
      return facts.isFile() ? [path] : [];
    });
}

/** A share of the items, drawn without putting back. */
function chosen<T>(items: readonly T[], share: number, random: Random): readonly T[] {
  const left = [...items];
  const count = Math.floor(left.length * share);
  for (let at = 0; at < count; at += 1) {
    const from = at + random.below(left.length - at);
    [left[at], left[from]] = [left[from] as T, left[at] as T];
  }
  return left.slice(0, count);
}

/** As dpkg replaces a file: a new one beside it, then the rename. Content moves a little, as after
 * a rebuild: for every 4000 bytes something put in, something overwritten. */
function upgrade(path: string, { random, noise }: NightContent): void {
  const old = readFileSync(path);
  const pieces: Buffer[] = [];
  const count = Math.max(1, Math.floor(old.length / 4000));
  for (let piece = 0; piece < count; piece += 1) {
    const from = Math.floor((piece * old.length) / count);
    const bytes = Buffer.from(old.subarray(from, Math.floor(((piece + 1) * old.length) / count)));
    const changed = Math.min(bytes.length, 4 + random.below(60));
    noise(changed).copy(bytes, random.below(bytes.length - changed + 1));
    pieces.push(bytes, noise([0, 0, 4, 16][random.below(4)] ?? 0));
  }
  writeFileSync(`${path}.dpkg-new`, Buffer.concat(pieces), { mode: statSync(path).mode });
  renameSync(`${path}.dpkg-new`, path);
}

const upload = (root: string, name: string, { random, noise }: NightContent): void =>
  writeFileSync(uploadOf(root, name), noise(200_000 + random.below(2_800_000)));
