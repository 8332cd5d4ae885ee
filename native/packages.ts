// SPDX-License-Identifier: Apache-2.0
// What a library is called where an operator installs it.
import { existsSync, readFileSync } from "node:fs";

export interface PackageNames {
  /** By apt, on Debian and Ubuntu. */
  readonly deb: string;
  /** By dnf, on Fedora and RHEL. */
  readonly rpm: string;
}

/** The name on this host, or all of them where its kind is not known. */
export function packageHere(names: PackageNames, osRelease = readOsRelease()): string {
  const [, kinds = ""] = /^ID=(.*)$/m.exec(osRelease) ?? [];
  const [, like = ""] = /^ID_LIKE=(.*)$/m.exec(osRelease) ?? [];
  const words = `${kinds} ${like}`.replaceAll(/["']/g, "").split(/\s+/);
  if (words.some((word) => word === "debian" || word === "ubuntu")) return names.deb;
  if (words.some((word) => word === "fedora" || word === "rhel" || word === "centos")) return names.rpm;
  return names.deb === names.rpm ? names.deb : `${names.deb} (Debian, Ubuntu) or ${names.rpm} (Fedora, RHEL)`;
}

/** os-release(5). */
function readOsRelease(): string {
  const path = ["/etc/os-release", "/usr/lib/os-release"].find((one) => existsSync(one));
  return path === undefined ? "" : readFileSync(path, "utf8");
}
