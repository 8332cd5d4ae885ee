// SPDX-License-Identifier: Apache-2.0
// `weave ping [-c N] [-s BYTES] <peer>`
import { PING_COUNT_MAX, PING_SIZE_MAX } from "../api/ping.ts";
import { renderPing } from "../api/render/ping.ts";
import { UsageError } from "./args.ts";
import { command, JSON_FLAG } from "./command.ts";
import { EXIT, outJson } from "./context.ts";

const DEFAULT_COUNT = 5;

export const ping = command({
  name: "ping",
  summary: "measure every path to a peer",
  details: `A peer is its name, its nickname, or the address of a connection with it. Of a neighbour each path is probed, not only the one in use; its kernel answers, so this works also while its daemon is away. For a peer further away the hops of frames are listed, with what the peers on the way measured. The last line is about the control connections, which may take another way.
With --size each probe is as long as a container's packet of so many bytes, so it tells whether such packets get through; more than the overlay takes is refused.
Exit code 1 when no data path answers.`,
  args: {
    peer: { type: "positional", required: true, description: "name, nickname, or address of a connection" },
    count: {
      type: "string",
      alias: "c",
      valueHint: "N",
      description: `rounds of probes, five in a second (default ${DEFAULT_COUNT})`,
    },
    size: {
      type: "string",
      alias: "s",
      valueHint: "BYTES",
      description: "length of each probe, as of a container's packet",
    },
    ...JSON_FLAG,
  },
  async run(cli, { peer, count = `${DEFAULT_COUNT}`, size, json }) {
    const response = await cli.client().call("ping", {
      peer,
      count: number("count", count, PING_COUNT_MAX),
      sizeBytes: size === undefined ? undefined : number("size", size, PING_SIZE_MAX),
    });
    if (json) outJson(cli, response);
    else cli.out(renderPing(response));
    return response.answered ? EXIT.done : EXIT.failed;
  },
});

function number(flag: string, text: string, max: number): number {
  if (/^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= max) return Number(text);
  throw new UsageError(`invalid value '${text}' for --${flag}`, `it takes a number from 1 to ${max}`);
}
