// SPDX-License-Identifier: Apache-2.0
// Where the daemon's log lines go: stderr, in the form its reader wants. The journal gets a priority prefix and adds the time itself; a file or
// a terminal gets level and time. A file (the log of a daemon started without a service manager) is kept below a size.
import { copyFileSync, fstatSync, ftruncateSync, readlinkSync, writeSync } from "node:fs";
import type { Clock } from "../runtime/clock.ts";
import { journalLine, type LogLevel } from "../runtime/log.ts";
import { writesToJournal } from "./systemd.ts";

const FILE_LIMIT_BYTES = 8 * 1024 * 1024;
const NAMES: Record<LogLevel, string> = { debug: "DEBU", info: "INFO", warn: "WARN", error: "ERRO" };

export interface LogOutputOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Descriptor to write to; 2 unless a test says otherwise. */
  readonly fd?: number;
  readonly limitBytes?: number;
}

/** The `write` of `createLog`. */
export function logOutput(options: LogOutputOptions): (level: LogLevel, line: string) => void {
  const { env, clock, fd = 2, limitBytes = FILE_LIMIT_BYTES } = options;
  if (writesToJournal(env, fd)) return (level, line) => writeLine(fd, journalLine(level, line));
  const isFile = fstatSync(fd).isFile();
  return (level, line) => {
    writeLine(fd, timedLine(level, line, clock.wallMs()));
    if (isFile && fstatSync(fd).size > limitBytes) startAnew(fd);
  };
}

/** `INFO: 2026/11/21 07:21:26.567000 connection established peer=…`, local time, as Weave Net's lines begin. */
export function timedLine(level: LogLevel, line: string, wallMs: number): string {
  const time = new Date(wallMs);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${time.getFullYear()}/${two(time.getMonth() + 1)}/${two(time.getDate())}`;
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return `${NAMES[level]}: ${day} ${clock}.${String(time.getMilliseconds()).padStart(3, "0")}000 ${line}\n`;
}

function writeLine(fd: number, line: string): void {
  try {
    writeSync(fd, line);
  } catch {
    // The reader is gone, the disk is full or the pipe is: there is nobody to tell, and going on matters more than the line.
  }
}

// The file was opened for appending, so writing goes on at its new end.
function startAnew(fd: number): void {
  try {
    const path = readlinkSync(`/proc/self/fd/${fd}`);
    copyFileSync(path, `${path}.1`);
  } catch {
    // Without room for a copy the older lines are lost, the bound holds.
  }
  ftruncateSync(fd, 0);
}
