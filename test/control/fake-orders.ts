// The rest of fake-api.ts: what an operator can order besides rounds and roles, and streams.
import type { ControlApi, EstimateAnswer, PointEvent } from '../../src/control/api.js';
import { type FakeApi, point } from './fake-api.js';
import { PRUNED } from './pruned.js';
import { REPACKED } from './repacked.js';

type RecordCall = (...call: unknown[]) => void;

/** `abort` is called when the client has given up. */
export function streams(
  record: RecordCall,
  api: () => FakeApi,
  abort: () => void,
): Pick<ControlApi, 'point'> {
  return {
    point: (name, request, signal) => {
      signal.addEventListener('abort', abort);
      record('point', name, request);
      return streamed(api());
    },
  };
}

async function* streamed(api: FakeApi): AsyncGenerator<PointEvent> {
  yield* api.pointEvents;
  if (api.pointFailure !== null) throw api.pointFailure;
  if (api.hold !== null) await Promise.race([api.hold, api.aborted]);
}

/** What an operator can order besides rounds and roles. */
export function orders(
  record: (...call: unknown[]) => void,
  estimated: () => EstimateAnswer,
): Pick<
  ControlApi,
  | 'pause'
  | 'resume'
  | 'cancel'
  | 'prune'
  | 'pin'
  | 'repack'
  | 'estimate'
  | 'set'
  | 'resize'
  | 'reload'
> {
  return {
    pause: async (name, request) => {
      record('pause', name, request);
      return { notes: ['b is held'] };
    },
    resume: async (name, request) => {
      record('resume', name, request);
      return { notes: [] };
    },
    cancel: async (name, request) => {
      record('cancel', name, request);
      return { notes: [] };
    },
    pin: async (name, request) => {
      record('pin', name, request);
      return { point: point({ name: request.label }) };
    },
    prune: async (name, request) => {
      record('prune', name, request);
      return PRUNED;
    },
    repack: async (name, request) => {
      record('repack', name, request);
      return REPACKED;
    },
    estimate: async (name) => {
      record('estimate', name);
      return estimated();
    },
    set: async (name, request) => {
      record('set', name, request);
      return { notes: [] };
    },
    resize: async (name, request) => {
      record('resize', name, request);
      return { notes: ['20 GiB instead of 10 GiB'] };
    },
    reload: async () => {
      record('reload');
      return { notes: ['statedir cannot change while hastd runs'] };
    },
  };
}
