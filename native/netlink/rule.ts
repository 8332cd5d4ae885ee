// SPDX-License-Identifier: Apache-2.0
// Policy routing: which table a packet's route is looked up in (RTM_*RULE, linux/fib_rules.h).
import { isSystemError } from "../errno.ts";
import { AF } from "../libc/sockaddr.ts";
import { Attributes, type Message, MessageWriter, NLM_F } from "./codec.ts";
import { addressText, type Subject } from "./error.ts";
import { RTM } from "./rtnetlink.ts";
import type { NetlinkSocket } from "./socket.ts";

/** struct fib_rule_hdr */
export const FIB_RULE_HDR = {
  size: 12,
  family: 0,
  destinationLength: 1,
  sourceLength: 2,
  tos: 3,
  table: 4,
  action: 7,
  flags: 8,
} as const;
export const FRA = { DST: 1, IIFNAME: 3, PRIORITY: 6, TABLE: 15 } as const;
export const FR_ACT = { TO_TBL: 1, UNREACHABLE: 7 } as const;

/** A rule for packets to a network; rules are asked in the order of their priorities. */
export interface Rule {
  readonly priority: number;
  readonly destination: Uint8Array;
  readonly prefixLength: number;
  /** Only packets that came in by this link; `lo`: those of this host itself. Empty: all. */
  readonly inLink: string;
  /** Where the route is looked up; undefined: there is none, and the sender is told so. */
  readonly table: number | undefined;
}

/** IPv6 rules for one destination network; others are left out. undefined: this kernel has no policy routing. @throws {NetlinkError} */
export function listRules6(socket: NetlinkSocket): Rule[] | undefined {
  const writer = new MessageWriter(RTM.GETRULE, NLM_F.REQUEST | NLM_F.DUMP);
  writeHeader(writer, 0, 0);
  try {
    return socket.dump(writer, { call: "RTM_GETRULE", object: "all" }, decodeRule);
  } catch (thrown) {
    if (isSystemError(thrown, "EAFNOSUPPORT", "EOPNOTSUPP")) return undefined;
    throw thrown;
  }
}

/** @throws {NetlinkError} EEXIST: there is one like it */
export function addRule(socket: NetlinkSocket, rule: Rule): void {
  const writer = new MessageWriter(RTM.NEWRULE, NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.EXCL);
  socket.request(writeRule(writer, rule), subject("RTM_NEWRULE", rule));
}

/** @throws {NetlinkError} ENOENT: there is none like it */
export function deleteRule(socket: NetlinkSocket, rule: Rule): void {
  const writer = new MessageWriter(RTM.DELRULE, NLM_F.REQUEST | NLM_F.ACK);
  socket.request(writeRule(writer, rule), subject("RTM_DELRULE", rule));
}

/** From RTM_NEWRULE or RTM_DELRULE, of an IPv6 rule with a destination that looks up or refuses; undefined for anything else. */
export function decodeRule(message: Message): Rule | undefined {
  const { view, start } = message;
  if ((message.type !== RTM.NEWRULE && message.type !== RTM.DELRULE) || message.end - start < FIB_RULE_HDR.size) return undefined;
  if (view.getUint8(start + FIB_RULE_HDR.family) !== AF.INET6) return undefined;
  const attributes = Attributes.of(message, FIB_RULE_HDR.size);
  const destination = attributes.bytes(FRA.DST);
  const action = view.getUint8(start + FIB_RULE_HDR.action);
  if (destination?.length !== 16 || (action !== FR_ACT.TO_TBL && action !== FR_ACT.UNREACHABLE)) return undefined;
  return {
    priority: attributes.u32(FRA.PRIORITY) ?? 0,
    destination,
    prefixLength: view.getUint8(start + FIB_RULE_HDR.destinationLength),
    inLink: attributes.text(FRA.IIFNAME) ?? "",
    table: action === FR_ACT.TO_TBL ? (attributes.u32(FRA.TABLE) ?? view.getUint8(start + FIB_RULE_HDR.table)) : undefined,
  };
}

function writeRule(writer: MessageWriter, rule: Rule): MessageWriter {
  writeHeader(writer, rule.prefixLength, rule.table === undefined ? FR_ACT.UNREACHABLE : FR_ACT.TO_TBL);
  writer.attribute(FRA.DST, rule.destination).attributeU32(FRA.PRIORITY, rule.priority);
  if (rule.inLink !== "") writer.attributeText(FRA.IIFNAME, rule.inLink);
  if (rule.table !== undefined) writer.attributeU32(FRA.TABLE, rule.table);
  return writer;
}

function writeHeader(writer: MessageWriter, destinationLength: number, action: number): void {
  writer.u8(AF.INET6).u8(destinationLength).u8(0).u8(0);
  writer.u8(0).u8(0).u8(0).u8(action).u32(0);
}

function subject(call: string, rule: Rule): Subject {
  return { call, object: `${rule.priority} to ${addressText(rule.destination)}/${rule.prefixLength}` };
}
