// SPDX-License-Identifier: Apache-2.0
// `weave ping [-c N] <peer>`
import { PING_COUNT_MAX } from "../api/ping.ts";
import { renderPing } from "../api/render/ping.ts";
import { UsageError } from "./args.ts";
import { command, JSON_FLAG } from "./command.ts";
import { EXIT, outJson } from "./context.ts";

const DEFAULT_COUNT = 5;

export const ping = command({
  name: "ping",
  summary: "measure every path to a peer",
  details: `A peer is its name, its nickname, or the address of a connection with it. Of a neighbour each path is probed, not only the one in use; its kernel answers, so this works also while its daemon is away. For a peer further away the hops of frames are listed, with what the peers on the way measured. The last line is about the control connections, which may take another way.
Exit code 1 when no data path answers.`,
  args: {
    peer: { type: "positional", required: true, description: "name, nickname, or address of a connection" },
    count: {
      type: "string",
      alias: "c",
      valueHint: "N",
      description: `rounds of probes, five in a second (default ${DEFAULT_COUNT})`,
    },
    ...JSON_FLAG,
  },
  async run(cli, { peer, count = `${DEFAULT_COUNT}`, json }) {
    if (!/^\d{1,3}$/.test(count) || Number(count) < 1 || Number(count) > PING_COUNT_MAX) {
      throw new UsageError(`invalid value '${count}' for --count`, `it takes a number from 1 to ${PING_COUNT_MAX}`);
    }
    const response = await cli.client().call("ping", { peer, count: Number(count) });
    if (json) outJson(cli, response);
    else cli.out(renderPing(response));
    return response.answered ? EXIT.done : EXIT.failed;
  },
});
