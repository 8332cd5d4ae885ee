// SPDX-License-Identifier: Apache-2.0
// What the kernel says when it says no: errno, its names (asm-generic/errno-base.h and errno.h, the same on x86-64 and arm64) and the
// error every failed call below `native/` becomes.
import { read } from "bun:ffi";
import { loadLibrary } from "./ffi.ts";

// biome-ignore format: one line per header would be 130 lines
export const ERRNO = {
  EPERM: 1, ENOENT: 2, ESRCH: 3, EINTR: 4, EIO: 5, ENXIO: 6, E2BIG: 7, ENOEXEC: 8, EBADF: 9, ECHILD: 10, EAGAIN: 11,
  ENOMEM: 12, EACCES: 13, EFAULT: 14, ENOTBLK: 15, EBUSY: 16, EEXIST: 17, EXDEV: 18, ENODEV: 19, ENOTDIR: 20, EISDIR: 21,
  EINVAL: 22, ENFILE: 23, EMFILE: 24, ENOTTY: 25, ETXTBSY: 26, EFBIG: 27, ENOSPC: 28, ESPIPE: 29, EROFS: 30, EMLINK: 31,
  EPIPE: 32, EDOM: 33, ERANGE: 34, EDEADLK: 35, ENAMETOOLONG: 36, ENOLCK: 37, ENOSYS: 38, ENOTEMPTY: 39, ELOOP: 40,
  ENOMSG: 42, EIDRM: 43, ECHRNG: 44, EL2NSYNC: 45, EL3HLT: 46, EL3RST: 47, ELNRNG: 48, EUNATCH: 49, ENOCSI: 50, EL2HLT: 51,
  EBADE: 52, EBADR: 53, EXFULL: 54, ENOANO: 55, EBADRQC: 56, EBADSLT: 57, EBFONT: 59, ENOSTR: 60, ENODATA: 61, ETIME: 62,
  ENOSR: 63, ENONET: 64, ENOPKG: 65, EREMOTE: 66, ENOLINK: 67, EADV: 68, ESRMNT: 69, ECOMM: 70, EPROTO: 71, EMULTIHOP: 72,
  EDOTDOT: 73, EBADMSG: 74, EOVERFLOW: 75, ENOTUNIQ: 76, EBADFD: 77, EREMCHG: 78, ELIBACC: 79, ELIBBAD: 80, ELIBSCN: 81,
  ELIBMAX: 82, ELIBEXEC: 83, EILSEQ: 84, ERESTART: 85, ESTRPIPE: 86, EUSERS: 87, ENOTSOCK: 88, EDESTADDRREQ: 89,
  EMSGSIZE: 90, EPROTOTYPE: 91, ENOPROTOOPT: 92, EPROTONOSUPPORT: 93, ESOCKTNOSUPPORT: 94, EOPNOTSUPP: 95, EPFNOSUPPORT: 96,
  EAFNOSUPPORT: 97, EADDRINUSE: 98, EADDRNOTAVAIL: 99, ENETDOWN: 100, ENETUNREACH: 101, ENETRESET: 102, ECONNABORTED: 103,
  ECONNRESET: 104, ENOBUFS: 105, EISCONN: 106, ENOTCONN: 107, ESHUTDOWN: 108, ETOOMANYREFS: 109, ETIMEDOUT: 110,
  ECONNREFUSED: 111, EHOSTDOWN: 112, EHOSTUNREACH: 113, EALREADY: 114, EINPROGRESS: 115, ESTALE: 116, EUCLEAN: 117,
  ENOTNAM: 118, ENAVAIL: 119, EISNAM: 120, EREMOTEIO: 121, EDQUOT: 122, ENOMEDIUM: 123, EMEDIUMTYPE: 124, ECANCELED: 125,
  ENOKEY: 126, EKEYEXPIRED: 127, EKEYREVOKED: 128, EKEYREJECTED: 129, EOWNERDEAD: 130, ENOTRECOVERABLE: 131, ERFKILL: 132,
  EHWPOISON: 133,
} as const;
export type ErrnoName = keyof typeof ERRNO;

const NAMES = new Map<number, string>(Object.entries(ERRNO).map(([name, number]) => [number, name]));

/** `EPERM`; `errno 4095` for a number without a name. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

// Per thread: a Worker evaluates this module again. Resolved before any call can fail, because resolving it changes errno.
const location = loadLibrary({
  sonames: ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"],
  packages: { deb: "libc6", rpm: "glibc" },
  symbols: { __errno_location: { args: [], returns: "ptr" } }, // int *__errno_location(void)
}).symbols.__errno_location();

/** The last failed call's number. Read it in the statement that made the call: any later call may change it. */
export function errno(): number {
  return location === null ? 0 : read.i32(location, 0);
}

/** The machine refused something: `setns /run/netns/web: EPERM (1)`, with the kernel's own words behind it when there are any. */
export class SystemError extends Error {
  /** The call or request that failed: `setns`, `RTM_NEWLINK`. */
  readonly call: string;
  /** What it was applied to; empty when nothing has a name. */
  readonly object: string;
  /** Positive. */
  readonly errno: number;
  /** `EPERM` */
  readonly code: string;
  constructor(call: string, object: string, errno: number, detail = "") {
    const where = object === "" ? call : `${call} ${object}`;
    super(`${where}: ${errnoName(errno)} (${errno})${detail === "" ? "" : `: ${detail}`}`);
    this.name = "SystemError";
    this.call = call;
    this.object = object;
    this.errno = errno;
    this.code = errnoName(errno);
  }
}

/** Passes a C result on, or throws what errno says when it is negative. @throws {SystemError} */
export function checked(result: number, call: string, object = ""): number {
  if (result < 0) throw new SystemError(call, object, errno());
  return result;
}

/** Whether `thrown` is the machine's refusal with one of these codes. */
export function isSystemError(thrown: unknown, ...codes: readonly ErrnoName[]): thrown is SystemError {
  return thrown instanceof SystemError && (codes.length === 0 || codes.some((code) => ERRNO[code] === thrown.errno));
}
