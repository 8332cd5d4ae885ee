// SPDX-License-Identifier: Apache-2.0
// `weave forget <peer>...`
import { command } from "./command.ts";
import { EXIT } from "./context.ts";

export const forget = command({
  name: "forget",
  summary: "no longer try to connect to peers",
  details: "Write each peer as it was given to launch or connect. A connection that stands stays until it breaks.",
  args: { peer: { type: "positional", required: true, multiple: true, description: "host[:port], any number" } },
  async run(cli, { peer: peers }) {
    await cli.client().call("forget", { peers });
    return EXIT.done;
  },
});
