// SPDX-License-Identifier: Apache-2.0
// `weave docker-tls-args`
import { dockerTlsFlags } from "../host/docker-flags.ts";
import { command } from "./command.ts";
import { EXIT } from "./context.ts";

export const dockerTlsArgs = command({
  name: "docker-tls-args",
  summary: "print the TLS flags of the Docker daemon of this host",
  details: "Prints nothing when it has none; exit 1 when none runs.",
  args: {},
  async run(cli) {
    const flags = dockerTlsFlags();
    if (!flags) return EXIT.failed;
    cli.out([...flags].map(([name, value]) => (value === "true" ? `--${name}` : `--${name}=${value}`)).join(" "));
    return EXIT.done;
  },
});
