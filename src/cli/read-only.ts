// SPDX-License-Identifier: Apache-2.0
// Reading the status without permission for the API socket: the status listener has the same pages for every user of the host.
import { ApiClient, Unreachable } from "../api/client.ts";
import { OPTIONS } from "../config/options.ts";
import { parseListenAddress } from "../config/values.ts";
import type { Cli } from "./context.ts";

/** Calls `use` with the API's client; when that may not be used by us, with the status listener's. */
export async function readOnlyClient<Result>(cli: Cli, use: (client: ApiClient) => Promise<Result>): Promise<Result> {
  try {
    return await use(cli.client());
  } catch (thrown) {
    if (!(thrown instanceof Unreachable) || thrown.why !== "denied") throw thrown;
    const text = cli.env["WEAVE_STATUS_ADDR"];
    const listen = text === undefined ? OPTIONS.statusAddr.default : parseListenAddress(text);
    if (listen === null || listen === undefined) throw thrown;
    return await use(new ApiClient(listen)).catch((second: unknown) => {
      throw second instanceof Unreachable ? thrown : second;
    });
  }
}
