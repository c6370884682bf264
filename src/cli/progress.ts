// Progress on standard error: a bar on a terminal, else a plain line when something changed. Of
// what is done here (restore, verify of an archive), and of `sync --wait`, a bar per target: that
// only looks (GET status once a second); its failures are silent, since the held sync request
// itself tells what went wrong.
import { MultiBar, SingleBar } from 'cli-progress';
import type { RoundProgress, TargetStatus } from '../control/api.js';
import type { ControlClient } from '../control/client.js';
import type { Session } from './session.js';
import { progressText, workText } from './text.js';

const POLL_MS = 1000;
/** Plain lines go to logs: no more than one per target in so long. */
const LINE_MS_MIN = 10_000;

const BAR = { stream: process.stderr, hideCursor: true, clearOnComplete: true };

interface Shower {
  show(target: string, round: RoundProgress): void;
  end(): void;
}

/** Shows rounds of `name` until `signal`; never rejects. */
export async function showProgress(
  session: Session,
  client: ControlClient,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const { clock, terminal } = session.machinery;
  const shower = terminal ? barShower() : lineShower(session, name);
  try {
    for (;;) {
      await clock.sleep(POLL_MS, signal);
      if (signal.aborted) return;
      for (const target of await targetsOf(client, name)) {
        if (target.round && !signal.aborted) shower.show(target.name, target.round);
      }
    }
  } finally {
    shower.end();
  }
}

/** Progress of something that is done here. */
export interface Work {
  /** `inBytes` false: they are counted otherwise. */
  show(done: number, total: number, inBytes?: boolean): void;
  /** Can be called twice. */
  end(): void;
}

/** A bar on a terminal, else a line now and then; nothing with --json but on a terminal. */
export function showWork(session: Session, what: string): Work {
  const { clock, terminal } = session.machinery;
  const began = clock.monotonicMs();
  let bar: SingleBar | null = null;
  let shownMs = began;
  return {
    show: (done, total, inBytes = true) => {
      const nowMs = clock.monotonicMs();
      const text = workText(done, total, (nowMs - began) / 1000, inBytes);
      if (terminal) {
        if (bar === null) {
          bar = new SingleBar({ ...BAR, format: '{what} [{bar}] {text}' });
          bar.start(Math.max(1, total), 0, { what, text });
        }
        bar.update(Math.min(total, done), { what, text });
      } else if (!session.options.json && nowMs - shownMs >= LINE_MS_MIN) {
        shownMs = nowMs;
        session.note(`${what}: ${text}`);
      }
    },
    end: () => {
      bar?.stop();
      bar = null;
    },
  };
}

async function targetsOf(client: ControlClient, name: string): Promise<readonly TargetStatus[]> {
  try {
    return (await client.status([name])).resources[0]?.targets ?? [];
  } catch {
    return [];
  }
}

function lineShower(session: Session, name: string): Shower {
  const shown = new Map<string, { text: string; atMs: number }>();
  const { clock } = session.machinery;
  return {
    show: (target, round) => {
      const last = shown.get(target);
      const text = progressText(round);
      const nowMs = clock.monotonicMs();
      if (last && (last.text === text || nowMs - last.atMs < LINE_MS_MIN)) return;
      shown.set(target, { text, atMs: nowMs });
      session.note(`${name} ${target}: ${text}`);
    },
    end: () => {},
  };
}

function barShower(): Shower {
  const bars = new MultiBar({ ...BAR, format: '{target} [{bar}] {text}' });
  const known = new Map<string, SingleBar>();
  return {
    show: (target, round) => {
      const payload = { target, text: progressText(round) };
      const total = Math.max(1, round.totalBytes);
      const bar = known.get(target) ?? bars.create(total, 0, payload);
      known.set(target, bar);
      bar.setTotal(total);
      bar.update(Math.min(total, round.doneBytes), payload);
    },
    end: () => bars.stop(),
  };
}
