// SPDX-License-Identifier: Apache-2.0
// What SQLite's refusals mean to an operator (https://sqlite.org/rescode.html).
import { SQLiteError } from "bun:sqlite";
import { UserError } from "../runtime/errors.ts";

const NOT_A_DATABASE = /^SQLITE_(NOTADB|CORRUPT)/;

/** The file is not what we wrote: it is to be kept aside, and a new one begun. */
export class DamagedDatabaseError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "DamagedDatabaseError";
  }
}

/** Runs `action` on the database at `path`, turning SQLite's errors into ours.
 *  @throws {UserError} unavailable: disk full, not writable, locked. @throws {DamagedDatabaseError} */
export function translated<Result>(path: string, action: () => Result): Result {
  try {
    return action();
  } catch (thrown) {
    throw translate(path, thrown);
  }
}

function translate(path: string, thrown: unknown): unknown {
  if (!(thrown instanceof SQLiteError)) return thrown;
  const code = thrown.code ?? "";
  if (NOT_A_DATABASE.test(code))
    return new DamagedDatabaseError(`database ${path} is damaged: ${thrown.message}`, { cause: thrown });
  const [why, hint] = explain(code, thrown.message);
  return new UserError("unavailable", `cannot write database ${path}: ${why}`, hint, { cause: thrown });
}

function explain(code: string, message: string): [why: string, hint: string] {
  // SHMSIZE: the index of the write-ahead log could not grow.
  if (["SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"].includes(code))
    return ["the disk is full", "free some space there and try again"];
  if (code.startsWith("SQLITE_IOERR"))
    return [`the disk reports an error (${code})`, "look at the kernel's log and at the free space"];
  if (code.startsWith("SQLITE_READONLY")) return ["it is read-only", "weave needs to write there; or choose another --data-dir"];
  if (code.startsWith("SQLITE_CANTOPEN"))
    return ["it cannot be opened", "the data directory must exist and be writable for root, with space left"];
  if (/^SQLITE_(BUSY|LOCKED)/.test(code))
    return ["another process holds it", "is a second weave daemon using the same --data-dir?"];
  return [message, ""];
}
