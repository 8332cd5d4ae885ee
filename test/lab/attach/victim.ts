// SPDX-License-Identifier: Apache-2.0
// A process that attaches and is killed in the middle: `bun victim.ts HOST-NAMESPACE DATA-DIR TARGET STEP ADDRESS...` ends itself with SIGKILL just before
// STEP. Nothing of it can clean up.
import { Netns } from "../../../src/host/netns.ts";
import { constructParts } from "./world.ts";

const [host = "", dataDir = "", target = "", fatal = "", ...addresses] = process.argv.slice(2);
const { attacher } = constructParts({
  home: Netns.open(`/run/netns/${host}`),
  dataDir,
  bootId: "boot-1",
  runtime: { inspect: async () => undefined },
  firewall: { apply: async () => [], droppingChains: async () => [] },
  switchPorts: { attachPort() {}, detachPort() {} },
  onStep: (step) => {
    if (step === fatal) process.kill(process.pid, "SIGKILL");
  },
});
await attacher.attach({ target, addresses });
