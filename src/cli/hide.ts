// SPDX-License-Identifier: Apache-2.0
// `weave hide [<addr>...]`
import { ADDRESS_HELP, printAddresses } from "./addresses.ts";
import { command, JSON_FLAG } from "./command.ts";
import { EXIT } from "./context.ts";

export const hide = command({
  name: "hide",
  summary: "take addresses from this host again",
  details: `${ADDRESS_HELP}
Prints the addresses. Hiding what is not exposed is no error.`,
  args: {
    address: { type: "positional", required: false, multiple: true, description: "any number of addresses" },
    ...JSON_FLAG,
  },
  async run(cli, args) {
    printAddresses(cli, "hide", await cli.client().call("hide", { addresses: args.address }), args);
    return EXIT.done;
  },
});
