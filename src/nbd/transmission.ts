// The transmission phase of one connection, in a data thread (proto.md, "Transmission"; DESIGN.md
// §4 Threads). Guarantees: one fixed receive buffer; requests are worked off in order of arrival
// straight from it, whatever pieces the socket cuts them into; the disk may finish them out of
// order. When a limit is reached, reading stops until something has settled or left (W5): a client
// that reads no replies is never given more memory. Nothing is answered that the disk has not done,
// and `onClose` comes after the disk has let go of the connection's last operation. A payload that
// breaks off leaves what had been written: legal, as it was never answered. Header and payload of
// one request often arrive as two reads; the replies to all of a read leave in one write.
import type { Socket } from 'node:net';
import { assert } from '../base/assert.js';
import { type Clock, systemClock, within } from '../base/clock.js';
import { type Log, silentLog } from '../base/log.js';
import { deferred } from '../base/sync.js';
import type { Disk } from '../disk/disk.js';
import { setSocketBuffers } from '../disk/syscalls.js';
import { threadBuffers } from './buffers.js';
import { Commands } from './commands.js';
import { type Counters, newCounters } from './counters.js';
import { socketOf } from './descriptor.js';
import { TRANSMISSION_LIMITS, type TransmissionLimits } from './limits.js';
import { failuresTo, Operations } from './operations.js';
import { PayloadCutter } from './payload.js';
import { type Agreement, COMMAND, REQUEST_BYTES, SIMPLE_AGREEMENT } from './protocol.js';
import { Reads } from './reads.js';
import { Replies } from './replies.js';
import { decodeRequest, Request, refusalOf } from './requests.js';
import { Writes } from './writes.js';

/** Why a connection ended: DISC, the socket closed or failed, `close`, or nonsense received. */
export type CloseReason = 'disconnected' | 'lost' | 'closed' | 'bad-magic';

export interface TransmissionOptions {
  /** A connected stream socket; owned from here on, unless this throws. */
  readonly fd: number;
  /** What negotiation had received of this phase. */
  readonly leftover: Uint8Array;
  /** Default: a client that asked for nothing. */
  readonly agreement?: Agreement;
  readonly disk: Disk;
  readonly limits?: TransmissionLimits;
  /** Once, when nothing of the connection is left. */
  readonly onClose: (reason: CloseReason) => void;
  readonly counters?: Counters;
  readonly log?: Log;
  readonly clock?: Clock;
}

export interface Connection {
  /** Reads nothing more, waits for what is in flight, answers it, closes. Can be called twice. */
  close(): Promise<void>;
}

/** Serves `disk` on a negotiated connection until either side ends it. */
export function serveTransmission(options: TransmissionOptions): Connection {
  return new Transmission(options);
}

class Transmission implements Connection {
  readonly #options: TransmissionOptions;
  readonly #limits: TransmissionLimits;
  readonly #agreement: Agreement;
  readonly #socket: Socket;
  readonly #replies: Replies;
  readonly #operations: Operations;
  readonly #reads: Reads;
  readonly #writes: Writes;
  readonly #commands: Commands;
  readonly #closed = deferred<void>();
  /** A header of which only a part has arrived. */
  readonly #head = Buffer.alloc(REQUEST_BYTES);
  #headBytes = 0;
  readonly #request = new Request();
  readonly #payload = new PayloadCutter();
  /** The request is decoded and waits for room; its payload is arriving; neither. */
  #phase: 'header' | 'admission' | 'payload' = 'header';
  /** Error that answers the present write once its payload has been skipped. */
  #refusal = 0;
  /** What has been received and not worked off: #input[#at, #end). */
  #input: Buffer;
  #at = 0;
  #end = 0;
  /** Input waits for room; the socket is not being read. */
  #stalled = false;
  #leaving: CloseReason | null = null;
  #life: 'open' | 'ending' | 'gone' | 'over' = 'open';
  #turnOwed = false;

  constructor(options: TransmissionOptions) {
    this.#options = options;
    this.#limits = options.limits ?? TRANSMISSION_LIMITS;
    this.#agreement = options.agreement ?? SIMPLE_AGREEMENT;
    const receive = Buffer.allocUnsafeSlow(this.#limits.receiveBytes);
    setSocketBuffers(options.fd, this.#limits.socketBytes);
    this.#socket = socketOf(options.fd, {
      buffer: () => receive.subarray(0, this.#payload.window(this.#headBytes, receive.length)),
      callback: (bytes) => this.#advance(receive, bytes),
    });
    this.#socket.on('end', () => this.#leave('lost'));
    this.#socket.on('error', () => this.#leave('lost'));
    this.#socket.on('close', () => this.#onSocketClosed());
    this.#replies = new Replies(this.#socket, threadBuffers, () => this.#onWritten());
    this.#operations = new Operations({
      disk: options.disk,
      agreement: this.#agreement,
      replies: this.#replies,
      pool: threadBuffers,
      counters: options.counters ?? newCounters(),
      limits: this.#limits,
      onFailure: failuresTo(options.log ?? silentLog),
      onSettled: () => this.#oweTurn(),
    });
    this.#reads = new Reads(this.#operations);
    this.#writes = new Writes(this.#operations);
    this.#commands = new Commands(this.#operations);
    this.#input = Buffer.from(options.leftover);
    if (!this.#advance(this.#input, this.#input.length)) this.#socket.pause();
  }

  close(): Promise<void> {
    this.#leave('closed');
    return this.#closed.promise;
  }

  /** Works off new input; false: stop reading. The shape net.Socket wants of `onread.callback`. */
  #advance(input: Buffer, bytes: number): boolean {
    assert(this.#at === this.#end, 'nothing is received while something waits');
    if (this.#leaving !== null) return false;
    this.#input = input;
    this.#at = 0;
    this.#end = bytes;
    this.#stalled = !this.#work();
    this.#replies.flush();
    return !this.#stalled && this.#leaving === null;
  }

  /** Goes on after something has settled or left. */
  #turn(): void {
    if (this.#stalled && this.#work()) {
      this.#stalled = false;
      if (this.#leaving === null) this.#socket.resume();
    }
    this.#replies.flush();
    this.#endIfIdle();
  }

  #onWritten(): void {
    if (this.#stalled) this.#turn();
  }

  /** What settles in one round of the event loop is answered in one write. */
  #oweTurn(): void {
    if (this.#turnOwed) return;
    this.#turnOwed = true;
    setImmediate(() => {
      this.#turnOwed = false;
      this.#turn();
    });
  }

  /** Consumes the input; false: it has to wait for room, and goes on from the same place. */
  #work(): boolean {
    while (this.#leaving === null) {
      switch (this.#phase) {
        case 'header':
          if (!this.#takeHeader()) return true;
          break;
        case 'admission':
          if (!this.#begin()) return false;
          break;
        case 'payload':
          if (this.#payload.remaining === 0) this.#endPayload();
          else if (this.#at === this.#end) return true;
          else if (!this.#takePayload()) return false;
          break;
      }
    }
    return true;
  }

  /** False: the rest of the header has not arrived. */
  #takeHeader(): boolean {
    const available = this.#end - this.#at;
    let [from, at] = [this.#input, this.#at];
    if (this.#headBytes > 0 || available < REQUEST_BYTES) {
      const taken = Math.min(available, REQUEST_BYTES - this.#headBytes);
      from.copy(this.#head, this.#headBytes, at, at + taken);
      this.#headBytes += taken;
      this.#at += taken;
      if (this.#headBytes < REQUEST_BYTES) return false;
      this.#headBytes = 0;
      [from, at] = [this.#head, 0];
    } else {
      this.#at += REQUEST_BYTES;
    }
    // A wrong magic: the stream is out of step, and no length in it can be believed any more.
    if (decodeRequest(from, at, this.#request)) this.#phase = 'admission';
    else this.#leave('bad-magic');
    return true;
  }

  /** Starts the decoded request; false: there is no room for it yet. */
  #begin(): boolean {
    const request = this.#request;
    if (request.type === COMMAND.DISC) {
      this.#leave('disconnected');
      return true;
    }
    const { sizeBytes, readOnly } = this.#options.disk;
    const refusal = refusalOf(request, sizeBytes, readOnly, this.#agreement);
    const holds = request.type === COMMAND.READ && refusal === 0 ? request.length : 0;
    if (!this.#hasRoom(holds)) return false;
    this.#phase = 'header';
    if (request.type === COMMAND.WRITE) {
      // Also the payload of a refused write has to be read past ("Request types", WRITE).
      this.#refusal = refusal;
      this.#payload.begin(request.offset, request.length);
      this.#phase = 'payload';
    } else if (refusal !== 0) {
      this.#refuse(request, refusal);
    } else if (request.type === COMMAND.READ) {
      this.#reads.begin(request);
    } else {
      this.#commands.begin(request);
    }
    return true;
  }

  /** Takes some of what has arrived of a payload; false: the disk has enough to do. */
  #takePayload(): boolean {
    if (this.#refusal !== 0 || this.#writes.failed) {
      this.#at += this.#payload.skip(this.#end - this.#at);
      return true;
    }
    if (!this.#hasRoom(this.#end - this.#at)) return false;
    this.#at += this.#payload.take(this.#input, this.#at, this.#end);
    const { piece } = this.#payload;
    if (piece !== null) {
      this.#writes.piece(this.#request, this.#payload.pieceOffset, piece);
    }
    return true;
  }

  #endPayload(): void {
    const request = this.#request;
    this.#phase = 'header';
    if (this.#refusal === 0) this.#writes.end(request);
    else this.#refuse(request, this.#refusal);
    this.#refusal = 0;
  }

  /** "Structured replies": those who agreed on them get no other answer to a read or a status. */
  #refuse(request: Request, refusal: number): void {
    if (this.#agreement.structured) this.#replies.errorChunk(request, refusal, null, true);
    else this.#replies.plain(request, refusal);
  }

  /** As Operations.hasRoom, after offering the kernel what has gathered. */
  #hasRoom(bytes: number): boolean {
    if (this.#operations.hasRoom(bytes)) return true;
    this.#replies.flush();
    return this.#operations.hasRoom(bytes);
  }

  #leave(reason: CloseReason): void {
    if (this.#leaving !== null) return;
    this.#leaving = reason;
    this.#socket.pause();
    // Not from here: this may be a callback of the socket, or the middle of a batch.
    this.#oweTurn();
  }

  /** The second half of leaving, once the disk has nothing of this connection. */
  #endIfIdle(): void {
    if (this.#leaving === null || this.#operations.inFlight > 0) return;
    if (this.#life === 'open') this.#hangUp();
    if (this.#life !== 'gone') return;
    this.#life = 'over';
    this.#closed.resolve();
    this.#options.onClose(this.#leaving);
  }

  /** Lets the client have the last replies, within the limit, and closes. */
  #hangUp(): void {
    this.#life = 'ending';
    const taken = deferred<void>();
    this.#socket.end(() => taken.resolve());
    this.#socket.once('close', () => taken.resolve());
    const { clock = systemClock } = this.#options;
    void within(clock, this.#limits.lingerMsMax, taken.promise).then(() => this.#socket.destroy());
  }

  #onSocketClosed(): void {
    this.#life = 'gone';
    this.#leave('lost');
    this.#endIfIdle();
  }
}
