// SPDX-License-Identifier: Apache-2.0
// `weave dns-lookup <name>`
import { lookup } from "../host/dns-lookup.ts";
import { parseIpPort } from "../net/endpoint.ts";
import { UserError } from "../runtime/errors.ts";
import { command, JSON_FLAG } from "./command.ts";
import { EXIT, outJson } from "./context.ts";

export const dnsLookup = command({
  name: "dns-lookup",
  summary: "ask this host's name server",
  details: "Prints the addresses, one a line; nothing for a name that is not known. The domain of the network may be left out.",
  args: {
    name: { type: "positional", required: true, description: "the name" },
    ...JSON_FLAG,
  },
  async run(cli, { name, json }) {
    const server = parseIpPort(await cli.client().call("dnsAddressPort", {}));
    if (!server) throw new UserError("unavailable", "the daemon does not say where names are answered");
    const addresses = await lookup(name, server, cli.clock);
    if (json) outJson(cli, { addresses });
    else cli.out(addresses.map((address) => `${address}\n`).join(""));
    return EXIT.done;
  },
});
