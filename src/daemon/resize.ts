// `hastctl resize` (H14): whether and to which size a resource may grow. Pure.
import { humanBytes, SECTOR_BYTES } from '../base/units.js';
import { ControlError, type ResizeRequest, type Role } from '../control/api.js';

export interface ResizeFacts {
  readonly name: string;
  readonly path: string;
  readonly role: Role;
  /** Another node was primary last, and this one has what it received of it; null: it has not. */
  readonly follows: string | null;
  /** Of the resource now. */
  readonly sizeBytes: number;
  readonly diskBytes: number;
  readonly guests: number;
}

/** The new size; null: it has that size. Errors CONTROL_WRONG_ROLE, CONTROL_BAD_REQUEST,
 * RESIZE_SMALLER, RESIZE_DISK, RESIZE_GUESTS. */
export function newSize(facts: ResizeFacts, request: ResizeRequest): number | null {
  const { name, path, role, follows, sizeBytes, diskBytes, guests } = facts;
  // Also without the role: its points are of the size that the primary gave them.
  if (role === 'secondary' || follows !== null) {
    const wanted =
      `the primary: ${follows ?? 'another node'} was it last, and a replica grows with its ` +
      `primary's next round (hastctl resize ${name} there; here, "hastctl role primary ${name}" ` +
      'comes first)';
    throw new ControlError({ code: 'CONTROL_WRONG_ROLE', name, role, wanted });
  }
  const wantedBytes = request.sizeBytes ?? diskBytes;
  if (wantedBytes % SECTOR_BYTES !== 0) {
    const text = `${name}: ${wantedBytes} bytes is not a multiple of ${SECTOR_BYTES}`;
    throw new ControlError({ code: 'CONTROL_BAD_REQUEST', text });
  }
  if (wantedBytes < sizeBytes) {
    throw new ControlError({ code: 'RESIZE_SMALLER', name, sizeBytes, wantedBytes });
  }
  if (wantedBytes > diskBytes) {
    throw new ControlError({ code: 'RESIZE_DISK', name, path, diskBytes, wantedBytes });
  }
  if (wantedBytes === sizeBytes) return null;
  if (guests > 0 && !request.disconnect) {
    throw new ControlError({ code: 'RESIZE_GUESTS', name, guests });
  }
  return wantedBytes;
}

export const resizeNotes = (name: string, before: number, after: number): string[] => [
  `${name}: ${humanBytes(before)} -> ${humanBytes(after)}`,
  `${name}: its replicas grow with the next round; their disks must have room`,
];
