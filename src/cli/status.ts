// SPDX-License-Identifier: Apache-2.0
// `weave status [targets|connections|peers|ipam|dns]`
import { type ApiClient, Unreachable } from "../api/client.ts";
import { MissingFeature } from "../api/contract.ts";
import { renderConnections } from "../api/render/connections.ts";
import { renderIpam } from "../api/render/ipam.ts";
import { renderNames } from "../api/render/names.ts";
import { renderOverview } from "../api/render/overview.ts";
import { renderPeers } from "../api/render/peers.ts";
import { renderTargets } from "../api/render/targets.ts";
import type { StatusModel } from "../api/status.ts";
import { didYouMean } from "../config/nearest.ts";
import { UserError } from "../runtime/errors.ts";
import { UsageError } from "./args.ts";
import { command, JSON_FLAG } from "./command.ts";
import { type Cli, EXIT, outJson } from "./context.ts";
import { readOnlyClient } from "./read-only.ts";
import { unreachableWords } from "./unreachable.ts";

interface Page {
  text(status: StatusModel): string;
  json(status: StatusModel): object;
}
const PAGES: Readonly<Record<string, Page>> = {
  "": { text: (status) => `\n${renderOverview(status)}\n`, json: (status) => status },
  connections: { text: renderConnections, json: ({ router }) => ({ connections: router.connections }) },
  peers: { text: renderPeers, json: ({ router }) => ({ peers: router.peers }) },
  ipam: { text: ipamText, json: ({ ipam }) => ({ ipam }) },
  targets: { text: renderTargets, json: ({ router }) => ({ targets: router.targets }) },
};

export const status = command({
  name: "status",
  summary: "show how the network is doing",
  usage: ["[flags] [targets | connections | peers | ipam | dns]"],
  details: "Warnings come first. `weave report` has everything, for programs.",
  args: {
    page: { type: "positional", required: false, description: "which part to show; without: an overview" },
    ...JSON_FLAG,
  },
  async run(cli, { page: name = "", json }) {
    if (name === "dns") return await namesPage(cli, json);
    const page = Object.hasOwn(PAGES, name) ? PAGES[name] : undefined;
    if (page === undefined) return noSuchPage(name);
    try {
      const model = await readOnlyClient(cli, (client: ApiClient) => client.call("status", {}));
      if (json) outJson(cli, page.json(model));
      else if (model.ready) cli.out(page.text(model));
      else cli.err(page.text(model));
      if (!model.ready) cli.err("weave status: the daemon is not ready yet\n");
      return model.ready ? EXIT.done : EXIT.failed;
    } catch (thrown) {
      return sayUnreachable(cli, thrown);
    }
  },
});

async function namesPage(cli: Cli, json: boolean): Promise<number> {
  try {
    // The read-only listener has both.
    const { dns, names } = await readOnlyClient(cli, async (client: ApiClient) => ({
      ...(await client.call("status", {})),
      ...(await client.call("names", {})),
    }));
    if (json) outJson(cli, { names });
    else cli.out(renderNames(names, dns?.domain ?? ""));
    return EXIT.done;
  } catch (thrown) {
    if (thrown instanceof MissingFeature)
      throw new UserError("unavailable", "there is no name service on this host", "it runs with --no-dns");
    return sayUnreachable(cli, thrown);
  }
}

function ipamText(status: StatusModel): string {
  if (status.ipam) return renderIpam(status);
  throw new UserError("unavailable", "addresses are not allocated here", "see --ipalloc-range of 'weave launch'");
}

function noSuchPage(name: string): never {
  throw new UsageError(`invalid sub-command '${name}'`, didYouMean(name, [...Object.keys(PAGES), "dns"]));
}

// Every failure of status is 1: monitoring tests for it.
function sayUnreachable(cli: Cli, thrown: unknown): number {
  if (!(thrown instanceof Unreachable)) throw thrown;
  cli.err(`weave status: ${unreachableWords(thrown).join("; ")}\n`);
  return EXIT.failed;
}
