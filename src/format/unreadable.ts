// Whether a state file is bad: what stands there is not what was written (FORMAT_BAD,
// FORMAT_VERSION), or the medium under it gives an error instead. To whoever reads it that is one
// thing: the content is gone, and it goes on with what there is without it. Any other error (no
// memory, too many open files, no right to read) says nothing of the content and is no reason to
// give it up; nor is a write or fdatasync that failed, which belongs to whoever wrote (H18).
import { codeOf } from '../base/errors.js';
import { FilesError } from '../base/files.js';

/** Errors of an unreadable medium, as against one that is gone or was never allowed. */
export const MEDIUM_ERRNOS: ReadonlySet<string> = new Set([
  ...['EIO', 'ENODATA', 'EILSEQ', 'EBADMSG', 'EUCLEAN'],
]);

/** Operations of a Files that look at what stands there; a bad inode fails at the first two. */
const LOOKS: ReadonlySet<string> = new Set(['open', 'fstat', 'read']);

/** True: the file that was being read is damaged, or its medium is. */
export function isUnreadable(error: unknown): boolean {
  const code = codeOf(error);
  if (code === 'FORMAT_BAD' || code === 'FORMAT_VERSION') return true;
  if (!(error instanceof FilesError) || error.fault.code !== 'FILE_FAILED') return false;
  return LOOKS.has(error.fault.operation) && MEDIUM_ERRNOS.has(error.fault.errno);
}
