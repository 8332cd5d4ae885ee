// SPDX-License-Identifier: Apache-2.0
// `docker $(weave config) run …`
import { command } from "./command.ts";
import { EXIT } from "./context.ts";
import { proxyAddress } from "./proxy-address.ts";

export const config = command({
  name: "config",
  summary: "print the same as an option of docker",
  details: "For one command: docker $(weave config) run …",
  args: {},
  async run(cli) {
    const address = await proxyAddress(cli);
    if (address === undefined) return EXIT.failed;
    cli.out(`-H=${address}\n`);
    return EXIT.done;
  },
});
