// SPDX-License-Identifier: Apache-2.0
// The clock of bpf_ktime_get_ns: CLOCK_MONOTONIC in nanoseconds since boot. For comparing with stamps that the kernel made, nothing else.
import { checked } from "../errno.ts";
import { allocate, lazyLibrary } from "../ffi.ts";

const libc = lazyLibrary({
  sonames: ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"],
  packages: { deb: "libc6", rpm: "glibc" },
  symbols: { clock_gettime: { args: ["i32", "ptr"], returns: "i32" } }, // int clock_gettime(clockid_t, struct timespec *)
});
const CLOCK_MONOTONIC = 1; // linux/time.h
/** struct timespec, 64-bit machines. */
export const TIMESPEC = { size: 16, seconds: 0, nanoseconds: 8 } as const;

export function kernelNanoseconds(): bigint {
  const value = allocate(TIMESPEC.size);
  checked(libc().symbols.clock_gettime(CLOCK_MONOTONIC, value), "clock_gettime");
  const view = new DataView(value.buffer);
  return view.getBigInt64(TIMESPEC.seconds, true) * 1_000_000_000n + view.getBigInt64(TIMESPEC.nanoseconds, true);
}
