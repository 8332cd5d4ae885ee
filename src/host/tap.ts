// SPDX-License-Identifier: Apache-2.0
// A tap on the bridge for a virtual machine. It has one queue and a virtio-net header: what `qemu -netdev tap,ifname=NAME,script=no` opens without
// further options (a tap with several queues can be opened only by who asks for several). It stays while no hypervisor has it open.
import { createTap } from "../../native/libc/tun.ts";
import type { TapPlan } from "../attach/ports.ts";
import { UserError } from "../runtime/errors.ts";
import type { Link, Links } from "./links.ts";
import { enterNetns, type Netns } from "./netns.ts";

export interface TapPlace {
  readonly bridge: Link;
  /** Namespace of the bridge; undefined: the calling thread's. */
  readonly home: Netns | undefined;
  /** Called before each change of the kernel. */
  readonly step: (step: string) => void;
}

/** Makes the tap if it does not exist. @throws {UserError} conflict: the name belongs to another kind of link */
export function ensureTap(host: Links, plan: TapPlan, { bridge, home, step }: TapPlace): Link {
  const before = host.get(plan.hostLink);
  if (before?.kind === "tun") return before;
  if (before)
    throw new UserError(
      "conflict",
      `'${plan.hostLink}' is a ${before.kind || "hardware"} link, not a tap`,
      "choose another name",
    );
  step("make the tap");
  createTapIn(home, plan.hostLink);
  const made = host.get(plan.hostLink);
  if (!made) throw new Error(`tap '${plan.hostLink}' vanished as soon as it was made`);
  step("settings of the tap");
  // The ioctl that makes a tap takes no MAC, so this follows at once, while the tap is off the bridge and switched off.
  host.change(made.index, { mac: plan.hostMac, mtuBytes: bridge.mtuBytes });
  return host.get(plan.hostLink) ?? made;
}

function createTapIn(home: Netns | undefined, name: string): void {
  using _inside = home && enterNetns(home);
  createTap(name);
}
