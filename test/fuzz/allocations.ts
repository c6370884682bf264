// Counts what is allocated as byte arrays while an input is worked off: constructions of
// Uint8Array, Buffer, ArrayBuffer, SharedArrayBuffer by a length. Node's own allocations do not
// pass here. The globals are replaced from `begin` to `end`, for one input at a time. Bytes.
const {
  Uint8Array: PlainArray,
  ArrayBuffer: PlainBuffer,
  SharedArrayBuffer: PlainShared,
} = globalThis;
const { alloc, allocUnsafe, allocUnsafeSlow } = Buffer;

export interface Allocated {
  /** Largest single one. */
  readonly once: number;
  readonly total: number;
}

let once = 0;
let total = 0;

function note(bytes: unknown): void {
  if (typeof bytes !== 'number') return;
  if (bytes > once) once = bytes;
  total += bytes;
}

/** A constructor that notes a length given as a number; `instanceof` stays what it was. */
const noting = <T extends object>(maker: T): T =>
  new Proxy(maker, {
    construct(real, args: unknown[], target): object {
      note(args[0]);
      const made: unknown = Reflect.construct(Object(real), args, target);
      return Object(made);
    },
  });

const notingFunction = <T extends (bytes: number, ...rest: never[]) => Buffer>(real: T): T =>
  new Proxy(real, {
    apply(target, self, args: unknown[]): unknown {
      note(args[0]);
      return Reflect.apply(target, self, args);
    },
  });

const counted = {
  Uint8Array: noting(PlainArray),
  ArrayBuffer: noting(PlainBuffer),
  SharedArrayBuffer: noting(PlainShared),
};
const countedBuffer = {
  alloc: notingFunction(alloc),
  allocUnsafe: notingFunction(allocUnsafe),
  allocUnsafeSlow: notingFunction(allocUnsafeSlow),
};

export function begin(): void {
  once = 0;
  total = 0;
  Object.assign(globalThis, counted);
  Object.assign(Buffer, countedBuffer);
}

export function end(): Allocated {
  Object.assign(globalThis, {
    Uint8Array: PlainArray,
    ArrayBuffer: PlainBuffer,
    SharedArrayBuffer: PlainShared,
  });
  Object.assign(Buffer, { alloc, allocUnsafe, allocUnsafeSlow });
  return { once, total };
}
