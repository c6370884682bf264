// Ways in which the daemon cannot do what an operator asks; sentences for three in the morning.
import { errorClass } from '../base/errors.js';

export type DaemonFault =
  | { code: 'ROLE_WAS_PRIMARY'; name: string }
  | { code: 'PEER_IS_NEWER'; name: string; text: string }
  | { code: 'PEER_NOT_ASKED'; name: string; text: string }
  | { code: 'NOT_A_REPLICA'; name: string; text: string }
  | { code: 'CONFIG_UNREADABLE'; path: string; text: string }
  | { code: 'CONFIG_INVALID'; path: string; findings: readonly string[] }
  | { code: 'DISK_TOO_SMALL'; name: string; path: string; sizeBytes: number; wantedBytes: number }
  | { code: 'DISK_SIZE_UNKNOWN'; name: string; path: string }
  | { code: 'DAEMON_RUNNING'; path: string; holder: string }
  | { code: 'DAEMON_START_FAILED'; text: string }
  | { code: 'STATEDIR_UNUSABLE'; path: string; text: string }
  | { code: 'STATEDIR_VOLATILE'; path: string; name: string }
  | { code: 'POINTS_OPEN'; pointsMax: number }
  | { code: 'EXPORT_GROUP_UNKNOWN'; group: string };

export const DaemonError = errorClass<DaemonFault>('DaemonError', {
  ROLE_WAS_PRIMARY: (f) =>
    `${f.name}: this node has been its primary and may hold writes that the other has not; ` +
    'making it a secondary would overwrite them (hastctl create --force keeps the state aside; ' +
    'the next contact then compares by digests and copies what differs)',
  PEER_IS_NEWER: (f) =>
    `${f.name}: ${f.text}; two primaries of one disk would part for ever. To follow it: here ` +
    `hastctl create --force ${f.name}, then hastctl role secondary ${f.name}. To go back to this ` +
    `node: on the other one hastctl role init ${f.name} and hastctl create --force ${f.name} first`,
  PEER_NOT_ASKED: (f) =>
    `${f.name}: was primary here, and whether another node has gone on without it is not known: ` +
    `${f.text} (make it reachable; or, if you are sure, add --alone)`,
  NOT_A_REPLICA: (f) => `${f.name}: is no replica on this node: ${f.text}`,
  CONFIG_UNREADABLE: (f) => `${f.path}: cannot be read: ${f.text}`,
  CONFIG_INVALID: (f) => f.findings.join('\n'),
  DISK_TOO_SMALL: (f) =>
    `${f.name}: ${f.path} has ${f.sizeBytes} bytes, the resource ${f.wantedBytes}`,
  DISK_SIZE_UNKNOWN: (f) =>
    `${f.name}: ${f.path} does not exist and its size is not known ` +
    '(make it, or create the resource with -m SIZE)',
  DAEMON_RUNNING: (f) => `${f.path}: another hastd (${f.holder}) uses this state directory`,
  DAEMON_START_FAILED: (f) => `hastd did not start: ${f.text}`,
  STATEDIR_VOLATILE: (f) =>
    `${f.path}: lies in memory (tmpfs), and ${f.name} has "metaflush on", which promises that ` +
    'marks survive a power loss (put statedir on a disk, or set "metaflush off")',
  STATEDIR_UNUSABLE: (f) => `${f.path}: cannot be the state directory: ${f.text}`,
  POINTS_OPEN: (f) => `${f.pointsMax} points are being read here, which is the most; end one first`,
  EXPORT_GROUP_UNKNOWN: (f) => `exportgroup ${f.group}: no such group on this machine`,
});
