// SPDX-License-Identifier: Apache-2.0
// Where this shell reaches the Docker API proxy.
import { Unreachable } from "../api/client.ts";
import { MissingFeature } from "../api/contract.ts";
import type { Cli } from "./context.ts";
import { unreachableWords } from "./unreachable.ts";

/** undefined: there is none; why is told. */
export async function proxyAddress(cli: Cli): Promise<string | undefined> {
  try {
    const [first = ""] = (await cli.client().call("proxyAddresses", {})).split("\n");
    return first.replace(/^tcp:\/\/(0\.0\.0\.0|\[::\])(?=:)/, `tcp://${hostOf(cli.env["DOCKER_HOST"] ?? "")}`);
  } catch (thrown) {
    if (thrown instanceof Unreachable) {
      const [message, hint] = unreachableWords(thrown);
      cli.err(`weave: ${message}${hint === "" ? "" : `; ${hint}`}\n`);
    } else if (thrown instanceof MissingFeature) cli.err("weave: there is no Docker API proxy on this host\n");
    else throw thrown;
    return undefined;
  }
}

/** The host on which this shell has its Docker. */
function hostOf(dockerHost: string): string {
  return /^tcp:\/\/(\[[^\]]+\]|[^:/]+)/.exec(dockerHost)?.[1] ?? "127.0.0.1";
}
