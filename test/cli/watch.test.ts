// status --watch: what is painted on a terminal, what goes down a pipe, a daemon that goes away and
// comes back or hangs, and the end by an interruption; the last also of a real process.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import type { Clock } from '../../src/base/clock.js';
import type { CliMachinery, Screen } from '../../src/cli/session.js';
import { Session } from '../../src/cli/session.js';
import { painted, watchStatus } from '../../src/cli/watch.js';
import { ControlError } from '../../src/control/api.js';
import type { ControlClient } from '../../src/control/client.js';
import { type FakeApi, fakeApi, progress, resource, target } from '../control/fake-api.js';
import { HASTCTL, served } from './run-hastctl.js';

const NOW_MS = Date.parse('2026-11-20T05:05:00.000Z');
const SCREEN = { columns: 120, rows: 24 };
const unreachable = new ControlError({ code: 'CONTROL_UNREACHABLE', path: '/c', text: 'gone' });

/** A session that is interrupted after `rounds` seconds; `each` is told of every second. */
function watched(
  api: FakeApi,
  options: { json?: boolean; screen?: Screen; rounds: number },
  each: (second: number) => void = () => {},
) {
  const pieces: string[] = [];
  const stop = new AbortController();
  let seconds = 0;
  const clock: Clock = {
    wallMs: () => NOW_MS,
    monotonicMs: () => 0,
    sleep: async (ms, signal) => {
      // Only the period of a second ends; the limit of an answer is reached when it is aborted.
      if (ms !== 1000)
        return new Promise((done) => signal?.addEventListener('abort', () => done()));
      seconds += 1;
      each(seconds);
      if (seconds >= options.rounds) stop.abort();
    },
  };
  const machinery = {
    out: (text: string) => void pieces.push(text),
    err: () => {},
    clock,
    screen: () => options.screen ?? null,
    interrupted: () => stop.signal,
    readText: async () => '',
    loadConfig: () => ({ settings: { control: '/c' }, findings: [], origins: [] }),
    connect: () => ({ ...api, config: async () => ({}) }) satisfies ControlClient,
  } as unknown as CliMachinery;
  const global = { config: '/etc/hast.conf', node: 'a', json: options.json ?? false, debug: 0 };
  return { pieces, run: () => watchStatus(new Session(global, machinery), []) };
}

test('on a pipe one document a second, with an empty line between', async () => {
  const { pieces, run } = watched(fakeApi(), { rounds: 3 });
  assert.equal(await run(), 0);
  assert.equal(pieces.length, 3);
  for (const piece of pieces) assert.match(piece, /^Name {2}Status [\s\S]*\n\n$/);
});

test('with --json a line for each second, with its time', async () => {
  const { pieces, run } = watched(fakeApi(), { rounds: 2, json: true, screen: SCREEN });
  assert.equal(await run(), 0);
  assert.equal(pieces.length, 2);
  for (const piece of pieces) {
    assert.match(piece, /^[^\n]+\n$/);
    const { time, resources } = JSON.parse(piece);
    assert.deepEqual([time, resources[0].name], ['2026-11-20T05:05:00.000Z', 'vm1']);
  }
});

test('on a terminal it is drawn over itself, with bars, and the cursor comes back', async () => {
  const api = fakeApi();
  api.resources = [resource({ targets: [target({ round: progress({ doneBytes: 50 }) })] })];
  const { pieces, run } = watched(api, { rounds: 2, screen: SCREEN });
  assert.equal(await run(), 0);
  assert.deepEqual([pieces[0], pieces.at(-1)], ['\x1b[?25l', '\x1b[?25h']);
  assert.equal(pieces.length, 4);
  assert.ok(pieces[1]?.startsWith('\x1b[Hhast 2026-11-20T05:05:00.000Z\x1b[K\n'));
  assert.ok(pieces[1]?.endsWith('\x1b[J'));
  assert.ok(pieces[1]?.includes(`[${'#'.repeat(15)}${'-'.repeat(15)}] round: 50 %`));
});

test('a daemon that goes away is told in its place, and the next one is seen', async () => {
  const api = fakeApi();
  const { pieces, run } = watched(api, { rounds: 4, json: true }, (second) => {
    api.failure = second === 1 || second === 2 ? unreachable : null;
  });
  assert.equal(await run(), 0);
  const kinds = pieces.map((piece) => JSON.parse(piece).error?.code ?? 'status');
  assert.deepEqual(kinds, ['status', 'CONTROL_UNREACHABLE', 'CONTROL_UNREACHABLE', 'status']);
});

test('a daemon that is not there at the beginning is an error', async () => {
  const api = fakeApi();
  api.failure = unreachable;
  const { pieces, run } = watched(api, { rounds: 4, screen: SCREEN });
  await assert.rejects(run(), /cannot reach hastd/);
  assert.deepEqual(pieces, []);
});

test('the picture is cut to the screen and leaves nothing of the one before', () => {
  const text = `${Array.from({ length: 9 }, (_, i) => `line ${i} ${'x'.repeat(50)}`).join('\n')}\n`;
  const lines = painted(text, { columns: 10, rows: 5 }).split('\n');
  assert.deepEqual(lines, [
    '\x1b[Hline 0 xxx\x1b[K',
    'line 1 xxx\x1b[K',
    'line 2 xxx\x1b[K',
    '(6 more li\x1b[K',
    '\x1b[J',
  ]);
  assert.equal(painted('a\nb\n', { columns: 10, rows: 5 }), '\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J');
});

test('Ctrl-C ends a real one with 0', async (t) => {
  const { before } = await served(t);
  const child = spawn(process.execPath, [HASTCTL, ...before, 'status', '--watch', '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8');
  while (text.split('\n').length < 3) text += String((await once(child.stdout, 'data'))[0]);
  child.kill('SIGINT');
  const [status, signal] = await once(child, 'exit');
  assert.deepEqual([status, signal], [0, null]);
  for (const line of text.trim().split('\n')) assert.equal(JSON.parse(line).node, 'a');
});

test('a daemon that hangs is UNKNOWN in time', { timeout: 30_000 }, async (t) => {
  const { before, api } = await served(t);
  api.status = () => new Promise(() => {});
  const started = performance.now();
  const child = spawn(process.execPath, [HASTCTL, ...before, 'status', '--check'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [text] = await once(child.stdout.setEncoding('utf8'), 'data');
  const [status] = await once(child, 'exit');
  assert.equal(status, 3);
  assert.equal(text, 'HAST UNKNOWN - hastd has not answered for 8 seconds\n');
  assert.ok(performance.now() - started < 20_000);
});
