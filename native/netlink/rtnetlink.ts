// SPDX-License-Identifier: Apache-2.0
// Message numbers of rtnetlink and the header every link message begins with (linux/rtnetlink.h).
import type { MessageWriter } from "./codec.ts";

export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  SETLINK: 19,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
  NEWRULE: 32,
  DELRULE: 33,
  GETRULE: 34,
  NEWQDISC: 36,
  DELQDISC: 37,
  GETQDISC: 38,
  NEWNETCONF: 80,
  DELNETCONF: 81,
  NEWNSID: 88,
  GETNSID: 90,
} as const;

/** struct ifinfomsg, linux/rtnetlink.h */
export const IFINFOMSG = { size: 16, family: 0, type: 2, index: 4, flags: 8, change: 12 } as const;

/** Writes a struct ifinfomsg. */
export function writeIfinfo(writer: MessageWriter, family: number, index: number, flags = 0, change = 0): void {
  writer.u8(family).u8(0).u16(0).u32(index).u32(flags).u32(change);
}
