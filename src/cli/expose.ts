// SPDX-License-Identifier: Apache-2.0
// `weave expose [<addr>...] [-h <fqdn>] [--without-masquerade]`
import { ADDRESS_HELP, printAddresses } from "./addresses.ts";
import { command, JSON_FLAG } from "./command.ts";
import { EXIT } from "./context.ts";

export const expose = command({
  name: "expose",
  summary: "give this host itself addresses on the network",
  details: `${ADDRESS_HELP}
With masquerading, other machines may use this host as their router to the network, and containers as theirs to the outside, when the kernel forwards: sysctl -w net.ipv4.ip_forward=1 (net.ipv6.conf.all.forwarding=1).
Without an address one in the default subnet is chosen. Prints the addresses. Exposing again is no error.`,
  args: {
    address: { type: "positional", required: false, multiple: true, description: "any number of addresses" },
    fqdn: { type: "string", alias: "h", valueHint: "NAME", description: "make them known by this name" },
    "without-masquerade": {
      type: "boolean",
      description: "keep the source addresses of traffic that leaves or enters the network",
    },
    ...JSON_FLAG,
  },
  async run(cli, args) {
    const name = args.fqdn === undefined ? {} : { fqdn: args.fqdn };
    const request = { addresses: args.address, masquerade: !args["without-masquerade"], ...name };
    printAddresses(cli, "expose", await cli.client().call("expose", request), args);
    return EXIT.done;
  },
});
