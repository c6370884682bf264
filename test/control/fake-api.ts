// A daemon without a daemon: a ControlApi that answers from plain data, records what it was asked,
// and can be told to fail or to hold a request. For tests of the server, the client and hastctl.

import { systemClock } from '../../src/base/clock.js';
import { silentLog } from '../../src/base/log.js';
import { deferred } from '../../src/base/sync.js';
import {
  type ControlApi,
  ControlError,
  type EstimateAnswer,
  type PointEvent,
  type PointRecord,
  type ResourceCounters,
  type ResourceStatus,
  type RoundProgress,
  type RoundRecord,
  type SyncAnswer,
  type TargetStatus,
  type VerifyAnswer,
} from '../../src/control/api.js';
import { type ControlServer, startControlServer } from '../../src/control/server.js';
import { orders, streams } from './fake-orders.js';

export const target = (changes: Partial<TargetStatus> = {}): TargetStatus => ({
  name: 'b',
  kind: 'replica',
  remote: 'tcp://127.0.0.1:18458',
  link: 'up',
  work: 'idle',
  data: 'dirty',
  state: 'dirty',
  dirtyBytes: 1_288_490_189,
  lastPoint: { id: 'ab'.repeat(16), number: 42, time: '2026-11-20T02:00:00.000Z' },
  lagSeconds: 11_100,
  nextRun: '2026-11-20T05:17:00.000Z',
  skippedFirings: 0,
  round: null,
  lastError: null,
  verifiedAt: null,
  paused: false,
  rateBitsPerSecond: null,
  maxLagSeconds: 93_600,
  failedRounds: 0,
  unreachableSince: null,
  driftChunks: 0,
  untrackedChunks: 0,
  damagedChunks: 0,
  ...changes,
});

export const progress = (changes: Partial<RoundProgress> = {}): RoundProgress => ({
  id: 'ef'.repeat(16),
  kind: 'round',
  doneBytes: 50,
  totalBytes: 100,
  sentBytes: 0,
  wireUpBytes: 0,
  bytesPerSecond: 10,
  etaSeconds: 5,
  resentBytes: 0,
  ...changes,
});

export const counters = (changes: Partial<ResourceCounters> = {}): ResourceCounters => ({
  reads: 0,
  writes: 0,
  deletes: 0,
  flushes: 0,
  activemapUpdates: 0,
  readErrors: 0,
  writeErrors: 0,
  deleteErrors: 0,
  flushErrors: 0,
  writtenBytes: 0,
  preservedChunks: 0,
  gateHoldMicrosMax: 0,
  gateHoldMicrosP99: 0,
  gateHoldMicrosP999: 0,
  preserveWaits: 0,
  preserveWaitMicrosP99: 0,
  firstTouches: 0,
  firstTouchMicros: 0,
  firstTouchMicrosMax: 0,
  repairedBlocks: 0,
  ...changes,
});

export const resource = (changes: Partial<ResourceStatus> = {}): ResourceStatus => ({
  name: 'vm1',
  role: 'primary',
  state: 'dirty',
  exportName: 'vm1',
  local: '/srv/h/a.img',
  sizeBytes: 10_737_418_240,
  extentBytes: 2_097_152,
  keepdirty: 64,
  replication: 'periodic',
  nbdUri: 'nbd+unix:///vm1?socket=/srv/h/a.nbd',
  spillBytes: 0,
  spillBytesMax: 4_294_967_296,
  counters: null,
  error: null,
  guests: 0,
  alone: false,
  hangsSince: null,
  alarms: [],
  targets: [target()],
  ...changes,
});

export const round = (changes: Partial<RoundRecord> = {}): RoundRecord => ({
  id: 'cd'.repeat(16),
  target: 'b',
  point: 42,
  outcome: 'committed',
  cutTime: '2026-11-20T02:00:00.000Z',
  seconds: 65,
  dirtyBytes: 40_960,
  readBytes: 65_536,
  skippedBytes: 8192,
  sentBytes: 32_768,
  wireUpBytes: 12_000,
  wireDownBytes: 900,
  guestBytes: 104_858,
  resentBytes: 0,
  reusedBytes: 0,
  driftChunks: 0,
  damagedChunks: 0,
  error: null,
  ...changes,
});

export const point = (changes: Partial<PointRecord> = {}): PointRecord => ({
  id: 'ab'.repeat(16),
  number: 42,
  time: '2026-11-20T02:00:00.000Z',
  parent: null,
  name: null,
  consistency: 'crash',
  sizeBytes: 10_737_418_240,
  changedBytes: 32_768,
  target: 'b',
  lostChunks: 0,
  damagedChunks: 0,
  ...changes,
});

export const estimate = (
  changes: Partial<EstimateAnswer['targets'][number]> = {},
): EstimateAnswer['targets'][number] => ({
  target: 'b',
  dirtyBytes: 1_048_576,
  dirtyChunks: 17,
  wireBytes: 524_288,
  seconds: 90,
  bytesPerSecond: 5825,
  spillBytes: 1_114_112,
  spillBytesMax: 4_294_967_296,
  targetBytes: 2_097_152,
  ...changes,
});

export interface FakeApi extends ControlApi {
  readonly asked: (readonly unknown[])[];
  resources: ResourceStatus[];
  syncAnswer: SyncAnswer;
  verifyAnswer: VerifyAnswer;
  estimateAnswer: EstimateAnswer;
  /** Thrown by every command when set. */
  failure: unknown;
  /** What `point` answers; then it ends, or fails with `pointFailure`. */
  pointEvents: PointEvent[];
  pointFailure: unknown;
  /** Holds sync until it resolves or the client goes. */
  hold: Promise<void> | null;
  /** Resolves when a held sync has seen its signal. */
  readonly aborted: Promise<void>;
  readonly stopped: Promise<void>;
}

export function fakeApi(): FakeApi {
  const [aborted, stopped] = [deferred<void>(), deferred<void>()];
  const find = (name: string): ResourceStatus => {
    const found = api.resources.find((one) => one.name === name);
    if (found) return found;
    const known = api.resources.map((one) => one.name).join(', ');
    throw new ControlError({ code: 'CONTROL_NO_RESOURCE', name, known });
  };
  const record = (...call: unknown[]): void => {
    api.asked.push(call);
    if (api.failure !== null) throw api.failure;
  };
  const api: FakeApi = {
    asked: [],
    resources: [resource()],
    syncAnswer: {
      outcomes: [{ target: 'b', outcome: 'applied', point: 43, text: '3 blocks sent' }],
    },
    verifyAnswer: { compared: 'tables', results: [] },
    estimateAnswer: { targets: [estimate()] },
    pointEvents: [],
    pointFailure: null,
    failure: null,
    hold: null,
    aborted: aborted.promise,
    stopped: stopped.promise,
    status: async (names) => {
      record('status', names);
      const resources = names.length === 0 ? api.resources : names.map(find);
      return { node: 'a', version: '0.1.0', pid: 2 ** 30, resources };
    },
    create: async (name, request) => {
      record('create', name, request);
      return { notes: ['adopted 10 GiB as they stand'] };
    },
    role: async (name, request) => {
      record('role', name, request);
      find(name);
      return { role: request.role, notes: [] };
    },
    sync: async (name, request, signal) => {
      record('sync', name, request);
      signal.addEventListener('abort', () => aborted.resolve());
      if (api.hold !== null) await Promise.race([api.hold, aborted.promise]);
      return api.syncAnswer;
    },
    rounds: async (name) => {
      record('rounds', name);
      return { rounds: [round()] };
    },
    points: async (name) => {
      record('points', name);
      return { points: [point()] };
    },
    verify: async (name, deep) => {
      record('verify', name, deep);
      return api.verifyAnswer;
    },
    ...orders(record, () => api.estimateAnswer),
    ...streams(record, () => api, aborted.resolve),
    stop: async () => {
      record('stop');
      stopped.resolve();
    },
  };
  return api;
}

/** Serves `api` on a real socket; `bugs` collects what onBug is told. */
export function serveFake(
  path: string,
  api: ControlApi,
  bugs: unknown[] = [],
): Promise<ControlServer> {
  return startControlServer(
    { path },
    {
      api,
      config: () => ({ node: 'a', secretPath: null }),
      log: silentLog,
      clock: systemClock,
      onBug: (error) => void bugs.push(error),
    },
  );
}
