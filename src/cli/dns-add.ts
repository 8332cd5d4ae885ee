// SPDX-License-Identifier: Apache-2.0
// `weave dns-add [<ip>...] <container> [-h <fqdn>]`, `weave dns-add <ip>... -h <fqdn>`
import { UsageError } from "./args.ts";
import { command } from "./command.ts";
import { EXIT, outJson } from "./context.ts";
import { NAME_ARGS, NAME_USAGE, readNameWords } from "./name-words.ts";

export const dnsAdd = command({
  name: "dns-add",
  summary: "make addresses known by a name",
  usage: NAME_USAGE,
  details: `Without addresses those of the container, without a name the container's own. Names of a container go when it ends. Without a container a name lives until dns-remove.`,
  args: NAME_ARGS,
  async run(cli, { word, fqdn = "", json }) {
    const request = readNameWords(word, fqdn);
    if (request.container === "" && fqdn === "") throw new UsageError("<container> or -h <fqdn> is missing");
    if (request.container === "" && request.addresses.length === 0) throw new UsageError("an address is missing");
    const response = await cli.client().call("dnsAdd", request);
    for (const warning of response.warnings) cli.err(`weave dns-add: warning: ${warning}\n`);
    if (json) outJson(cli, response);
    return EXIT.done;
  },
});
