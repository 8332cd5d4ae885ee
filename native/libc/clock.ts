// SPDX-License-Identifier: Apache-2.0
// The state of the kernel's clock, adjtimex(2).
import { checked } from "../errno.ts";
import { allocate } from "../ffi.ts";
import { libc } from "./symbols.ts";

/** struct timex, linux/timex.h; zero `modes` changes nothing. */
export const TIMEX = { size: 208, modes: 0 } as const;
const TIME_ERROR = 5; // not synchronised

/** Somebody keeps it right, by NTP or otherwise. @throws {SystemError} */
export function isClockSynchronised(): boolean {
  return checked(libc().symbols.adjtimex(allocate(TIMEX.size)), "adjtimex") !== TIME_ERROR;
}
