// SPDX-License-Identifier: Apache-2.0
// `weave detach [<addr>...] <container>`, `weave detach --tap NAME [<addr>...]`
import { ADDRESS_HELP, printAddresses, splitTarget } from "./addresses.ts";
import { command, JSON_FLAG } from "./command.ts";
import { EXIT } from "./context.ts";

export const detach = command({
  name: "detach",
  summary: "take addresses, or all, from it again",
  usage: ["[flags] [<address>...] <container>", "[flags] --tap NAME [<address>...]"],
  details: `${ADDRESS_HELP}
The interface goes with its last address. Detaching what is not attached is no error. Prints the addresses taken away.`,
  args: {
    word: { type: "positional", required: false, multiple: true, description: "addresses, then the container" },
    tap: { type: "string", valueHint: "NAME", description: "the tap device of a VM instead of a container" },
    ...JSON_FLAG,
  },
  async run(cli, args) {
    const { target, addresses } = args.tap === undefined ? splitTarget(args.word) : { target: args.tap, addresses: args.word };
    printAddresses(cli, "detach", await cli.client().call("detach", { target, tap: args.tap !== undefined, addresses }), args);
    return EXIT.done;
  },
});
