// A lie, for the teeth of power-torn.test.ts: loaded into a process by `node --import`, it makes
// every fsync and fdatasync of that process answer at once without having done anything.
import fs from 'node:fs';
import { open } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const soon = (_fd: number, done: (error: null) => void): void => void setImmediate(done, null);
const now = (): void => undefined;
const later = async (): Promise<void> => undefined;

Object.assign(fs, { fsync: soon, fdatasync: soon, fsyncSync: now, fdatasyncSync: now });
syncBuiltinESMExports();
const handle = await open('/dev/null');
Object.assign(Object.getPrototypeOf(handle), { sync: later, datasync: later });
await handle.close();
