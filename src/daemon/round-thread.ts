// Entry of the round thread: replication of all resources of the node. Control asks, this thread
// does: frozen reads, sessions, receive and apply; never a guest's request (DESIGN.md §4).
import { parentPort } from 'node:worker_threads';
import { present } from '../base/assert.js';
import { codeOf, describeError } from '../base/errors.js';
import { pinoLog } from '../base/log.js';
import { nodeFiles } from '../base/node-files.js';
import { reserveSpace } from '../disk/syscalls.js';
import { recordOf } from '../round/contact.js';
import { syncFailed } from '../round/doubt.js';
import { ResourceFile } from '../tracking/resource-file.js';
import { startComputePool } from './compute-pool.js';
import { realMachinery } from './machinery.js';
import { PastPoints } from './past-points.js';
import { pinPoint } from './replica-points.js';
import { Replication } from './replication.js';
import { readRecords } from './round-log.js';
import { signalOf } from './stop-word.js';
import { connectThreads } from './thread-calls.js';
import type {
  ControlThread,
  KnownState,
  NodeFactsForRounds,
  ReplicationStatus,
  RoundThread,
} from './thread-messages.js';

const port = present(parentPort, 'the round thread has a parent');
const log = pinoLog(process.env['HAST_LOG_LEVEL'] ?? 'info');
const compute = startComputePool(log);
const files = nodeFiles(reserveSpace);
let running: Replication | null = null;
let facts: NodeFactsForRounds | null = null;

const it = (): Replication => present(running, 'control starts this thread first');

/** Of all secondaries. */
const points = new PastPoints(it, log, (connection) => {
  void control.call('pointGuestGone', connection);
});

const methods: RoundThread = {
  start: async (given) => {
    facts = given;
    const machinery = realMachinery(given.node, compute, log);
    running = new Replication({ facts: given, machinery, control: { openReplicaDisk } });
    await running.start();
  },
  becomePrimary: (name, disk, acceptDrift) => it().becomePrimary(name, disk, acceptDrift),
  mayBecomeSecondary: async (name) => void (await it().mayBecomeSecondary(name)),
  becomeSecondary: (name) => it().becomeSecondary(name),
  promotionLoss: (name, request) => it().promotionLoss(name, request),
  becomeInit: (name) => it().becomeInit(name),
  reload: (name) => it().reload(name),
  markWritten: (name) => it().markWritten(name),
  trouble: async (name, what, text) => {
    log.error('trouble on the write path', { resource: name, what, why: text });
    if (what === 'flush') await it().doubt(name, syncFailed(text));
    if (what === 'intent') await it().doubt(name, `the intent map could not be written: ${text}`);
  },
  status: (name) => statusOf(name),
  sync: async (name, target, request) => it().primary(name, 'sync').sync(target, request),
  fire: async (name, target, nominalMs) => {
    const driver = it().primary(name, 'schedule').driver(target);
    return driver ? driver.fire(nominalMs) : 'started';
  },
  lastRunMs: async (name, target) => {
    const { file } = it().node(name);
    return file === null ? null : recordOf(file, target).lastRunMs;
  },
  rounds: async (name) => {
    const { role } = it().node(name);
    if (role.kind !== 'primary') return readRecords(files, `${directoryOf(name)}/rounds.jsonl`);
    return role.resource.parts.rounds.records;
  },
  points: async (name) => {
    const { role } = it().node(name);
    return role.kind === 'init' ? [] : role.resource.points();
  },
  openPoint: (...args) => points.openPoint(...args),
  pointChunks: (...args) => points.pointChunks(...args),
  checkPoint: (...args) => points.checkPoint(...args),
  pointRanges: (id) => points.pointRanges(id),
  connectPoint: (...args) => points.connectPoint(...args),
  pointEnded: (id) => points.pointEnded(id),
  closePoint: (id) => points.closePoint(id),
  verify: (name, deep, stop) => it().verify(name, deep, signalOf(stop)),
  pause: async (name, target, on) => it().primary(name, 'pause').pause(target, on),
  cancel: async (name, target) => it().primary(name, 'cancel').cancel(target),
  setRate: async (name, target, rate) => it().primary(name, 'set').setRate(target, rate),
  prune: (name, request) => it().prune(name, request),
  pin: (name, request) => pinPoint(it().node(name), request),
  repack: (name, request) => it().repack(name, request),
  estimate: async (name) => it().primary(name, 'sync').estimate(),
  known: (name) => knownState(name),
  remembered: (name) => it().remembered(name),
  remember: (name, role) => it().remember(name, role),
  resized: (name, sizeBytes) => it().resized(name, sizeBytes),
  readSecrets: (resources) => it().readSecrets(resources),
  applySettings: (resources) => it().applySettings(resources),
  repair: (name, chunk, mask) => it().repair(name, chunk, mask),
  stop: async () => {
    await running?.stop();
    await compute.close();
  },
};

const control = connectThreads<RoundThread, ControlThread>(port, methods, (error) => {
  log.error('the round thread has a bug', { error: describeError(error) });
  throw error;
});

const openReplicaDisk: ControlThread['openReplicaDisk'] = (...args) =>
  control.call('openReplicaDisk', ...args);

const directoryOf = (name: string): string => `${present(facts, 'started').statedir}/${name}`;

async function knownState(name: string): Promise<KnownState | null> {
  try {
    const file = it().node(name).file ?? (await ResourceFile.load(files, directoryOf(name)));
    const { sizeBytes, remembered, epochs } = file.state;
    const lastPrimary = epochs.at(-1)?.node ?? null;
    return { sizeBytes: sizeBytes || null, ordered: remembered, lastPrimary };
  } catch (error) {
    if (codeOf(error) === 'STATE_MISSING') return null;
    throw error;
  }
}

async function statusOf(name: string): Promise<ReplicationStatus> {
  const node = it().node(name);
  const { role } = node;
  if (role.kind !== 'init') {
    const status = role.resource.status();
    if (status.targets.some(({ link }) => link === 'up')) node.alone = false;
    return { ...status, alone: role.kind === 'primary' && node.alone };
  }
  const directory = directoryOf(name);
  const empty = { spillBytes: 0, counters: null, alone: false, targets: [] };
  const unknown = { sizeBytes: null, extentBytes: null, keepdirty: null };
  try {
    const { state } = await ResourceFile.load(files, directory);
    const { sizeBytes, extentBytes, keepdirty } = state;
    return { ...empty, sizeBytes: sizeBytes || null, extentBytes, keepdirty, error: null };
  } catch (error) {
    if (codeOf(error) === null) throw error;
    return { ...empty, ...unknown, error: describeError(error) };
  }
}
