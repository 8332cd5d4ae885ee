// SPDX-License-Identifier: Apache-2.0
// What a link may leave to the device behind it: features by name, as `ethtool -K` has them (linux/ethtool_netlink.h, since 5.7).
import { isSystemError } from "../errno.ts";
import { NLM_F } from "./codec.ts";
import { type GenericFamily, genericRequest } from "./generic.ts";
import type { NetlinkSocket } from "./socket.ts";

export const ETHTOOL_GENL_NAME = "ethtool";
export const ETHTOOL_MSG = { FEATURES_SET: 12 } as const;
export const ETHTOOL_A_HEADER = { DEV_INDEX: 1, FLAGS: 3 } as const;
export const ETHTOOL_FLAG = { OMIT_REPLY: 2 } as const;
export const ETHTOOL_A_FEATURES = { HEADER: 1, WANTED: 3 } as const;
export const ETHTOOL_A_BITSET = { BITS: 3 } as const;
export const ETHTOOL_A_BITSET_BITS = { BIT: 1 } as const;
export const ETHTOOL_A_BITSET_BIT = { NAME: 2 } as const;

/** False: this kernel does not know one of the names, or cannot be asked; nothing was changed then. @throws {NetlinkError} */
export function switchFeaturesOff(
  socket: NetlinkSocket,
  family: GenericFamily,
  linkIndex: number,
  names: readonly string[],
): boolean {
  const writer = genericRequest(family, ETHTOOL_MSG.FEATURES_SET, NLM_F.REQUEST | NLM_F.ACK);
  writer.nested(ETHTOOL_A_FEATURES.HEADER, () => {
    writer.attributeU32(ETHTOOL_A_HEADER.DEV_INDEX, linkIndex).attributeU32(ETHTOOL_A_HEADER.FLAGS, ETHTOOL_FLAG.OMIT_REPLY);
  });
  // A bit that is named without a value is to be off; those not named stay.
  writer.nested(ETHTOOL_A_FEATURES.WANTED, () => {
    writer.nested(ETHTOOL_A_BITSET.BITS, () => {
      for (const name of names) {
        writer.nested(ETHTOOL_A_BITSET_BITS.BIT, () => writer.attributeText(ETHTOOL_A_BITSET_BIT.NAME, name));
      }
    });
  });
  try {
    socket.request(writer, { call: "ETHTOOL_MSG_FEATURES_SET", object: `link ${linkIndex}` });
    return true;
  } catch (thrown) {
    if (isSystemError(thrown, "EOPNOTSUPP", "EINVAL")) return false;
    throw thrown;
  }
}
