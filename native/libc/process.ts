// SPDX-License-Identifier: Apache-2.0
// The process itself: namespaces, credentials, capabilities.
import { checked } from "../errno.ts";
import { allocate } from "../ffi.ts";
import { libc } from "./symbols.ts";

/** linux/sched.h */
export const CLONE = { FS: 0x200, NEWNS: 0x20000, NEWNET: 0x40000000 } as const;

/** Moves the calling thread into the namespace behind `fd`; `object` names it in the text. @throws {SystemError} */
export function setns(fd: number, type: number, object: string): void {
  checked(libc().symbols.setns(fd, type), "setns", object);
}

/** Gives the calling thread namespaces of its own. @throws {SystemError} */
export function unshare(flags: number): void {
  checked(libc().symbols.unshare(flags), "unshare");
}

export function geteuid(): number {
  return libc().symbols.geteuid();
}

/** Sets the permissions taken away from new files, returns the former ones. */
export function umask(mask: number): number {
  return libc().symbols.umask(mask);
}

/** Ends the process at once, with a core dump where they are enabled. For when going on would do harm. */
export function abort(): never {
  libc().symbols.abort();
  throw new Error("abort returned"); // not reached; the compiler cannot know
}

/** linux/prctl.h */
export const PR = { SET_PDEATHSIG: 1, SET_DUMPABLE: 4, SET_NO_NEW_PRIVS: 38 } as const;

/** @throws {SystemError} */
export function prctl(option: keyof typeof PR, value: number): void {
  checked(libc().symbols.prctl(PR[option], value, 0, 0, 0), `prctl PR_${option}`);
}

/** Bit numbers, linux/capability.h. */
export const CAP = {
  DAC_OVERRIDE: 1,
  NET_BIND_SERVICE: 10,
  NET_ADMIN: 12,
  NET_RAW: 13,
  SYS_PTRACE: 19,
  SYS_ADMIN: 21,
  SYS_RESOURCE: 24,
  PERFMON: 38,
  BPF: 39,
} as const;
export type Capability = keyof typeof CAP;

/** struct __user_cap_header_struct and __user_cap_data_struct, linux/capability.h. */
export const CAP_HEADER = { size: 8, version: 0, pid: 4 } as const;
export const CAP_DATA = { size: 12, effective: 0, permitted: 4, inheritable: 8 } as const;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522; // two data structures, bits 0..63

/** Those of `wanted` that the calling thread may not use now. @throws {SystemError} */
export function missingCapabilities(wanted: readonly Capability[]): Capability[] {
  const header = allocate(CAP_HEADER.size);
  new DataView(header.buffer).setUint32(CAP_HEADER.version, LINUX_CAPABILITY_VERSION_3, true);
  const data = allocate(2 * CAP_DATA.size);
  checked(libc().symbols.capget(header, data), "capget");
  const view = new DataView(data.buffer);
  const effective = [view.getUint32(CAP_DATA.effective, true), view.getUint32(CAP_DATA.size + CAP_DATA.effective, true)];
  return wanted.filter((name) => (((effective[CAP[name] >> 5] ?? 0) >>> (CAP[name] & 31)) & 1) === 0);
}
