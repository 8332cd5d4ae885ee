// SPDX-License-Identifier: Apache-2.0
// All there is to look at, in the order in which what is well is shown.
import type { Check } from "./examine.ts";
import { firewall } from "./firewall-checks.ts";
import { disk, kernel, libraries, time, wireguard } from "./machine-checks.ts";
import { forwarding, managers, mtu, offloads, reversePath } from "./network-checks.ts";
import { connections, identity, ports } from "./peer-checks.ts";
import { configuration, health, jit, listening, service } from "./service-checks.ts";

export const CHECKS: readonly Check[] = [
  service,
  configuration,
  listening,
  health,
  jit,
  libraries,
  kernel,
  wireguard,
  disk,
  time,
  identity,
  connections,
  ports,
  mtu,
  firewall,
  managers,
  forwarding,
  reversePath,
  offloads,
];
