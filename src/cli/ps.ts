// SPDX-License-Identifier: Apache-2.0
// `weave ps [<container>...]`
import { renderPs } from "../api/render/ps.ts";
import { command, JSON_FLAG } from "./command.ts";
import { EXIT, outJson } from "./context.ts";

export const ps = command({
  name: "ps",
  summary: "list what is attached on this host",
  details: `One line per interface: id, MAC, addresses. The host's own addresses come first, as weave:expose. Words that name nothing attached give no line.`,
  args: {
    container: { type: "positional", required: false, multiple: true, description: "only these" },
    ...JSON_FLAG,
  },
  async run(cli, { container: words, json }) {
    const { entries } = await cli.client().call("ps", { words });
    if (json) outJson(cli, { entries });
    else cli.out(renderPs(entries));
    return EXIT.done;
  },
});
