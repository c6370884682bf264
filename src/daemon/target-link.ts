// The primary's connection to one target: dials, greets, settles who descends from whom, keeps the
// session, and dials again with back-off when it is lost. One session at a time. While a round of
// the target runs (`hold`), a new session is contacted with that round's id, so that the round can
// go on there (D3); a session that was contacted for a round that has ended since is never used,
// because what became of that round has not been asked (H23).
import type { Clock } from '../base/clock.js';
import { codeOf, describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { Random } from '../base/random.js';
import { PeerError } from '../peer/faults.js';
import { type Contact, contact } from '../round/contact.js';
import type { RoundParts } from '../round/parts.js';
import { type Target, TargetError } from '../target/target.js';

const BACK_OFF_MS_MIN = 1000;
const BACK_OFF_MS_MAX = 60_000;

/** How the target is reached; may change while the role is held. */
export interface LinkOptions {
  readonly target: string;
  readonly remote: string | null;
  readonly source: string | null;
  readonly timeoutMs: number;
}

/** What was dialled, and when it has ended; `closed` null: it never ends by itself. */
export interface OpenEnd {
  readonly end: Target;
  readonly closed: Promise<unknown> | null;
}

/** Opens a target where it is: a session with a node, or an archive. */
export type OpenTarget = (
  options: LinkOptions & { readonly remote: string },
  signal: AbortSignal,
) => Promise<OpenEnd>;

export interface LinkParts {
  readonly round: RoundParts;
  readonly open: OpenTarget;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A session that may carry data. */
export interface Linked {
  readonly target: Target;
  /** What contact found. */
  readonly contact: Contact;
}

/** What a driver needs of a link. */
export type DriverLink = Pick<TargetLink, keyof TargetLink>;

export class TargetLink {
  #options: LinkOptions;
  readonly #parts: LinkParts;
  readonly #stop = new AbortController();
  #linked: Linked | null = null;
  #connecting: Promise<Linked> | null = null;
  #error: { readonly atMs: number; readonly error: unknown } | null = null;
  #wake = new AbortController();
  /** The round that runs now, if any has been handed out yet. */
  #running = false;
  /** Sessions contacted before it was raised are not used. */
  #generation = 0;
  #downSinceMs: number | null;

  constructor(options: LinkOptions, parts: LinkParts) {
    this.#options = options;
    this.#parts = parts;
    this.#downSinceMs = parts.clock.wallMs();
  }

  get up(): boolean {
    return this.#linked !== null;
  }

  get options(): LinkOptions {
    return this.#options;
  }

  /** The session that is there now. */
  get current(): Target | null {
    return this.#linked?.target ?? null;
  }

  /** Wall time since when there is no session; null: there is one. */
  get downSinceMs(): number | null {
    return this.#downSinceMs;
  }

  /** The target says that its disk is suspect. */
  get suspect(): boolean {
    return this.#linked?.target.state.suspect ?? false;
  }

  /** Why the last attempt failed; null once connected. */
  get error(): { readonly atMs: number; readonly error: unknown } | null {
    return this.#error;
  }

  /** Nothing will move by itself: its history is another one, or it is a primary too. */
  get diverged(): boolean {
    const error = this.#error?.error;
    if (error instanceof PeerError && 'refusal' in error.fault) {
      return error.fault.refusal === 'two-primaries';
    }
    return codeOf(error) === 'TARGET_DIVERGED';
  }

  /** The session, dialled now if there is none. Rejects with why not. An attempt that began before
   * may fail by what has been mended since, a key or a mount: then there is another one. */
  async get(): Promise<Linked> {
    const before = this.#linked === null ? this.#connecting : null;
    try {
      return await this.#joined();
    } catch (error) {
      if (before === null || this.#stop.signal.aborted) throw error;
      return await this.#joined();
    }
  }

  /** With whoever else dials. */
  #joined(): Promise<Linked> {
    if (this.#linked !== null) return Promise.resolve(this.#linked);
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  /** A session in place of `old`, which a running round can use no more. */
  async again(old: Target): Promise<Target> {
    if (this.#linked?.target === old) await this.#end();
    return (await this.get()).target;
  }

  /** From now on a round runs: its outcome is not settled by a contact. */
  hold(): void {
    this.#running = true;
  }

  /** The round has ended; attempts that still believe in it are made anew. */
  release(): void {
    this.#running = false;
    this.#generation += 1;
  }

  /** New settings; another address is dialled at once, also under a running round. */
  async apply(options: LinkOptions): Promise<void> {
    const { remote, source, timeoutMs } = this.#options;
    const same =
      remote === options.remote && source === options.source && timeoutMs === options.timeoutMs;
    this.#options = options;
    if (!same) await this.renew();
  }

  /** Keeps the link up until `close`; for a target with an address. */
  async keepUp(): Promise<void> {
    const { random } = this.#parts;
    let backOffMs = BACK_OFF_MS_MIN;
    while (!this.#stop.signal.aborted) {
      const linked = await this.#joined().catch(() => null);
      if (linked !== null) {
        backOffMs = BACK_OFF_MS_MIN;
        while (this.#linked !== null && !this.#stop.signal.aborted) {
          await this.#pause(BACK_OFF_MS_MAX);
        }
      }
      const jitter = 0.5 + random.below(1000) / 1000;
      await this.#pause(backOffMs * jitter);
      backOffMs = Math.min(BACK_OFF_MS_MAX, backOffMs * 2);
    }
  }

  /** Ends the session: the next contact asks the target anew where it stands. No failure. */
  async renew(): Promise<void> {
    this.#generation += 1;
    await this.#end();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#end();
    await this.#connecting?.catch(() => undefined);
    await this.#end();
  }

  async #end(): Promise<void> {
    const linked = this.#linked;
    this.#linked = null;
    this.#downSinceMs ??= this.#parts.clock.wallMs();
    this.#wake.abort();
    await linked?.target.close();
  }

  /** Sleeps until something has changed, at most `ms`. */
  async #pause(ms: number): Promise<void> {
    if (this.#stop.signal.aborted) return;
    if (this.#wake.signal.aborted) this.#wake = new AbortController();
    await this.#parts.clock.sleep(ms, this.#wake.signal);
  }

  async #connect(): Promise<Linked> {
    try {
      for (;;) {
        const generation = this.#generation;
        const { linked, lost } = await this.#dial();
        if (lost() !== null) throw lost();
        if (this.#stop.signal.aborted || generation !== this.#generation) {
          await linked.target.close();
          continue;
        }
        this.#linked = linked;
        this.#error = null;
        this.#downSinceMs = null;
        const { remote } = this.#options;
        this.#parts.log.info('connected to the target', { remote, contact: linked.contact });
        return linked;
      }
    } catch (error) {
      this.#note(error);
      throw error;
    }
  }

  /** A new session, contacted; `lost` says why it has ended since. */
  async #dial(): Promise<{ readonly linked: Linked; readonly lost: () => unknown }> {
    const { target, remote } = this.#options;
    if (remote === null) {
      const text = 'it has no address ("remote none")';
      throw new TargetError({ code: 'TARGET_LOST', target, text });
    }
    const { signal } = this.#stop;
    const { end, closed } = await this.#parts.open({ ...this.#options, remote }, signal);
    let lost: unknown = null;
    void closed?.then((reason) => {
      lost = reason;
      this.#lost(end, reason);
    });
    // Whoever closes the link does not wait for answers.
    const leave = (): void => void end.close().catch(() => undefined);
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    try {
      const found = await contact(this.#parts.round, end, this.#running);
      return { linked: { target: end, contact: found }, lost: () => lost };
    } catch (error) {
      await end.close();
      throw error;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  #lost(target: Target, reason: unknown): void {
    if (this.#linked?.target !== target) return;
    this.#linked = null;
    this.#wake.abort();
    if (!this.#stop.signal.aborted) this.#note(reason);
  }

  /** A failure is logged when it is news, and kept for status. */
  #note(error: unknown): void {
    const before = codeOf(this.#error?.error);
    const atMs = this.#parts.clock.wallMs();
    this.#error = { atMs, error };
    this.#downSinceMs ??= atMs;
    if (codeOf(error) === before) return;
    this.#parts.log.warn('no link to the target', {
      code: codeOf(error),
      why: describeError(error),
    });
  }
}
