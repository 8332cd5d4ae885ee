// SPDX-License-Identifier: Apache-2.0
// What the kernel answers to a request it refuses: struct nlmsgerr and the extended acknowledgement behind it (linux/netlink.h).
import { SystemError } from "../errno.ts";
import { Attributes, type Message, NLM_F, NLMSGHDR } from "./codec.ts";

/** What was asked, for the error's text: `{ call: "RTM_NEWLINK", object: "weave" }`. */
export interface Subject {
  readonly call: string;
  readonly object: string;
}

/** An address for such a text: 10.32.0.1, or eight groups of hex digits. */
export function addressText(address: Uint8Array): string {
  if (address.length === 4) return address.join(".");
  return Buffer.from(address)
    .toString("hex")
    .replace(/(.{4})(?!$)/g, "$1:");
}

/** A refused request: `RTM_NEWLINK weave: EOPNOTSUPP (95): Unknown device type`. */
export class NetlinkError extends SystemError {
  /** The kernel's own words; empty when it gave none. */
  readonly kernelText: string;
  constructor(subject: Subject, errno: number, kernelText: string) {
    super(subject.call, subject.object, errno, kernelText);
    this.name = "NetlinkError";
    this.kernelText = kernelText;
  }
}

/** struct nlmsgerr: int error (0: acknowledged, else negative), then the header of the request. */
export const NLMSGERR = { size: 4 + NLMSGHDR.size, error: 0, request: 4 } as const;
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_MISS_TYPE = 5;

/** undefined: the message acknowledges. Reads NLMSG_ERROR, and NLMSG_DONE, whose code ends a dump that failed midway. */
export function readRefusal(message: Message, subject: Subject): NetlinkError | undefined {
  if (message.end - message.start < 4) return undefined;
  const code = message.view.getInt32(message.start + NLMSGERR.error, true);
  return code >= 0 ? undefined : new NetlinkError(subject, -code, explanation(message));
}

function explanation(message: Message): string {
  if ((message.flags & NLM_F.ACK_TLVS) === 0) return "";
  const attributes = Attributes.read(message.view, explanationStart(message), message.end);
  const missing = attributes.u32(NLMSGERR_ATTR_MISS_TYPE);
  return attributes.text(NLMSGERR_ATTR_MSG) ?? (missing === undefined ? "" : `attribute ${missing} is missing`);
}

// A finished dump has only the code; an error also the request's header, and the whole request unless it was capped.
function explanationStart(message: Message): number {
  const isDone = message.type === 3;
  if (isDone) return message.start + 4;
  const afterHeader = message.start + NLMSGERR.size;
  if ((message.flags & NLM_F.CAPPED) !== 0 || afterHeader > message.end) return afterHeader;
  const requestBytes = message.view.getUint32(message.start + NLMSGERR.request + NLMSGHDR.length, true);
  return message.start + NLMSGERR.request + ((requestBytes + 3) & ~3);
}
