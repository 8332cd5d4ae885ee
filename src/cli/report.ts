// SPDX-License-Identifier: Apache-2.0
// `weave report [-f TEMPLATE]`
import { Unreachable } from "../api/client.ts";
import { shownConfig } from "../config/load.ts";
import { UsageError } from "./args.ts";
import { command } from "./command.ts";
import { type Cli, EXIT, outJson } from "./context.ts";
import { readOnlyClient } from "./read-only.ts";

export const report = command({
  name: "report",
  summary: "print everything as JSON, or through a Go template",
  details: `The template is evaluated over what the JSON shows, for example:
  weave report -f '{{range .Router.Connections}}{{.Address}} {{.State}}{{"\\n"}}{{end}}'
  weave report -f '{{json .Router.Peers}}'
While no daemon answers, JSON with the options it would have and what doctor finds is printed, and the exit code is 7.`,
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
    try {
      const { text } = await readOnlyClient(cli, (client) => client.call("report", request));
      cli.out(text);
      return EXIT.done;
    } catch (thrown) {
      const isOurs = (cli.env["WEAVE_HTTP_ADDR"] ?? "") === "";
      if (thrown instanceof Unreachable && thrown.why !== "denied" && template === undefined && isOurs) await reportWithout(cli);
      throw thrown;
    }
  },
});

/** What can be known of this host while its daemon does not answer. */
async function reportWithout(cli: Cli): Promise<void> {
  const { patientOf } = await import("./patient.ts");
  const { CHECKS } = await import("../doctor/checks.ts");
  const { examine } = await import("../doctor/examine.ts");
  const { Links } = await import("../host/links.ts");
  using links = Links.open();
  const patient = await patientOf(cli, links);
  const findings = await examine(patient, CHECKS);
  outJson(cli, { version: cli.version, daemon: patient.daemon.state, config: shownConfig(patient.config), findings });
}
