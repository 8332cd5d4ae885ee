// SPDX-License-Identifier: Apache-2.0
// Persistent tap devices, for virtual machines: the hypervisor opens the device by its name later.
import { allocate } from "../ffi.ts";
import { close, ioctl, O, open } from "./fd.ts";

// linux/if_tun.h, asm-generic/ioctl.h
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
/** struct ifreq, net/if.h */
export const IFREQ = { size: 40, name: 0, flags: 16 } as const;

/** Makes a tap device in the thread's namespace that stays when its descriptor is closed. @throws {SystemError} EBUSY: it exists and is open; EINVAL: `name` is another kind of link */
export function createTap(name: string): void {
  const request = allocate(IFREQ.size);
  request.set(Buffer.from(name, "utf8").subarray(0, 15), IFREQ.name);
  new DataView(request.buffer).setUint16(IFREQ.flags, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, true);
  const fd = open("/dev/net/tun", O.RDWR);
  try {
    ioctl(fd, TUNSETIFF, request, "TUNSETIFF", name);
    persist(fd, name);
  } finally {
    close(fd);
  }
}

// TUNSETPERSIST takes its flag in the pointer's place: any address that is not NULL means yes.
function persist(fd: number, name: string): void {
  ioctl(fd, TUNSETPERSIST, allocate(4), "TUNSETPERSIST", name);
}
