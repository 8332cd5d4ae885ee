// SPDX-License-Identifier: Apache-2.0
// Events for an operator: one line each, a constant message, fields with fixed names (peer, connection, container, address,
// reason, ...). The level goes to the journal as its priority prefix (sd-daemon(3)) or is printed, off the journal.
import type { Clock } from "./clock.ts";
import { TokenBucket } from "./token-bucket.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

const PRIORITY: Record<LogLevel, number> = { error: 3, warn: 4, info: 6, debug: 7 };
export const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

function formatValue(value: string | number | boolean): string {
  const text = String(value);
  return text === "" || /[\s"=\\\p{C}]/u.test(text) ? quoted(text) : text;
}

/** Whatever somebody else called something: it stays on its line, and a terminal takes no orders from it. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

/** `connection established peer=… encrypted=true`; undefined fields are left out. */
export function formatEvent(event: string, fields: LogFields = {}): string {
  let line = event;
  for (const [key, value] of Object.entries(fields)) if (value !== undefined) line += ` ${key}=${formatValue(value)}`;
  return line;
}

/** A log that hands finished lines (no newline) to `write`, with their level. `level` is looked at for each event, so it may change. */
export function createLog(options: { readonly level: LogLevel; write(level: LogLevel, line: string): void }): Log {
  const at = (level: LogLevel) => (event: string, fields?: LogFields) => {
    if (LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(options.level)) options.write(level, formatEvent(event, fields));
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

const EVENTS_AT_ONCE = 500;
const EVENT_PAUSE_MS = 1000;

/** For events that others can bring about as often as they like: each event has its own allowance, and what was left out is counted in the next
 *  line of that event. */
export function limitedLog(log: Log, clock: Clock): Log {
  const events = new Map<string, { readonly bucket: TokenBucket; left: number }>();
  const at = (level: LogLevel) => (event: string, fields?: LogFields) => {
    let known = events.get(event);
    if (!known) {
      known = { bucket: new TokenBucket(clock, { burst: EVENTS_AT_ONCE, refillMs: EVENT_PAUSE_MS }), left: 0 };
      events.set(event, known);
    }
    if (!known.bucket.take()) {
      known.left++;
      return;
    }
    const leftOut = known.left === 0 ? undefined : known.left;
    known.left = 0;
    log[level](event, leftOut === undefined ? fields : { ...fields, leftOut });
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Line as journald reads it from stderr: `<6>connection established …`. */
export function journalLine(level: LogLevel, line: string): string {
  return `<${PRIORITY[level]}>${line}\n`;
}

/** Drops everything; for tests. */
export const silentLog: Log = createLog({ level: "error", write: () => {} });
