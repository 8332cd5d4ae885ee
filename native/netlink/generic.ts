// SPDX-License-Identifier: Apache-2.0
// Generic netlink (linux/genetlink.h): families have names, their numbers are asked for.
import { isSystemError } from "../errno.ts";
import { Attributes, type Message, MessageWriter, NLM_F } from "./codec.ts";
import type { NetlinkSocket } from "./socket.ts";

/** struct genlmsghdr: command, version, reserved. */
export const GENLMSGHDR = { size: 4, command: 0, version: 1 } as const;
const GENL_ID_CTRL = 16;
const CTRL_VERSION = 2;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR = { FAMILY_ID: 1, FAMILY_NAME: 2, VERSION: 3 } as const;

export interface GenericFamily {
  /** The message type of the family's requests. */
  readonly id: number;
  readonly version: number;
}

/** undefined: the kernel does not have it, or its module is not loaded and cannot be. `socket` is one of NETLINK_GENERIC. @throws {NetlinkError} */
export function resolveFamily(socket: NetlinkSocket, name: string): GenericFamily | undefined {
  const writer = genericRequest({ id: GENL_ID_CTRL, version: CTRL_VERSION }, CTRL_CMD_GETFAMILY, NLM_F.REQUEST);
  writer.attributeText(CTRL_ATTR.FAMILY_NAME, name);
  try {
    return socket.ask(writer, { call: "CTRL_CMD_GETFAMILY", object: name }, decodeFamily);
  } catch (thrown) {
    if (isSystemError(thrown, "ENOENT")) return undefined;
    throw thrown;
  }
}

/** A request to a family, ready for its attributes. */
export function genericRequest(family: GenericFamily, command: number, flags: number): MessageWriter {
  return new MessageWriter(family.id, flags).u8(command).u8(family.version).u16(0);
}

function decodeFamily(message: Message): GenericFamily | undefined {
  const attributes = Attributes.of(message, GENLMSGHDR.size);
  const id = attributes.u16(CTRL_ATTR.FAMILY_ID);
  return id === undefined ? undefined : { id, version: attributes.u32(CTRL_ATTR.VERSION) ?? 0 };
}
