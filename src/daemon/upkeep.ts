// SPDX-License-Identifier: Apache-2.0
// What the supervisor keeps as it should be, in the order in which one thing needs the other.
import { hostAddresses } from "../host/underlay.ts";
import type { Mesh } from "../mesh/mesh.ts";
import { formatCidr } from "../net/cidr.ts";
import type { Overlay } from "../overlay/paths.ts";
import { systemClock } from "../runtime/clock.ts";
import type { Counter } from "../runtime/counters.ts";
import type { Log } from "../runtime/log.ts";
import type { AttachmentParts } from "./attachments.ts";
import { type DnsBackendParts, nameSweeper } from "./dns-backend.ts";
import type { HostWireguard } from "./host-wireguard.ts";
import type { KernelPlane } from "./kernel-plane.ts";
import type { DockerPlugin } from "./plugin.ts";
import { Supervisor } from "./supervisor.ts";
import type { Tidier } from "./tidy.ts";

/** A pass needs code that nothing else does, a fifth of all that is resident; it is given back behind the pass, but not after each of many. */
const TIDY_MS = 25_000;

export function createSupervisor(parts: {
  readonly kernel: KernelPlane;
  readonly overlay: Overlay;
  readonly wireguard: HostWireguard;
  readonly attachments: AttachmentParts;
  readonly plugin: DockerPlugin | undefined;
  readonly dns: DnsBackendParts | undefined;
  readonly mesh: Mesh;
  readonly log: Log;
  readonly repairs: Counter;
  readonly tidier: Tidier;
}): Supervisor {
  const { kernel, overlay, wireguard, attachments, plugin, dns, mesh, log, repairs, tidier } = parts;
  const sweep = dns && nameSweeper(dns, log);
  let underlay = underlaySignature(kernel);
  let tidiedAt = systemClock.now();
  return new Supervisor({
    clock: systemClock,
    log,
    repairs,
    async repair() {
      const { repaired } = kernel.repair();
      const written = overlay.reapply();
      if (written > 0) repaired.push(`${written} entries of the switch's maps`);
      repaired.push(...(await attachments.attacher.reconcile()), ...(await attachments.exposer.reconcile()));
      repaired.push(...attachments.bridges.reconcile());
      repaired.push(...(plugin?.repair() ?? []));
      sweep?.();
      await dns?.dns.look();
      if (systemClock.now() - tidiedAt >= TIDY_MS) {
        tidier.tidy();
        tidiedAt = systemClock.now();
      }
      // Last: when its name or port was taken by somebody, all else is mended all the same.
      return [...repaired, ...wireguard.repair()];
    },
    underlayChanged() {
      const before = underlay;
      underlay = underlaySignature(kernel);
      if (underlay === before) return;
      void dns?.dns.look();
      mesh.networkChanged();
      overlay.networkChanged();
    },
  });
}

/** Addresses of this host's own links: what of the underlay matters to connections. */
function underlaySignature(kernel: KernelPlane): string {
  return hostAddresses(kernel.links)
    .map(({ cidr, linkName }) => `${linkName} ${formatCidr(cidr)}`)
    .sort()
    .join();
}
