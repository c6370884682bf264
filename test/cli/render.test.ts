// Golden texts of status, list, rounds, points, sync, verify and progress.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderList } from '../../src/cli/render-list.js';
import { renderStatus } from '../../src/cli/render-status.js';
import {
  coalesced,
  renderPoints,
  renderRounds,
  renderSync,
  renderVerify,
} from '../../src/cli/render-tables.js';
import { columns, progressText } from '../../src/cli/text.js';
import type { ResourceStatus } from '../../src/control/api.js';
import { point, resource, round, target } from '../control/fake-api.js';

const NOW = Date.parse('2026-11-20T05:05:00.000Z');
const answer = (...resources: ResourceStatus[]) => ({
  node: 'a',
  version: '0.1.0',
  pid: 1,
  resources,
});
const lines = (...text: string[]): string => text.map((line) => `${line}\n`).join('');

test('status: one line per resource, the rest indented below it', () => {
  const running = target({
    name: 'c',
    remote: 'tcp://c:8457',
    work: 'sending',
    state: 'sending',
    lastPoint: null,
    nextRun: null,
    skippedFirings: 2,
    round: {
      id: 'ef'.repeat(16),
      kind: 'round',
      doneBytes: 400,
      totalBytes: 1024,
      sentBytes: 300,
      wireUpBytes: 200,
      bytesPerSecond: 3_250_586,
      etaSeconds: 240,
    },
    lastError: {
      time: '2026-11-20T04:59:58.123Z',
      code: 'TARGET_LOST',
      text: 'no answer for 20 s',
    },
  });
  const text = renderStatus(
    answer(
      resource({ targets: [target(), running] }),
      resource({ name: 'database', role: 'init', state: 'init', local: '/dev/vg/db' }),
    ),
    NOW,
  );
  assert.equal(
    text,
    lines(
      'Name      Status  Role     Components',
      'vm1       dirty   primary  /srv/h/a.img tcp://127.0.0.1:18458 tcp://c:8457',
      '  b: dirty; last point vm1@42, 3h 5m old; 1.2 GiB dirty; next run in 12m; never verified',
      '  c: sending; no point yet; 1.2 GiB dirty; 2 firings skipped; never verified',
      '  c: round: 39 % of 1.0 KiB, 3.1 MiB/s, 4m left',
      '  c: last error 2026-11-20T04:59:58Z TARGET_LOST: no answer for 20 s',
      'database  init    init     /dev/vg/db tcp://127.0.0.1:18458',
    ),
  );
});

test('status: clean never stands without when it was last verified', () => {
  const clean = target({
    data: 'clean',
    state: 'clean',
    dirtyBytes: 0,
    lagSeconds: 0,
    nextRun: '2026-11-20T05:04:00.000Z',
    verifiedAt: '2026-11-18T05:05:00.000Z',
  });
  assert.equal(
    renderStatus(answer(resource({ state: 'clean', targets: [clean] })), NOW),
    lines(
      'Name  Status  Role     Components',
      'vm1   clean   primary  /srv/h/a.img tcp://127.0.0.1:18458',
      '  b: clean; last point vm1@42, 3h 5m old; next run is due; verified 2d 0h ago',
    ),
  );
});

test('status: a resource with an error of its own, and one that is not replicated', () => {
  const text = renderStatus(
    answer(resource({ state: 'failed', error: 'fdatasync of the disk failed: EIO', targets: [] })),
    NOW,
  );
  assert.equal(
    text,
    lines(
      'Name  Status  Role     Components',
      'vm1   failed  primary  /srv/h/a.img none',
      '  error: fdatasync of the disk failed: EIO',
    ),
  );
  assert.equal(renderStatus(answer(), NOW), 'Name  Status  Role  Components\n');
});

test("list: HAST's fields by name and in its order, then ours", () => {
  const text = renderList(
    answer(
      resource({
        counters: {
          reads: 1,
          writes: 2,
          deletes: 3,
          flushes: 4,
          activemapUpdates: 5,
          readErrors: 6,
          writeErrors: 7,
          deleteErrors: 8,
          flushErrors: 9,
          writtenBytes: 8192,
          preservedChunks: 10,
          gateHoldMicrosMax: 210,
          gateHoldMicrosP99: 90,
        },
      }),
    ),
    NOW,
  );
  assert.equal(
    text,
    lines(
      'vm1:',
      '  role: primary',
      '  provname: vm1',
      '  localpath: /srv/h/a.img',
      '  mediasize: 10737418240 (10.0 GiB)',
      '  extentsize: 2097152 (2.0 MiB)',
      '  keepdirty: 64',
      '  remoteaddr: tcp://127.0.0.1:18458',
      '  replication: periodic',
      '  status: dirty',
      '  dirty: 1288490189 (1.2 GiB)',
      '  spill: 0 (0 B) of 4294967296 (4.0 GiB)',
      '  statistics:',
      '    reads: 1',
      '    writes: 2',
      '    deletes: 3',
      '    flushes: 4',
      '    activemap updates: 5',
      '    local errors: read: 6, write: 7, delete: 8, flush: 9',
      '    written: 8192 (8.0 KiB)',
      '    preserved chunks: 10',
      '    gate hold: 210 us at most, 90 us at the 99th percentile',
      '  target b:',
      '    kind: replica',
      '    remoteaddr: tcp://127.0.0.1:18458',
      '    link: up',
      '    work: idle',
      '    data: dirty',
      '    status: dirty',
      '    dirty: 1288490189 (1.2 GiB)',
      '    last point: vm1@42 2026-11-20T02:00:00Z (3h 5m old)',
      '    lag: 11100 s',
      '    next run: 2026-11-20T05:17:00Z',
      '    skipped firings: 0',
      '    running: nothing',
      '    last error: none',
      '    last verified: never',
      '  nbd: nbd+unix:///vm1?socket=/srv/h/a.nbd',
      '  qemu: -blockdev driver=nbd,node-name=hast-vm1,server.type=unix,server.path=/srv/h/a.nbd,' +
        'export=vm1,discard=unmap -device virtio-blk-pci,drive=hast-vm1',
      "  libvirt: <disk type='network' device='disk'>" +
        "<driver name='qemu' type='raw' discard='unmap'/>" +
        "<source protocol='nbd' name='vm1'>" +
        "<host transport='unix' socket='/srv/h/a.nbd'/></source>" +
        "<target dev='vda' bus='virtio'/></disk>",
    ),
  );
});

test('list: what is not known is a dash, and only a primary can be attached', () => {
  const text = renderList(
    answer(
      resource({
        role: 'init',
        sizeBytes: null,
        extentBytes: null,
        keepdirty: null,
        nbdUri: null,
        targets: [],
      }),
    ),
    NOW,
  );
  assert.match(
    text,
    / {2}mediasize: -\n {2}extentsize: -\n {2}keepdirty: -\n {2}remoteaddr: none\n/,
  );
  assert.doesNotMatch(text, /nbd|qemu|libvirt/);
});

test('rounds: columns, coalescing, errors below', () => {
  const failed = round({
    point: null,
    outcome: 'failed',
    cutTime: null,
    sentBytes: 0,
    error: 'spill full',
  });
  assert.equal(
    renderRounds('vm1', [round(), failed]),
    lines(
      'Round     Target  Point   Outcome    Cut                   Took  Dirty     Read      ' +
        'Skipped  Sent      Up        Down   Coalesced',
      'cdcdcdcd  b       vm1@42  committed  2026-11-20T02:00:00Z  65s   40.0 KiB  64.0 KiB  ' +
        '8.0 KiB  32.0 KiB  11.7 KiB  900 B  3.2x',
      'cdcdcdcd  b       -       failed     -                     65s   40.0 KiB  64.0 KiB  ' +
        '8.0 KiB  0 B       11.7 KiB  900 B  -',
      '  error: spill full',
    ),
  );
  assert.equal(renderRounds('vm1', []), 'vm1: no rounds yet\n');
  assert.equal(coalesced({ guestBytes: 10, sentBytes: 0 }), '-');
});

test('points: columns, and where each can be read', () => {
  assert.equal(
    renderPoints(
      'vm1',
      [point(), point({ number: 43, consistency: 'damaged', target: null })],
      NOW,
    ),
    lines(
      'Point   Cut                   Age    Consistency  Size      Changed   Target  Id',
      'vm1@42  2026-11-20T02:00:00Z  3h 5m  crash        10.0 GiB  32.0 KiB  b       abababab',
      'vm1@43  2026-11-20T02:00:00Z  3h 5m  damaged      10.0 GiB  32.0 KiB  here    abababab',
    ),
  );
  assert.equal(renderPoints('vm1', [], NOW), 'vm1: no points yet\n');
});

test('sync and verify say what happened and what was compared', () => {
  const outcomes = [
    { target: 'b', outcome: 'applied', point: 43, text: '' },
    { target: 'c', outcome: 'nothing', point: null, text: 'nothing was dirty' },
  ] as const;
  assert.equal(
    renderSync('vm1', { outcomes }),
    lines('vm1 b: applied as vm1@43', 'vm1 c: nothing: nothing was dirty'),
  );
  assert.match(renderSync('vm1', { outcomes: [] }), /no target/);
  const result = { target: 'b', chunks: 100, differing: 1, dirtyChunks: 2, examples: [65_536] };
  assert.equal(
    renderVerify('vm1', { compared: 'disks', results: [{ ...result, text: '' }] }),
    lines(
      'vm1 b: compared disks (read past the page cache): 100 chunks, 1 differ, ' +
        '2 dirty and not comparable now',
      '  differing at byte 65536',
    ),
  );
});

test('progress: unknown end, empty round, more done than planned', () => {
  const base = {
    id: '',
    kind: 'settle',
    doneBytes: 0,
    totalBytes: 0,
    sentBytes: 0,
    wireUpBytes: 0,
    bytesPerSecond: 0,
    etaSeconds: null,
  } as const;
  assert.equal(progressText(base), 'comparing: 0 % of 0 B, 0 B/s, end unknown');
  const over = progressText({ ...base, kind: 'pass', doneBytes: 200, totalBytes: 100 });
  assert.match(over, /^first copy: 100 %/);
});

test('columns: rows of different length, no trailing blanks', () => {
  assert.equal(columns([['a', 'bb'], ['ccc'], ['', 'd', 'e']]), 'a    bb\nccc\n     d   e\n');
});
