// SPDX-License-Identifier: Apache-2.0
// One offload of a link as it is now, by the ioctl every kernel has (linux/ethtool.h).
import { addressOf, allocate, writeWord } from "../ffi.ts";
import { close, ioctl } from "./fd.ts";
import { AF } from "./sockaddr.ts";
import { SOCK, socket } from "./socket.ts";
import { IFREQ } from "./tun.ts";

/** linux/sockios.h */
export const SIOCETHTOOL = 0x8946;
/** struct ethtool_value, linux/ethtool.h */
export const ETHTOOL_VALUE = { size: 8, cmd: 0, data: 4 } as const;
/** Commands that read a flag, linux/ethtool.h */
export const ETHTOOL_FLAGS = { GGSO: 0x23, GGRO: 0x2b } as const;

/** Of a link of the thread's namespace. @throws {SystemError} EOPNOTSUPP: this link has no such thing */
export function readOffload(link: string, flag: keyof typeof ETHTOOL_FLAGS): boolean {
  const value = allocate(ETHTOOL_VALUE.size);
  const valueView = new DataView(value.buffer);
  valueView.setUint32(ETHTOOL_VALUE.cmd, ETHTOOL_FLAGS[flag], true);
  const request = allocate(IFREQ.size);
  request.set(Buffer.from(link, "utf8").subarray(0, 15), IFREQ.name);
  writeWord(new DataView(request.buffer), IFREQ.flags, Number(addressOf(value))); // ifr_data lies where the flags do, in the union
  const fd = socket(AF.INET, SOCK.DGRAM, 0);
  try {
    ioctl(fd, SIOCETHTOOL, request, "SIOCETHTOOL", link);
  } finally {
    close(fd);
  }
  return valueView.getUint32(ETHTOOL_VALUE.data, true) !== 0;
}
