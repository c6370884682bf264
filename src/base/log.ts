// The log: a fixed sentence plus fields (STYLE 18). Secrets and payload never go into fields.
import { type Logger, pino } from 'pino';

export type Fields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(sentence: string, fields?: Fields): void;
  info(sentence: string, fields?: Fields): void;
  warn(sentence: string, fields?: Fields): void;
  error(sentence: string, fields?: Fields): void;
  child(fields: Fields): Log;
}

function wrap(logger: Logger): Log {
  return {
    debug: (sentence, fields = {}) => logger.debug(fields, sentence),
    info: (sentence, fields = {}) => logger.info(fields, sentence),
    warn: (sentence, fields = {}) => logger.warn(fields, sentence),
    error: (sentence, fields = {}) => logger.error(fields, sentence),
    child: (fields) => wrap(logger.child(fields)),
  };
}

/** JSON lines on `fd` (2: standard error), at or above `level`. Safe in worker threads. */
export function pinoLog(level: string, fd = 2): Log {
  return wrap(pino({ level, base: null }, pino.destination({ fd, sync: true })));
}

const nothing = (): void => {};
/** Drops everything; for tests and tools. */
export const silentLog: Log = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silentLog,
};
