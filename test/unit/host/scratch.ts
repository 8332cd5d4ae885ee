// SPDX-License-Identifier: Apache-2.0
// Network namespaces for one test: without a name, so nothing is left behind however the test ends.
import { close, O, open } from "../../../native/libc/fd.ts";
import { CLONE, geteuid, setns, unshare } from "../../../native/libc/process.ts";
import { Links } from "../../../src/host/links.ts";
import { Netns } from "../../../src/host/netns.ts";
import { type Mac, macFromNumber } from "../../../src/net/mac.ts";

export const isRoot = geteuid() === 0;

export class ScratchNetns implements Disposable {
  readonly netns: Netns;
  readonly links: Links;
  /** Of use to other processes as long as this one holds it. */
  readonly path: string;

  private constructor(netns: Netns) {
    this.netns = netns;
    this.path = `/proc/${process.pid}/fd/${netns.fd}`;
    this.links = Links.openIn(netns);
  }
  /** Empty but for a loopback that is down. */
  static make(): ScratchNetns {
    const home = open("/proc/thread-self/ns/net", O.RDONLY);
    try {
      unshare(CLONE.NEWNET);
      try {
        return new ScratchNetns(Netns.current());
      } finally {
        setns(home, CLONE.NEWNET, "home");
      }
    } finally {
      close(home);
    }
  }
  /** Runs a command inside and returns what it printed. @throws {Error} it failed */
  run(...command: readonly string[]): string {
    const { exitCode, stdout, stderr } = Bun.spawnSync(["nsenter", `--net=${this.path}`, ...command]);
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
    return stdout.toString();
  }
  [Symbol.dispose](): void {
    this.links[Symbol.dispose]();
    this.netns[Symbol.dispose]();
  }
}

/** A locally administered address that ends in `last`. */
export function testMac(last: number): Mac {
  return macFromNumber(0x0200_0000_0000 + last);
}
