// SPDX-License-Identifier: Apache-2.0
// `eval $(weave env)` and, to go back, `eval $(weave env --restore)`
import { command } from "./command.ts";
import { EXIT } from "./context.ts";
import { proxyAddress } from "./proxy-address.ts";

export const env = command({
  name: "env",
  summary: "print what makes Docker's clients use the proxy",
  details:
    "For the shell: eval $(weave env). Prints nothing when there is no proxy. What DOCKER_HOST was before is kept for --restore.",
  args: { restore: { type: "boolean", description: "go back to what was used before" } },
  async run(cli, { restore }) {
    const { DOCKER_HOST: now = "", ORIG_DOCKER_HOST: before } = cli.env;
    if (restore) {
      if (before === undefined) {
        cli.err("weave env: there is nothing to restore: ORIG_DOCKER_HOST is not set\n");
        return EXIT.failed;
      }
      cli.out(`DOCKER_HOST=${quoted(before)}\n`);
      return EXIT.done;
    }
    const address = await proxyAddress(cli);
    if (address === undefined) return EXIT.done; // nothing to add is no failure
    const saved = now === address ? "" : `ORIG_DOCKER_HOST=${quoted(now)}`;
    cli.out(`export DOCKER_HOST=${address} ${saved}\n`);
    return EXIT.done;
  },
});

/** It is evaluated by a shell: only what needs it is quoted. */
function quoted(text: string): string {
  return /^[\w./:@[\]-]*$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
