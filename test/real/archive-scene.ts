// One real node with an archive and nothing else: hastd as primary of vm1, its disk written by
// one guest whose every state is known, hastctl on the archive by its url alone. The wall clock of
// hastd can be put forward (later.ts). With HAST_KEEP=1 the folder stays.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Random } from '../../src/base/random.js';
import type { ArchivePointRecord } from '../../src/cli/render-archive.js';
import type { RoundRecord, SyncAnswer } from '../../src/control/api.js';
import type { PruneAnswer } from '../../src/control/retention-api.js';
import type { Place } from './archive-places.js';
import { type Finished, freePort, RealNode } from './nodes.js';
import { create, takeRole } from './steps.js';
import { never, target } from './trio-steps.js';
import { WrittenDisk } from './written-disk.js';

const LATER = join(import.meta.dirname, 'later.js');
export const ARCHIVE = 'off';

export interface SceneOptions {
  readonly sizeBytes: number;
  readonly random: Random;
  /** Further statements of the archive block. */
  readonly ofArchive?: string;
  /** A key of that kind is made, and the archive sealed with it. */
  readonly sealed?: 'key' | 'passphrase';
}

/** As hastctl prints it. */
export interface ArchiveCheck {
  readonly packs: number;
  readonly chunks: number;
  readonly damagedChunks: number;
}

export class ArchiveScene {
  readonly folder: string;
  readonly place: Place;
  readonly node: RealNode;
  readonly disk: WrittenDisk;
  readonly #t: TestContext;
  readonly #options: SceneOptions;
  readonly #flags: readonly string[];
  readonly #hours: string;
  readonly #port: number;

  private constructor(
    t: TestContext,
    folder: string,
    place: Place,
    node: RealNode,
    options: SceneOptions,
    port: number,
  ) {
    this.#t = t;
    this.#port = port;
    [this.folder, this.place, this.node] = [folder, place, node];
    const key = options.sealed === undefined ? [] : ['--key', this.keyPath];
    this.#flags = [...place.flags, ...key];
    this.#options = options;
    this.#hours = join(folder, 'hours');
    this.disk = new WrittenDisk(node, Buffer.alloc(options.sizeBytes), options.random);
  }

  /** `placeIn`: makes the place of the archive, given the folder. Nothing runs yet. */
  static async make(
    t: TestContext,
    placeIn: (folder: string) => Place | Promise<Place>,
    options: SceneOptions,
  ): Promise<ArchiveScene> {
    const folder = mkdtempSync(join(tmpdir(), 'hast-'));
    const config = join(folder, 'hast.conf');
    const node = new RealNode('a', folder, config, ['-d']);
    t.after(async () => {
      await node.kill('SIGKILL');
      if (process.env['HAST_KEEP'] === '1') t.diagnostic(`kept: ${folder}`);
      else rmSync(folder, { recursive: true, force: true });
    });
    const scene = new ArchiveScene(
      t,
      folder,
      await placeIn(folder),
      node,
      options,
      await freePort(),
    );
    node.launcher = ['env', `HAST_TEST_HOURS=${scene.#hours}`, `NODE_OPTIONS=--import=${LATER}`];
    scene.hoursAhead(0);
    const key = options.sealed === undefined ? '' : `key ${scene.keyPath}`;
    scene.configure(`${scene.place.statements}  ${key}  ${options.ofArchive ?? ''}`);
    if (options.sealed === 'key') await node.ask('keygen', scene.keyPath);
    if (options.sealed === 'passphrase') {
      writeFileSync(scene.keyPath, 'passphrase correct horse battery\n', { mode: 0o600 });
    }
    return scene;
  }

  get keyPath(): string {
    return join(this.folder, 'archive.key');
  }

  /** Of the archive. */
  get url(): string {
    return `${this.place.url}/vm1`;
  }

  /** Writes hast.conf with these statements in the archive block. */
  configure(ofArchive: string): void {
    const { folder } = this;
    const lines = [
      `on a { statedir ${folder}/a  control unix://${folder}/a.ctl  `,
      `export unix://${folder}/a.nbd  listen tcp://127.0.0.1:${this.#port}  `,
      `pidfile ${folder}/a.pid }\n`,
      `resource vm1 {\n  interval 24h\n  on a { local ${folder}/a.img }\n`,
      `  archive ${ARCHIVE} {\n    ${ofArchive}\n  }\n}\n`,
    ];
    writeFileSync(join(folder, 'hast.conf'), lines.join(''));
  }

  /** From now on the wall clock of hastd is so far ahead. */
  hoursAhead(hours: number): void {
    writeFileSync(this.#hours, String(hours));
  }

  /** hastd, primary of a new disk, and the guest. */
  async begin(): Promise<void> {
    await this.node.hastd();
    await create(this.node, this.#options.sizeBytes);
    await takeRole(this.node, 'primary');
    await this.disk.connect();
  }

  /** SIGKILL of hastd; what the disk has then is known. */
  async die(): Promise<void> {
    await this.node.kill('SIGKILL');
    this.disk.lost();
  }

  /** It takes up its role by itself; the guest is there again. */
  async comeBack(): Promise<void> {
    await this.node.hastd();
    await takeRole(this.node, 'primary');
    await this.disk.connect();
  }

  /** One round, waited for; a daemon that dies meanwhile is a failed one. */
  async sync(): Promise<SyncAnswer['outcomes'][number]> {
    try {
      const { outcomes } = await this.node.control.sync('vm1', { wait: 'applied' }, never());
      const [outcome] = outcomes;
      assert.ok(outcome !== undefined && outcomes.length === 1);
      return outcome;
    } catch (error) {
      return { target: ARCHIVE, outcome: 'failed', point: null, text: String(error) };
    }
  }

  /** A round that must make a point: its number. */
  async point(): Promise<number> {
    const { outcome, point, text } = await this.sync();
    assert.equal(outcome, 'applied', `${text}\n${this.node.log().slice(-4000)}`);
    assert.ok(point !== null);
    return point;
  }

  target() {
    return target(this.node, ARCHIVE);
  }

  async lastRound(): Promise<RoundRecord> {
    const round = (await this.node.control.rounds('vm1')).rounds.at(-1);
    assert.ok(round !== undefined);
    return round;
  }

  /** hastctl without this node's configuration: on the archive alone. */
  hastctl(...args: readonly string[]): Promise<Finished> {
    return this.node.ctl('-c', '/nowhere/hast.conf', '--json', ...args, ...this.#flags);
  }

  /** The same; it must succeed. */
  async ask<T>(...args: readonly string[]): Promise<T> {
    const { status, stdout, stderr, json } = await this.hastctl(...args);
    assert.equal(status, 0, `hastctl ${args.join(' ')}: ${stdout}${stderr}`);
    return json as T;
  }

  async points(): Promise<readonly ArchivePointRecord[]> {
    const { points } = await this.ask<{ points: readonly ArchivePointRecord[] }>(
      'points',
      this.url,
    );
    return points;
  }

  /** A point as hastctl restores it from the url alone. */
  async restored(point: number | string): Promise<Buffer> {
    const path = join(this.folder, 'restored.img');
    await this.ask('restore', `${this.url}@${point}`, path);
    const image = readFileSync(path);
    rmSync(path);
    return image;
  }

  async prune(...args: readonly string[]): Promise<PruneAnswer['archives'][number]> {
    const answer = (await this.node.ask('prune', 'vm1', ...args)) as PruneAnswer;
    const [archive] = answer.archives;
    assert.ok(archive !== undefined && answer.archives.length === 1);
    return archive;
  }

  say(text: string): void {
    this.#t.diagnostic(text);
  }
}
