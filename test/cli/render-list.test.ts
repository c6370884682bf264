// Golden texts of `hastctl list`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderList } from '../../src/cli/render-list.js';
import { counters, resource, target } from '../control/fake-api.js';
import { answer, lines, NOW } from './render-material.js';

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
