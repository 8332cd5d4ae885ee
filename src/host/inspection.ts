// SPDX-License-Identifier: Apache-2.0
// What of this machine is only looked at: libraries, the clock's state, offloads, the managers of links. Nothing here changes anything.
import { existsSync, readFileSync } from "node:fs";
import { isSystemError } from "../../native/errno.ts";
import { MissingLibraryError } from "../../native/ffi.ts";
import { libbpf } from "../../native/libbpf/symbols.ts";
import { isClockSynchronised } from "../../native/libc/clock.ts";
import { readOffload } from "../../native/libc/offloads.ts";
import { libnftables } from "../../native/libnftables/symbols.ts";
import { libpcap } from "../../native/libpcap/symbols.ts";
import { libsodium } from "../../native/libsodium/symbols.ts";
import { whyNoWireguard } from "./wireguard-link.ts";

export interface LibraryState {
  readonly name: string;
  /** The one that is used, for people; undefined: none can be. */
  readonly found: string | undefined;
  /** Why none can be used, without the package. */
  readonly missing: string;
  /** What an operator installs. */
  readonly packages: string;
  /** Only a part of weave needs it. */
  readonly isOptional: boolean;
}

/** Opens each of them as the daemon would. */
export function libraryStates(): readonly LibraryState[] {
  return Object.entries({ libbpf, libpcap, libsodium, libnftables }).map(([name, load]) => {
    const isOptional = name === "libnftables";
    try {
      const { soname, isOwnCopy } = load();
      return { name, found: isOwnCopy ? `${soname} (weave's own copy)` : soname, missing: "", packages: "", isOptional };
    } catch (thrown) {
      if (!(thrown instanceof MissingLibraryError)) throw thrown;
      const missing = thrown.message.replace(`; install ${thrown.packages}`, "");
      return { name, found: undefined, missing, packages: thrown.packages, isOptional };
    }
  });
}

/** Why this kernel cannot have WireGuard; undefined: it can. */
export function wireguardState(): string | undefined {
  try {
    return whyNoWireguard();
  } catch (thrown) {
    if (isSystemError(thrown)) return `unknown: ${thrown.message}`;
    throw thrown;
  }
}

/** Whether somebody keeps the kernel's clock right. undefined: this process may not ask. */
export function clockIsSynchronised(): boolean | undefined {
  return unlessRefused(isClockSynchronised);
}

/** Segments joined on arrival, and cut only when sent. undefined: this link has no such thing. */
export function mergesSegments(link: string): { readonly receive: boolean; readonly send: boolean } | undefined {
  return unlessRefused(() => ({ receive: readOffload(link, "GGRO"), send: readOffload(link, "GGSO") }));
}

function unlessRefused<Answer>(ask: () => Answer): Answer | undefined {
  try {
    return ask();
  } catch (thrown) {
    if (isSystemError(thrown, "EPERM", "EOPNOTSUPP", "ENODEV")) return undefined;
    throw thrown;
  }
}

/** Where systemd-networkd and NetworkManager tell what they do with a link, by its index. */
const MANAGERS = [
  { name: "systemd-networkd", folder: "/run/systemd/netif/links", isIdle: /^ADMIN_STATE=(unmanaged|initialized|pending)$/m },
  { name: "NetworkManager", folder: "/run/NetworkManager/devices", isIdle: /^managed=(unmanaged|unknown|ignore)?$/m },
] as const;

export interface LinkManager {
  readonly manager: string;
  /** Names of the links it configures. */
  readonly links: readonly string[];
}

/** The managers that run here, and which of `links` each of them thinks its own. */
export function linkManagers(links: readonly { readonly index: number; readonly name: string }[]): readonly LinkManager[] {
  return MANAGERS.filter(({ folder }) => existsSync(folder)).map(({ name: manager, folder, isIdle }) => {
    const taken = links.filter(({ index }) => {
      const path = `${folder}/${index}`;
      return existsSync(path) && !isIdle.test(readFileSync(path, "utf8"));
    });
    return { manager, links: taken.map(({ name }) => name) };
  });
}
