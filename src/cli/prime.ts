// SPDX-License-Identifier: Apache-2.0
// `weave prime`
import { command } from "./command.ts";
import { EXIT } from "./context.ts";

export const prime = command({
  name: "prime",
  summary: "wait until addresses can be allocated",
  details: "The peers agree on how to share addresses out, which needs most of them. Returns at once when that is done.",
  args: {},
  async run(cli) {
    await cli.client().call("prime", {});
    return EXIT.done;
  },
});
