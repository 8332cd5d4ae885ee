// SPDX-License-Identifier: Apache-2.0
// `weave attach [<addr>...] [flags] <container>`, `weave attach --tap NAME [<addr>...]`
import { UserError } from "../runtime/errors.ts";
import { ADDRESS_HELP, printAddresses, splitTarget } from "./addresses.ts";
import { command, JSON_FLAG } from "./command.ts";
import { EXIT } from "./context.ts";

export const attach = command({
  name: "attach",
  summary: "give a container, namespace or VM an interface on the network",
  usage: ["[flags] [<address>...] <container>", "[flags] --tap NAME [<address>...]"],
  details: `${ADDRESS_HELP}
A container is a name or id known to Docker, a process id, or a network namespace by name or path. Attaching again is no error: addresses it lacks are added. Without an address one in the default subnet is chosen. Prints the addresses.`,
  args: {
    word: { type: "positional", required: false, multiple: true, description: "addresses, then the container" },
    tap: { type: "string", valueHint: "NAME", description: "make this tap device on the bridge, for a VM" },
    "without-dns": { type: "boolean", description: "do not make it known by name" },
    "rewrite-hosts": { type: "boolean", description: "write the container's /etc/hosts" },
    "add-host": { type: "string", multiple: true, valueHint: "NAME:IP", description: "one more line there; can be repeated" },
    "no-multicast-route": { type: "boolean", description: "no route for multicast through the interface" },
    "no-spoof-check": { type: "boolean", description: "let it send from any MAC and address (bridges or VMs inside it)" },
    ...JSON_FLAG,
  },
  async run(cli, args) {
    for (const line of args["add-host"]) {
      if (!/^[^:\s]+:[0-9a-fA-F.:]+$/.test(line)) {
        throw new UserError("bad-request", `invalid value '${line}' for --add-host`, "write name:ip");
      }
    }
    if (args["add-host"].length > 0 && !args["rewrite-hosts"]) {
      cli.err("weave attach: warning: --add-host has no effect without --rewrite-hosts\n");
    }
    const { target, addresses } = args.tap === undefined ? splitTarget(args.word) : { target: args.tap, addresses: args.word };
    const response = await cli.client().call("attach", {
      target,
      tap: args.tap !== undefined,
      addresses,
      noMulticastRoute: args["no-multicast-route"],
      noSpoofCheck: args["no-spoof-check"],
      rewriteHosts: args["rewrite-hosts"],
      addHosts: args["add-host"],
      withoutDns: args["without-dns"],
    });
    printAddresses(cli, "attach", response, args);
    return EXIT.done;
  },
});
