// What hastctl itself finds wrong, before or beside the daemon. Statuses: control/exit-status.ts.
import { errorClass } from '../base/errors.js';

export type CliFault =
  | { code: 'CLI_USAGE'; text: string }
  | { code: 'CLI_BAD_VALUE'; option: string; value: string; text: string }
  | { code: 'CLI_UNKNOWN_RESOURCE'; name: string; path: string; known: string }
  | { code: 'CONFIG_UNREADABLE'; path: string; errno: string }
  | { code: 'CONFIG_INVALID'; path: string; findings: readonly string[] }
  | { code: 'SECRET_UNWRITABLE'; path: string; errno: string }
  | { code: 'ROUND_NOT_COMMITTED'; name: string; targets: string }
  | { code: 'VERIFY_DIFFERS'; name: string; chunks: number }
  | { code: 'NO_WHOLE_POINT'; name: string }
  | { code: 'POINT_DAMAGED'; name: string; number: number; chunks: number }
  | { code: 'ARCHIVE_ONE_WRITER'; url: string; missing: string }
  | { code: 'ARCHIVE_UNSAFE'; url: string; missing: string }
  | { code: 'ARCHIVE_DAMAGED'; url: string; damaged: string }
  | { code: 'RESTORE_STOPPED'; path: string; percent: number }
  | { code: 'VERIFY_STOPPED'; what: string }
  | { code: 'STATUS_TIMEOUT'; seconds: number }
  | { code: 'STOP_TIMEOUT'; pid: number; seconds: number };

export const CliError = errorClass<CliFault>('CliError', {
  CLI_USAGE: (f) => f.text,
  CLI_BAD_VALUE: (f) => `${f.option} ${f.value}: ${f.text}`,
  CLI_UNKNOWN_RESOURCE: (f) => `${f.path} has no resource ${f.name} (it has: ${f.known})`,
  CONFIG_UNREADABLE: (f) =>
    `${f.path}: cannot read the configuration: ${f.errno} (-c FILE names one)`,
  CONFIG_INVALID: (f) => f.findings.join('\n'),
  SECRET_UNWRITABLE: (f) => `${f.path}: cannot write the key: ${f.errno}`,
  ROUND_NOT_COMMITTED: (f) => `${f.name}: not committed on ${f.targets}`,
  VERIFY_DIFFERS: (f) => `${f.name}: ${f.chunks} chunks of 64 KiB differ`,
  NO_WHOLE_POINT: (f) => `${f.name}: the first copy was never complete; this disk is of no use`,
  POINT_DAMAGED: (f) =>
    `${f.name}@${f.number}: ${f.chunks} chunks of 64 KiB cannot be had as they were`,
  ARCHIVE_ONE_WRITER: (f) => `${f.url}: good for one writer only (not honoured: ${f.missing})`,
  ARCHIVE_UNSAFE: (f) => `${f.url}: unfit for an archive (not honoured: ${f.missing})`,
  ARCHIVE_DAMAGED: (f) => `${f.url}: ${f.damaged}`,
  RESTORE_STOPPED: (f) =>
    `${f.path} is not finished, ${f.percent} % are done; the same command goes on with it`,
  VERIFY_STOPPED: (f) => `${f.what}: interrupted before all was checked`,
  STATUS_TIMEOUT: (f) => `hastd has not answered for ${f.seconds} seconds`,
  STOP_TIMEOUT: (f) => `hastd (pid ${f.pid}) still runs after ${f.seconds} seconds`,
});
