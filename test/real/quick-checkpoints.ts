// Loaded into a hastd by `node --import`: the minute between two checkpoints of a primary lasts a
// fifth of a second. Only after a checkpoint are intent bits of quiet extents cleared (H9): a test
// of seconds would never see an intent map that says less than "everything that was written".
const CHECKPOINT_MS = 60_000;
const QUICK_MS = 200;

const inner = globalThis.setTimeout;
const isCheckpoint = (ms: unknown): boolean =>
  ms === CHECKPOINT_MS && new Error().stack?.includes('primary-resource') === true;
const quick = (callback: () => void, ms: number, ...rest: []): NodeJS.Timeout =>
  inner(callback, isCheckpoint(ms) ? QUICK_MS : ms, ...rest);
Object.assign(globalThis, { setTimeout: Object.assign(quick, inner) });
