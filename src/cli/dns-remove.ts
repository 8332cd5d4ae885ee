// SPDX-License-Identifier: Apache-2.0
// `weave dns-remove [<ip>...] <container> [-h <fqdn>]`, `weave dns-remove <ip>... -h <fqdn>`
import { UsageError } from "./args.ts";
import { command } from "./command.ts";
import { EXIT, outJson } from "./context.ts";
import { NAME_ARGS, NAME_USAGE, readNameWords } from "./name-words.ts";

export const dnsRemove = command({
  name: "dns-remove",
  summary: "take names back",
  usage: NAME_USAGE,
  details: `Of a container: all its names, or those at the addresses given, or only NAME. Without a container: those that were added without one.`,
  args: NAME_ARGS,
  async run(cli, { word, fqdn = "", json }) {
    const request = readNameWords(word, fqdn);
    if (word.length === 0 && fqdn === "") throw new UsageError("<container>, <ip> or -h <fqdn> is missing");
    const response = await cli.client().call("dnsRemove", request);
    for (const warning of response.warnings) cli.err(`weave dns-remove: warning: ${warning}\n`);
    if (json) outJson(cli, response);
    return EXIT.done;
  },
});
