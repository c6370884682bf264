// ByteStream: an ordered, two-way stream of bytes between two peers. What a session needs of a
// connection and no more; a TCP or TLS socket and an in-memory pair keep it alike.
// Guarantees: bytes arrive in order and once or not at all; a writer waits while the other side
// does not read (W5); after the end or a cut, reads and writes say so as NetError PEER_CLOSED.

export interface ByteStream {
  /** The other end, for people. */
  readonly remote: string;
  /** Bytes on the wire since the connection was made; for TLS those of the TCP connection. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** The next bytes, never empty; null after the other side's end. One reader at a time. */
  read(): Promise<Uint8Array | null>;
  /** Sends `pieces` in order; resolves when accepted. They belong to the stream from now on: the
   * caller does not change them, whatever happens. Calls keep their order. */
  write(pieces: readonly Uint8Array[]): Promise<void>;
  /** Sends what is accepted, then ends; resolves when the connection is gone. */
  end(): Promise<void>;
  /** Cuts at once, both directions, and `why` is what pending calls here reject with. */
  destroy(why: string): void;
}
