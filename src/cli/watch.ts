// `hastctl status --watch`: the status every second until it is interrupted. On a terminal it is
// drawn over itself, with bars; else one document after the other, with --json a line each. Once
// it has begun, a daemon that goes away is told in its place, and it waits for the next one.
import { isoTime } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import type { ControlClient } from '../control/client.js';
import { errorBody, jsonText } from '../control/error-body.js';
import { EXIT } from '../control/exit-status.js';
import { renderStatus } from './render-status.js';
import type { Screen, Session } from './session.js';

const PERIOD_MS = 1000;
const BAR_WIDTH = 30;

// ECMA-48 control sequences.
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';
const HOME = '\x1b[H';
const CLEAR_LINE_END = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

/** Resolves with 0 when interrupted; rejects when the first question fails. */
export async function watchStatus(session: Session, names: readonly string[]): Promise<number> {
  const { clock, out, screen } = session.machinery;
  const client = await session.client();
  const stop = session.machinery.interrupted();
  const drawn = screen() !== null && !session.options.json;
  let view = await look(session, client, names, stop);
  if (view.error !== null && !stop.aborted) throw view.error;
  if (drawn) out(HIDE_CURSOR);
  try {
    while (!stop.aborted) {
      out(document(session, view, screen()));
      await clock.sleep(PERIOD_MS, stop);
      if (!stop.aborted) view = await look(session, client, names, stop);
    }
  } finally {
    if (drawn) out(SHOW_CURSOR);
  }
  return EXIT.ok;
}

interface View {
  readonly nowMs: number;
  readonly json: object;
  readonly text: string;
  readonly error: unknown;
}

async function look(
  session: Session,
  client: ControlClient,
  names: readonly string[],
  stop: AbortSignal,
): Promise<View> {
  const drawn = session.machinery.screen() !== null;
  try {
    const answer = await session.status(client, names, stop);
    const nowMs = session.machinery.clock.wallMs();
    const text = renderStatus(answer, nowMs, { barWidth: drawn ? BAR_WIDTH : 0 });
    return { nowMs, json: answer, text, error: null };
  } catch (error) {
    const nowMs = session.machinery.clock.wallMs();
    return { nowMs, json: errorBody(error), text: `${describeError(error)}\n`, error };
  }
}

function document(session: Session, view: View, screen: Screen | null): string {
  const time = isoTime(view.nowMs);
  if (session.options.json) return `${jsonText({ time, ...view.json })}\n`;
  return screen === null ? `${view.text}\n` : painted(`hast ${time}\n${view.text}`, screen);
}

/** The text from the upper left corner, cut to the screen; nothing of what stood there is left. */
export function painted(text: string, { columns, rows }: Screen): string {
  const lines = text.trimEnd().split('\n');
  const room = Math.max(1, rows - 1);
  const hidden = lines.length - room;
  const shown = hidden > 0 ? [...lines.slice(0, room - 1), `(${hidden + 1} more lines)`] : lines;
  const cut = shown.map((line) => `${line.slice(0, columns)}${CLEAR_LINE_END}\n`);
  return `${HOME}${cut.join('')}${CLEAR_BELOW}`;
}
