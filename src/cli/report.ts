// SPDX-License-Identifier: Apache-2.0
// `weave report [-f TEMPLATE]`
import { UsageError } from "./args.ts";
import { command } from "./command.ts";
import { EXIT } from "./context.ts";
import { readOnlyClient } from "./read-only.ts";

export const report = command({
  name: "report",
  summary: "print everything as JSON, or through a Go template",
  details: `The template is evaluated over what the JSON shows, for example:
  weave report -f '{{range .Router.Connections}}{{.Address}} {{.State}}{{"\\n"}}{{end}}'
  weave report -f '{{json .Router.Peers}}'`,
  args: {
    format: {
      type: "string",
      alias: "f",
      valueHint: "TEMPLATE",
      description: "Go text/template; the function json prints any part",
    },
    json: { type: "boolean", description: "print JSON, as without any flag" },
  },
  async run(cli, { format: template, json }) {
    if (json && template !== undefined) throw new UsageError("--json and --format exclude each other");
    const request = template === undefined ? ({ as: "json" } as const) : ({ as: "template", template } as const);
    const { text } = await readOnlyClient(cli, (client) => client.call("report", request));
    cli.out(text);
    return EXIT.done;
  },
});
