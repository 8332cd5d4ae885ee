// SPDX-License-Identifier: Apache-2.0
// Classic tc: a program as a direct-action filter below the clsact discipline, at a fixed place so that replacing it has no gap.
import { ERRNO } from "../errno.ts";
import { allocate, type Bytes } from "../ffi.ts";
import type { Direction } from "./link.ts";
import { attemptedCall, checkedCall } from "./messages.ts";
import type { Program } from "./object.ts";
import { libbpf } from "./symbols.ts";

/** struct bpf_tc_hook, bpf/libbpf.h */
export const TC_HOOK = { size: 24, bytes: 0, ifindex: 8, point: 12, parent: 16 } as const;
/** struct bpf_tc_opts, bpf/libbpf.h */
export const TC_OPTS = { size: 32, bytes: 0, programFd: 8, flags: 12, programId: 16, handle: 20, priority: 24 } as const;
const POINT: Record<Direction, number> = { ingress: 1, egress: 2 };
const BPF_TC_F_REPLACE = 1;
// Far behind the first, so that filters of others at a low priority still come first.
const HANDLE = 0x77;
const PRIORITY = 0x7765;

/** Attaches, or replaces what is at our place. @throws {SystemError} */
export function attachTc(program: Program, ifindex: number, direction: Direction): void {
  const at = hook(ifindex, direction);
  const where = `${program.name} on link ${ifindex}`;
  const made = attemptedCall(() => libbpf().symbols.bpf_tc_hook_create(at));
  if (made !== -ERRNO.EEXIST) checkedCall("bpf_tc_hook_create", where, () => made);
  checkedCall("bpf_tc_attach", where, () => libbpf().symbols.bpf_tc_attach(at, place(program.fd, BPF_TC_F_REPLACE)));
}

/** Id of the program at our place; undefined: none, or no such link. @throws {SystemError} */
export function queryTc(ifindex: number, direction: Direction): number | undefined {
  const found = place(0, 0);
  const result = attemptedCall(() => libbpf().symbols.bpf_tc_query(hook(ifindex, direction), found));
  if (isNothing(result)) return undefined;
  checkedCall("bpf_tc_query", `link ${ifindex}`, () => result);
  return new DataView(found.buffer).getUint32(TC_OPTS.programId, true);
}

/** Nothing to do when nothing is there. The clsact discipline stays: it may have others' filters. @throws {SystemError} */
export function detachTc(ifindex: number, direction: Direction): void {
  const result = attemptedCall(() => libbpf().symbols.bpf_tc_detach(hook(ifindex, direction), place(0, 0)));
  if (!isNothing(result)) checkedCall("bpf_tc_detach", `link ${ifindex}`, () => result);
}

/** Whether the kernel could not do it because there is no filter, no clsact or no link. */
function isNothing(result: number): boolean {
  return result === -ERRNO.ENOENT || result === -ERRNO.EINVAL || result === -ERRNO.ENODEV;
}

function hook(ifindex: number, direction: Direction): Bytes {
  const bytes = allocate(TC_HOOK.size);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(TC_HOOK.bytes, BigInt(TC_HOOK.size), true);
  view.setInt32(TC_HOOK.ifindex, ifindex, true);
  view.setInt32(TC_HOOK.point, POINT[direction], true);
  return bytes;
}

function place(programFd: number, flags: number): Bytes {
  const bytes = allocate(TC_OPTS.size);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(TC_OPTS.bytes, BigInt(TC_OPTS.size), true);
  view.setInt32(TC_OPTS.programFd, programFd, true);
  view.setUint32(TC_OPTS.flags, flags, true);
  view.setUint32(TC_OPTS.handle, HANDLE, true);
  view.setUint32(TC_OPTS.priority, PRIORITY, true);
  return bytes;
}
