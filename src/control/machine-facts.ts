// What this machine calls itself, for the `on NAME` blocks of hast.conf(5): both programs must
// agree on it. /etc/machine-id is machine-id(5); /etc/hostid is the 4 bytes of sethostid(3) in the
// machine's byte order (little-endian wherever this program runs). A missing file is null.
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { NodeFacts } from '../config/node.js';

const MACHINE_ID_FILE = '/etc/machine-id';
const HOST_ID_FILE = '/etc/hostid';
const HOST_ID_BYTES = 4;

/** Reads them; never fails. */
export function machineFacts(): NodeFacts {
  const machineId = readOrNull(MACHINE_ID_FILE)?.toString('latin1').trim() ?? null;
  const hostId = readOrNull(HOST_ID_FILE);
  return {
    hostname: hostname(),
    machineId: machineId === '' ? null : machineId,
    hostId: hostId?.length === HOST_ID_BYTES ? hostId.readUInt32LE(0) : null,
  };
}

function readOrNull(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}
