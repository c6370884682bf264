// Everything in the guest-facing server that can grow, and how far (W5). One connection in
// transmission holds at most receiveBytes + a batch of replies + heldBytesMax, or one request of
// 32 MiB, and what the kernel grants its socket. Those of negotiation's data are beside it.
import { MIB } from '../base/units.js';

export interface OperationLimits {
  /** Operations the disk has not finished; a piece of a write is one. */
  readonly inFlightMax: number;
  /**
   * Bytes of reads and write pieces in flight and of replies not taken by the kernel; one request
   * may be larger than this when it is alone.
   */
  readonly heldBytesMax: number;
  /** Reply bytes not taken by the kernel. */
  readonly unsentBytesMax: number;
}

export interface TransmissionLimits extends OperationLimits {
  /** Fixed buffer for what the client sends; more blocks than one, and their header. */
  readonly receiveBytes: number;
  /** Asked of the kernel, per direction (measured: +38 % on sequential reads). */
  readonly socketBytes: number;
  /** How long a closing connection waits for its client to take the last replies. */
  readonly lingerMsMax: number;
}

export const TRANSMISSION_LIMITS: TransmissionLimits = {
  inFlightMax: 64,
  heldBytesMax: 32 * MIB,
  unsentBytesMax: 8 * MIB,
  // What the client's kernel keeps under way on a unix socket (net.core.wmem_default): a buffer of
  // more is never filled, and then ends anywhere in a block.
  receiveBytes: 208 * 1024,
  socketBytes: 4 * MIB,
  lingerMsMax: 5000,
};

export interface ListenerLimits {
  /** Connections in all, negotiating or handed over. */
  readonly connectionsMax: number;
  readonly negotiatingMax: number;
  /** From the greeting to the end of negotiation. */
  readonly negotiationMsMax: number;
  /** Option replies not taken by the kernel. */
  readonly unsentBytesMax: number;
}

export const LISTENER_LIMITS: ListenerLimits = {
  connectionsMax: 256,
  negotiatingMax: 32,
  negotiationMsMax: 10_000,
  unsentBytesMax: MIB,
};
