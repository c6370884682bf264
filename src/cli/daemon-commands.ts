// stop and reload: stop asks the daemon to end cleanly and returns when it has.
import type { Command } from 'commander';
import { codeOf } from '../base/errors.js';
import type { ControlClient } from '../control/client.js';
import { EXIT } from '../control/exit-status.js';
import { CliError } from './fault.js';
import type { Run, Session } from './session.js';

const POLL_MS = 50;
/** Longer than the daemon's own limit (`timeout`, 20 s by default) for a clean end. */
const STOP_SECONDS_MAX = 120;

export function addDaemonCommands(program: Command, run: Run): void {
  program
    .command('stop')
    .description('end hastd cleanly: finish writes, flush, publish the maps')
    .action(() => run(stop));
  program
    .command('reload')
    .description('read the configuration again, as SIGHUP; guests are not touched')
    .action(() => run(reload));
}

async function reload(session: Session): Promise<number> {
  session.printNotes('the configuration is read again', await (await session.client()).reload());
  return EXIT.ok;
}

async function stop(session: Session): Promise<number> {
  const client = await session.client();
  const { pid } = await client.status([]);
  await client.stop();
  await ended(session, client, pid);
  session.print({ stopped: true, pid }, `hastd (pid ${pid}) has ended\n`);
  return EXIT.ok;
}

/** Waits until the socket is silent and the process gone. Error STOP_TIMEOUT. */
async function ended(session: Session, client: ControlClient, pid: number): Promise<void> {
  const { clock, alive } = session.machinery;
  const untilMs = clock.monotonicMs() + STOP_SECONDS_MAX * 1000;
  while ((await answers(client)) || alive(pid)) {
    if (clock.monotonicMs() >= untilMs) {
      throw new CliError({ code: 'STOP_TIMEOUT', pid, seconds: STOP_SECONDS_MAX });
    }
    await clock.sleep(POLL_MS);
  }
}

async function answers(client: ControlClient): Promise<boolean> {
  try {
    await client.status([]);
    return true;
  } catch (error) {
    const code = codeOf(error);
    return code !== 'CONTROL_UNREACHABLE' && code !== 'CONTROL_LOST';
  }
}
