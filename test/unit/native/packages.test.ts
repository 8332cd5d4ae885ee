// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { packageHere } from "../../../native/packages.ts";

const NAMES = { deb: "libpcap0.8", rpm: "libpcap" };

describe("the package of a library", () => {
  const SYSTEMS: readonly (readonly [name: string, osRelease: string, expected: string])[] = [
    ["Debian 12", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n', "libpcap0.8"],
    ["Ubuntu 22.04", 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', "libpcap0.8"],
    ["Linux Mint", "ID=linuxmint\nID_LIKE='ubuntu debian'\n", "libpcap0.8"],
    ["AlmaLinux 9", 'NAME="AlmaLinux"\nID="almalinux"\nID_LIKE="rhel centos fedora"\n', "libpcap"],
    ["RHEL 9", 'ID="rhel"\nID_LIKE="fedora"\n', "libpcap"],
    ["Fedora", "ID=fedora\n", "libpcap"],
    ["another", "ID=arch\n", "libpcap0.8 (Debian, Ubuntu) or libpcap (Fedora, RHEL)"],
    ["nothing", "", "libpcap0.8 (Debian, Ubuntu) or libpcap (Fedora, RHEL)"],
  ];
  for (const [name, osRelease, expected] of SYSTEMS) {
    test(`has its name on ${name}`, () => expect(packageHere(NAMES, osRelease)).toBe(expected));
  }
});
