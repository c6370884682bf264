// One run of hastctl: global options, what the commands need of the world, and where text goes.
// Guarantees: results go to standard output, everything else to standard error; with --json
// standard output holds exactly one JSON document, an error's included.
import { type Clock, within } from '../base/clock.js';
import { codeOf, describeError, HastError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { ResourceDump } from '../care/dump.js';
import { formatFinding } from '../config/finding.js';
import type { ConfigResult, KeyFile, NodeSettings, ResourceSettings } from '../config/settings.js';
import type { NotesAnswer, PointStatus, StatusAnswer } from '../control/api.js';
import { type ControlClient, RemoteError } from '../control/client.js';
import { errorBody, jsonText } from '../control/error-body.js';
import { exitStatusOf } from '../control/exit-status.js';
import type { ArchiveReader } from '../restore/archive-reader.js';
import type { PointChunk } from '../restore/chunk-source.js';
import type { WantedMark } from '../restore/destination.js';
import type { RestoreOrder } from '../restore/onto-path.js';
import type { RestoreCounts } from '../restore/to-disk.js';
import type { Probe } from '../store/probe.js';
import { CliError } from './fault.js';
import type { ServedPoint, ServeRequest } from './serve-point.js';

export const CONFIG_PATH_DEFAULT = '/etc/hast.conf';
/** How long --check and --watch wait for an answer: less than a monitoring system waits. */
const STATUS_SECONDS_MAX = 8;

export interface GlobalOptions {
  readonly config: string;
  readonly node: string | null;
  readonly json: boolean;
  /** Times -d was given. */
  readonly debug: number;
}

/** How a store is reached; null: as the usual places say. */
export interface StoreRequest {
  readonly url: string;
  readonly endpoint: string | null;
  readonly region: string | null;
  readonly checksums: 'supported' | 'required';
  readonly storageClass: string | null;
}

/** An archive that is to be read; null: it is not sealed. */
export interface ArchiveRequest extends Omit<StoreRequest, 'storageClass'> {
  readonly keyPath: string | null;
}

/** Arguments of `createResource` (care), without the files it works on. */
export interface DirectCreate {
  readonly statedir: string;
  readonly name: string;
  readonly local: string;
  readonly extentBytes: number;
  readonly keepdirty: number;
  /** Size of the sparse file to make, or null. */
  readonly mediaBytes: number | null;
  readonly force: boolean;
  readonly nowMs: number;
}

/** What `recover --offline` leaves: the disk at a whole point, let go. */
export interface OfflineRecovery {
  readonly notes: readonly string[];
  /** Null: there is no whole point. */
  readonly point: PointStatus | null;
  /** The disk. */
  readonly path: string;
}

export interface Screen {
  readonly columns: number;
  readonly rows: number;
}

/** The world of the commands, handed in by hastctl.ts and by tests. */
export interface CliMachinery {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Standard error is a terminal: progress may be drawn. */
  readonly terminal: boolean;
  /** Size of the terminal that standard output is; null: it is none. */
  readonly screen: () => Screen | null;
  /** Aborted by the first SIGINT or SIGTERM from now on, which then ends nothing by itself. */
  readonly interrupted: () => AbortSignal;
  readonly clock: Clock;
  /** Whole text of a file; rejects with a system error. */
  readonly readText: (path: string) => Promise<string>;
  /** Reads a configuration for a node; `node` null means this machine's names. */
  readonly loadConfig: (text: string, path: string, node: string | null) => ConfigResult;
  readonly connect: (path: string, trace: (line: string) => void) => ControlClient;
  /** Holds the state directory meanwhile. Errors DAEMON_RUNNING, STATEDIR_UNUSABLE too. */
  readonly createDirect: (request: DirectCreate) => Promise<{ readonly notes: readonly string[] }>;
  /** What is stored of a resource in its directory. Errors STATE_MISSING, STATE_UNREADABLE. */
  readonly dump: (directory: string) => Promise<ResourceDump>;
  /** Opens a replica without daemon and peer (C1). Errors DAEMON_RUNNING, NOT_A_REPLICA. */
  readonly recoverOffline: (settings: NodeSettings, name: string) => Promise<OfflineRecovery>;
  /** Writes the chunks of a point onto a path. Errors as of `restoreOnto`, of `restoreChunks`. */
  readonly restoreChunks: (
    chunks: AsyncIterable<PointChunk>,
    mark: WantedMark,
    order: RestoreOrder,
  ) => Promise<RestoreCounts>;
  /** Makes a file with a new pre-shared key; error SECRET_EXISTS. */
  readonly createSecret: (path: string) => Promise<void>;
  /** `of`: the setting that names it. Errors SECRET_UNREADABLE, _EXPOSED, _MALFORMED. */
  readonly checkSecret: (path: string, of: KeyFile['setting']) => Promise<void>;
  /** Tries out what a store honours. Errors STORE_URL, and what keeps it from trying anything:
   * STORE_NO_BUCKET, STORE_DENIED, STORE_UNREACHABLE; all else is a finding. */
  readonly probeStore: (request: StoreRequest) => Promise<Probe>;
  /** Errors of `ArchiveReader.open`, SECRET_UNREADABLE and its kin, those of the store. */
  readonly openArchive: (request: ArchiveRequest) => Promise<ArchiveReader>;
  /** Offers a point of an archive over NBD until it is closed; errors as in serve-point.ts. */
  readonly servePoint: (request: ServeRequest, log: Log) => Promise<ServedPoint>;
  /** True while a process of this machine lives. */
  readonly alive: (pid: number) => boolean;
}

/** Runs a command and gives its exit status to the program. */
export type Run = (command: (session: Session) => Promise<number>) => Promise<void>;

export class Session {
  readonly options: GlobalOptions;
  readonly machinery: CliMachinery;

  constructor(options: GlobalOptions, machinery: CliMachinery) {
    this.options = options;
    this.machinery = machinery;
  }

  /** The file as loaded, findings included. Error CONFIG_UNREADABLE. */
  async load(): Promise<ConfigResult> {
    const { config: path, node } = this.options;
    let text: string;
    try {
      text = await this.machinery.readText(path);
    } catch (cause) {
      const errno = codeOf(cause) ?? String(cause);
      throw new CliError({ code: 'CONFIG_UNREADABLE', path, errno }, { cause });
    }
    return this.machinery.loadConfig(text, path, node);
  }

  /** This node's settings. Errors CONFIG_UNREADABLE, CONFIG_INVALID with every finding. */
  async settings(): Promise<NodeSettings> {
    const result = await this.load();
    if (result.settings) return result.settings;
    throw configInvalid(this.options.config, result);
  }

  /** A client for the daemon that the configuration names. */
  async client(): Promise<ControlClient> {
    const settings = await this.settings();
    return this.machinery.connect(settings.control, (line) => this.debug(line));
  }

  /** The status, or error STATUS_TIMEOUT: a daemon that hangs is no answer. */
  async status(
    client: ControlClient,
    names: readonly string[],
    stop: AbortSignal = new AbortController().signal,
  ): Promise<StatusAnswer> {
    const late = new AbortController();
    const asked = client.status(names, AbortSignal.any([late.signal, stop]));
    const answer = await within(this.machinery.clock, STATUS_SECONDS_MAX * 1000, asked);
    if (answer !== 'timeout') return answer.value;
    asked.catch(() => undefined);
    late.abort();
    throw new CliError({ code: 'STATUS_TIMEOUT', seconds: STATUS_SECONDS_MAX });
  }

  /** The result of a command: JSON or text. */
  print(value: unknown, text: string): void {
    this.machinery.out(this.options.json ? `${jsonText(value)}\n` : text);
  }

  /** What was done, and the sentences that the daemon says of it. */
  printNotes(done: string, answer: NotesAnswer): void {
    this.print(answer, `${[done, ...answer.notes.map((note) => `  ${note}`)].join('\n')}\n`);
  }

  /** A remark for people. */
  note(line: string): void {
    this.machinery.err(`hastctl: ${line}\n`);
  }

  debug(line: string): void {
    if (this.options.debug > 0) this.note(line);
  }

  /** Says what went wrong; returns the exit status. */
  fail(error: unknown): number {
    if (error instanceof HastError) for (const line of lines(error)) this.note(line);
    else this.note(describeError(error));
    const detailed = this.options.debug > 1 || !(error instanceof HastError);
    if (detailed && error instanceof Error) this.debug(error.stack ?? '');
    return statusOf(error);
  }

  /** As `fail`, and with --json the error is the document on standard output. */
  failWhole(error: unknown): number {
    if (this.options.json) this.machinery.out(`${jsonText(errorBody(error))}\n`);
    return this.fail(error);
  }
}

/** A resource of the settings. Error CLI_UNKNOWN_RESOURCE. */
export function resourceOf(settings: NodeSettings, name: string): ResourceSettings {
  const found = settings.resources.find((resource) => resource.name === name);
  if (found) return found;
  const known = settings.resources.map((resource) => resource.name).join(', ') || 'none';
  throw new CliError({ code: 'CLI_UNKNOWN_RESOURCE', name, path: settings.path, known });
}

function configInvalid(path: string, result: ConfigResult) {
  const findings = result.findings.filter((finding) => finding.level === 'error');
  return new CliError({ code: 'CONFIG_INVALID', path, findings: findings.map(formatFinding) });
}

/** Exit status of an error: the daemon's own number where it sent one. */
export const statusOf = (error: unknown): number =>
  error instanceof RemoteError ? error.exitStatus : exitStatusOf(codeOf(error));

const lines = (error: HastError): string[] => describeError(error).split('\n');
