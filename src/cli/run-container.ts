// SPDX-License-Identifier: Apache-2.0
// `weave run [<addr>...] <docker run args>`: the way containers were started before there was a proxy. Prints the id.

import { MissingFeature } from "../api/contract.ts";
import { isAddressWord } from "./addresses.ts";
import { UsageError } from "./args.ts";
import { command } from "./command.ts";
import { type Cli, EXIT } from "./context.ts";
import { docker } from "./docker-client.ts";

export const run = command({
  name: "run",
  summary: "start a container on the network",
  usage: ["[flags] [<address>...] <docker run args>"],
  details: "The container starts in the background. Addresses stand before what docker run takes. Prints its id.",
  args: {
    word: { type: "positional", required: false, multiple: true, description: "addresses, then the words of docker run" },
    "without-dns": { type: "boolean", description: "no name server, and not known by name" },
    "no-rewrite-hosts": { type: "boolean", description: "leave the container's /etc/hosts as it is" },
    "no-multicast-route": { type: "boolean", description: "no route for multicast through the interface" },
  },
  // What follows is Docker's: its flags are not ours to read.
  translate: (cli, argv) => {
    let at = 0;
    const own: string[] = [];
    for (; at < argv.length; at++) {
      const word = argv[at] ?? "";
      if (word === "--with-dns") cli.err("weave run: '--with-dns' is ignored: it has no meaning any more\n");
      else if (/^--(help|without-dns|no-rewrite-hosts|no-multicast-route)$/.test(word) || isAddressWord(word)) own.push(word);
      else break;
    }
    return [...own, "--", ...argv.slice(at)];
  },
  async run(cli, args) {
    const first = args.word.findIndex((word) => !isAddressWord(word));
    if (first < 0) throw new UsageError("there is nothing to run");
    const addresses = args.word.slice(0, first);
    const dns = args["without-dns"] ? [] : await dnsFlags(cli);
    const id = await docker(cli, "run", "-d", ...dns, "-e", "WEAVE_CIDR=none", ...args.word.slice(first));
    try {
      const { warnings = [] } = await cli.client().call("attach", {
        target: `container:${id}`,
        tap: false,
        addresses,
        noMulticastRoute: args["no-multicast-route"],
        noSpoofCheck: false,
        rewriteHosts: !args["no-rewrite-hosts"],
        addHosts: [],
        withoutDns: args["without-dns"],
      });
      for (const warning of warnings) cli.err(`weave run: warning: ${warning}\n`);
    } catch (thrown) {
      await docker(cli, "kill", id);
      throw thrown;
    }
    cli.out(`${id}\n`);
    return EXIT.done;
  },
});

async function dnsFlags(cli: Cli): Promise<readonly string[]> {
  try {
    const [address, domain] = [await cli.client().call("dnsAddress", {}), await cli.client().call("dnsDomain", {})];
    return [`--dns=${address}`, `--dns-search=${domain}`];
  } catch (thrown) {
    if (thrown instanceof MissingFeature) return [];
    throw thrown;
  }
}
