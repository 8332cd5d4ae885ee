// SPDX-License-Identifier: Apache-2.0
// TCX links (Linux 6.6): a program at a device's ingress or egress, held by a link that is pinned and so outlives the process. Nobody can
// remove it by deleting a queueing discipline; deleting the pin detaches it.
import { rmSync } from "node:fs";
import { ERRNO } from "../errno.ts";
import { close } from "../libc/fd.ts";
import { readInfo } from "./map.ts";
import { attemptedCall, checkedCall } from "./messages.ts";
import type { Program } from "./object.ts";
import { libbpf } from "./symbols.ts";

/** struct bpf_link_info, linux/bpf.h: the common part and the union's `tcx`. */
export const LINK_INFO = { size: 24, type: 0, id: 4, programId: 8, ifindex: 16, attachType: 20 } as const;
// enum bpf_attach_type; libbpf 1.1 has no name for them yet
const BPF_TCX_INGRESS = 46;
const BPF_TCX_EGRESS = 47;
const NO_IFINDEX = 0x7fff_ffff;

export type Direction = "ingress" | "egress";

export interface TcxState {
  /** 0: the device is gone and the link is dead. */
  readonly ifindex: number;
  readonly programId: number;
}

/** Whether the kernel has TCX: it looks for the device only after it has understood what is to be attached (EINVAL where it does not), so
 *  one that cannot exist tells, without the grace periods that attaching and detaching cost. `link_create` in kernel/bpf/syscall.c */
export function hasTcx(program: Program): boolean {
  return attemptedCall(() => libbpf().symbols.bpf_link_create(program.fd, NO_IFINDEX, BPF_TCX_EGRESS, null)) === -ERRNO.ENODEV;
}

/** What is pinned at `path`; undefined when nothing is. @throws {SystemError} */
export function readTcx(path: string): TcxState | undefined {
  const fd = attemptedCall(() => libbpf().symbols.bpf_obj_get(path));
  if (fd === -ERRNO.ENOENT) return undefined;
  checkedCall("bpf_obj_get", path, () => fd);
  try {
    const info = readInfo(fd, LINK_INFO.size, path);
    return { ifindex: info.getUint32(LINK_INFO.ifindex, true), programId: info.getUint32(LINK_INFO.programId, true) };
  } finally {
    close(fd);
  }
}

/** Attaches and pins. `ifindex` is one of the calling thread's network namespace. @throws {SystemError} */
export function createTcx(path: string, program: Program, ifindex: number, direction: Direction): void {
  const type = direction === "ingress" ? BPF_TCX_INGRESS : BPF_TCX_EGRESS;
  const where = `${program.name} on link ${ifindex}`;
  const fd = checkedCall("bpf_link_create", where, () => libbpf().symbols.bpf_link_create(program.fd, ifindex, type, null));
  try {
    checkedCall("bpf_obj_pin", path, () => libbpf().symbols.bpf_obj_pin(fd, path));
  } finally {
    close(fd);
  }
}

/** Puts another program into the pinned link, without a gap. False: the link is dead (its device is gone). @throws {SystemError} */
export function updateTcx(path: string, program: Program): boolean {
  const fd = checkedCall("bpf_obj_get", path, () => libbpf().symbols.bpf_obj_get(path));
  try {
    const result = attemptedCall(() => libbpf().symbols.bpf_link_update(fd, program.fd, null));
    if (result === -ERRNO.ENOLINK) return false;
    checkedCall("bpf_link_update", path, () => result);
    return true;
  } finally {
    close(fd);
  }
}

/** Detaches and removes the pin. Nothing to do when there is none. */
export function removeTcx(path: string): void {
  const fd = attemptedCall(() => libbpf().symbols.bpf_obj_get(path));
  if (fd >= 0) {
    // At once; without it the kernel takes the program away some time after the pin. A dead link has nothing to detach.
    attemptedCall(() => libbpf().symbols.bpf_link_detach(fd));
    close(fd);
  }
  rmSync(path, { force: true });
}
