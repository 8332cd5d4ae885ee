// SPDX-License-Identifier: Apache-2.0
// The kinds of wrong that cross rooms. The operator's are told and answered, a peer's close one connection, ours crash
// loudly so that the supervisor restarts us. The machine's (`SystemError`) belong to `native/errno.ts`.

/** Stable words for what an operator did wrong; the API sends them as `code`. */
export type ErrorCode = "bad-request" | "not-found" | "conflict" | "unavailable" | "forbidden" | "internal";

const STATUS: Record<ErrorCode, number> = {
  "bad-request": 400,
  "not-found": 404,
  conflict: 409,
  unavailable: 503,
  forbidden: 403,
  internal: 500,
};

/** Something the operator asked for cannot be done. `message` says what, on what and why; `hint` says what to do next. */
export class UserError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  constructor(code: ErrorCode, message: string, hint = "", options?: ErrorOptions) {
    super(message, options);
    this.name = "UserError";
    this.code = code;
    this.hint = hint;
  }
  /** HTTP status that goes with the code. */
  get status(): number {
    return STATUS[this.code];
  }
}

/** A peer sent what it must not send. Closes that one connection and nothing else. */
export class ProtocolError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ProtocolError";
  }
}

/** Our own bug. Never caught except by the outermost handler, which logs it and ends the process. */
export class InvariantError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "InvariantError";
  }
}

/** @throws {InvariantError} when `condition` does not hold */
export function invariant(condition: unknown, why: string): asserts condition {
  if (!condition) throw new InvariantError(why);
}

/** Text of whatever was thrown, for a message or a log field. */
export function errorText(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Why a file cannot be had, without the error number, call and path that Node puts around it: `read-only file system`. */
export function fileErrorText(thrown: unknown): string {
  const text = errorText(thrown);
  return /^E[A-Z0-9]+: (.+), \w+(?: '.*)?$/.exec(text)?.[1] ?? text;
}
