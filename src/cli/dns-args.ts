// SPDX-License-Identifier: Apache-2.0
// `weave dns-args`, for `docker run $(weave dns-args) …`
import { MissingFeature } from "../api/contract.ts";
import { command } from "./command.ts";
import { EXIT } from "./context.ts";

export const dnsArgs = command({
  name: "dns-args",
  summary: "print what makes 'docker run' use the name server",
  details: "Prints nothing when there is no name server on this host.",
  args: {},
  async run(cli) {
    const client = cli.client();
    try {
      const [address, domain] = [await client.call("dnsAddress", {}), await client.call("dnsDomain", {})];
      const { DNS_ADDRESS = address, DNS_DOMAIN = domain } = cli.env;
      cli.out(`--dns=${DNS_ADDRESS} --dns-search=${DNS_DOMAIN}`);
    } catch (thrown) {
      if (!(thrown instanceof MissingFeature)) throw thrown;
    }
    return EXIT.done;
  },
});
