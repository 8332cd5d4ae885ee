// SPDX-License-Identifier: Apache-2.0
// IPv6 policy rules of one network namespace: in which table the way to a network is looked up. Part of `Links`, which owns the socket.
import { isSystemError } from "../../native/errno.ts";
import { addRule, deleteRule, listRules6, type Rule as NativeRule } from "../../native/netlink/rule.ts";
import type { NetlinkSocket } from "../../native/netlink/socket.ts";
import type { Cidr } from "../net/cidr.ts";
import { ipBytes, ipFromBytes } from "../net/ip.ts";

export interface Rule {
  /** Lower ones are asked first. */
  readonly priority: number;
  readonly destination: Cidr;
  /** Only packets that came in by this link, `lo` standing for those of the host itself; empty: all. */
  readonly inLink: string;
  /** undefined: there is no way, and the sender is told so. */
  readonly table: number | undefined;
}

export class Rules {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Those for one destination network; undefined: this kernel has no policy routing for IPv6. */
  list(): Rule[] | undefined {
    return listRules6(this.#socket)?.map(({ destination, prefixLength, ...rest }) => ({
      ...rest,
      destination: { address: ipFromBytes(destination), prefixLength },
    }));
  }
  /** False: there was one like it. */
  add(rule: Rule): boolean {
    return accepted(() => addRule(this.#socket, toNative(rule)), "EEXIST");
  }
  /** False: there was none like it. */
  delete(rule: Rule): boolean {
    return accepted(() => deleteRule(this.#socket, toNative(rule)), "ENOENT");
  }
}

function accepted(change: () => void, nothingToDo: "EEXIST" | "ENOENT"): boolean {
  try {
    change();
    return true;
  } catch (thrown) {
    if (isSystemError(thrown, nothingToDo)) return false;
    throw thrown;
  }
}

function toNative({ destination, ...rest }: Rule): NativeRule {
  return { ...rest, destination: ipBytes(destination.address), prefixLength: destination.prefixLength };
}
