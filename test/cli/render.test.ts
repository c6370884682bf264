// Golden texts of status, list, rounds, points, sync, verify and progress.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderList } from '../../src/cli/render-list.js';
import { renderStatus } from '../../src/cli/render-status.js';
import {
  coalesced,
  renderEstimate,
  renderPoints,
  renderRounds,
  renderSync,
  renderVerify,
} from '../../src/cli/render-tables.js';
import { bitRate, columns, progressBar, progressText } from '../../src/cli/text.js';
import type { ResourceStatus } from '../../src/control/api.js';
import {
  counters,
  estimate,
  point,
  progress,
  resource,
  round,
  target,
} from '../control/fake-api.js';

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
    round: progress({
      doneBytes: 400,
      totalBytes: 1024,
      sentBytes: 300,
      bytesPerSecond: 3_250_586,
      etaSeconds: 240,
    }),
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
        counters: counters({
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
          gateHoldMicrosP999: 150,
          preserveWaits: 11,
          preserveWaitMicrosP99: 12,
          firstTouches: 13,
          firstTouchMicros: 14,
          firstTouchMicrosMax: 15,
          repairedBlocks: 16,
        }),
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
      '  guests: 0',
      '  alone: no',
      '  disk hangs since: -',
      '  statistics:',
      '    reads: 1',
      '    writes: 2',
      '    deletes: 3',
      '    flushes: 4',
      '    activemap updates: 5',
      '    local errors: read: 6, write: 7, delete: 8, flush: 9',
      '    written: 8192 (8.0 KiB)',
      '    preserved chunks: 10',
      '    repaired blocks: 16',
      '    gate hold: 210 us at most, 90 us at the 99th percentile, 150 us at the 99.9th',
      '    preserve waits: 11, 12 us at the 99th percentile',
      '    first touches: 13, 14 us in all, 15 us at most',
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
      '    max-lag: 93600 s',
      '    next run: 2026-11-20T05:17:00Z',
      '    paused: no',
      '    rate: none',
      '    unreachable since: -',
      '    skipped firings: 0',
      '    failed rounds: 0',
      '    chunks: drifted 0, untracked 0, damaged 0',
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
      'vm1@43  2026-11-20T02:00:00Z  3h 5m  DAMAGED      10.0 GiB  32.0 KiB  here    abababab',
      '  DAMAGED: blocks that could not be read at the cut have older content',
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
  const idle = { doneBytes: 0, totalBytes: 0, bytesPerSecond: 0, etaSeconds: null };
  const base = progress({ kind: 'settle', ...idle });
  assert.equal(progressText(base), 'comparing: 0 % of 0 B, 0 B/s, end unknown');
  const over = progressText({ ...base, kind: 'pass', doneBytes: 200, totalBytes: 100 });
  assert.match(over, /^first copy: 100 %/);
});

test('columns: rows of different length, no trailing blanks', () => {
  assert.equal(columns([['a', 'bb'], ['ccc'], ['', 'd', 'e']]), 'a    bb\nccc\n     d   e\n');
});

test('status: alarms stand first, the worst of all resources at the top', () => {
  const alarm = (level: 'warning' | 'critical', name: string | null, text: string) =>
    ({ level, target: name, code: 'lag', text }) as const;
  const text = renderStatus(
    answer(
      resource({ alarms: [alarm('warning', 'b', 'a bit late')] }),
      resource({
        name: 'vm2',
        alarms: [alarm('critical', 'b', 'late'), alarm('warning', null, 'x')],
      }),
    ),
    NOW,
  );
  assert.deepEqual(text.split('\n').slice(0, 4), [
    '  CRITICAL vm2 b lag: late',
    '  WARNING vm1 b lag: a bit late',
    '  WARNING vm2 lag: x',
    'Name  Status  Role     Components',
  ]);
  const rows = text.split('\n').filter((line) => /^\S/.test(line));
  assert.deepEqual(
    rows.map((row) => row.split(/\s+/)[0]),
    ['Name', 'vm1', 'vm2'],
  );
});

test('status: what is out of the ordinary is said, and nothing of it otherwise', () => {
  const one = target({
    state: 'unreachable',
    paused: true,
    rateBitsPerSecond: 20_000_000,
    failedRounds: 2,
    driftChunks: 1,
    untrackedChunks: 3,
    damagedChunks: 4,
  });
  const odd = resource({
    guests: 2,
    alone: true,
    hangsSince: '2026-11-20T05:03:00.000Z',
    targets: [one],
  });
  assert.deepEqual(renderStatus(answer(odd), NOW).split('\n').slice(2), [
    '  the disk has answered nothing for 2m',
    '  2 NBD clients; primary alone: the peer was not reached',
    '  b: unreachable; paused; last point vm1@42, 3h 5m old; 1.2 GiB dirty; at most 20 Mbit/s; ' +
      '2 rounds failed since; 1 chunk had drifted there; 3 chunks changed untracked; ' +
      '4 chunks damaged; never verified',
    '',
  ]);
  const held = target({ state: 'paused', work: 'paused', paused: true });
  assert.match(renderStatus(answer(resource({ targets: [held] })), NOW), / b: paused; last/);
});

test('status: a bar where there is room for one', () => {
  const round = progress({ doneBytes: 45, resentBytes: 1024 });
  const running = resource({ targets: [target({ round })] });
  assert.match(
    renderStatus(answer(running), NOW, { barWidth: 10 }),
    /\n {2}b: \[####------\] round: 45 % of 100 B, 10 B\/s, 5s left, 1\.0 KiB sent again\n/,
  );
  assert.equal(progressBar(progress({ doneBytes: 200 }), 4), '[####]');
  assert.equal(progressBar(progress({ totalBytes: 0 }), 4), '[----]');
});

test('list shows alarms, a pause and a limit', () => {
  const alarms = [
    { level: 'critical', target: 'b', code: 'lag', text: 'late' },
    { level: 'warning', target: null, code: 'spill', text: 'nearly full' },
  ] as const;
  const one = target({ paused: true, rateBitsPerSecond: 512_000, maxLagSeconds: null });
  const text = renderList(answer(resource({ alarms, targets: [one] })), NOW);
  assert.match(text, /^vm1:\n {2}alarm: critical b lag: late\n {2}alarm: warning spill: nearly/);
  assert.match(text, / {4}max-lag: none\n/);
  assert.match(text, / {4}paused: yes\n {4}rate: 512 kbit\/s\n/);
});

test('rounds: further columns only when they have something to say', () => {
  const text = renderRounds('vm1', [round(), round({ reusedBytes: 4096, driftChunks: 2 })]);
  const [header = '', first = '', second = ''] = text.split('\n');
  assert.match(header, /Coalesced {2}Reused {3}Drift$/);
  assert.match(first, /3\.2x {7}0 B {6}0$/);
  assert.match(second, /3\.2x {7}4\.0 KiB {2}2$/);
  const all = round({ resentBytes: 1, reusedBytes: 1, driftChunks: 1, damagedChunks: 1 });
  assert.match(renderRounds('vm1', [all]), /Resent {2}Reused {2}Drift {2}Damaged\n/);
});

test('estimate: what is not known is not made up, and a spill that could fill is told', () => {
  const known = estimate();
  const unknown = estimate({ target: 'c', seconds: null, bytesPerSecond: null });
  const tight = estimate({ target: 'd', spillBytes: 4_294_967_296, dirtyChunks: 1 });
  assert.equal(
    renderEstimate('vm1', { targets: [known, unknown, tight] }),
    lines(
      'vm1 b: 1.0 MiB dirty in 17 chunks, about 512 KiB on the wire, about 90s at 5.7 KiB/s',
      '  room needed at most: here 1.1 MiB of 4.0 GiB of spill; there 2.0 MiB',
      'vm1 c: 1.0 MiB dirty in 17 chunks, about 512 KiB on the wire, time not known yet',
      '  room needed at most: here 1.1 MiB of 4.0 GiB of spill; there 2.0 MiB',
      'vm1 d: 1.0 MiB dirty in 1 chunk, about 512 KiB on the wire, about 90s at 5.7 KiB/s',
      '  room needed at most: here 4.0 GiB of 4.0 GiB of spill (a busy guest could fill it); ' +
        'there 2.0 MiB',
    ),
  );
  assert.match(renderEstimate('vm1', { targets: [] }), /there is no target/);
});

test('bit rates as people say them', () => {
  assert.deepEqual([8000, 20_000_000, 2_500_000_000, 1e12, 64].map(bitRate), [
    '8 kbit/s',
    '20 Mbit/s',
    '2.5 Gbit/s',
    '1000 Gbit/s',
    '64 bit/s',
  ]);
});
