// SPDX-License-Identifier: Apache-2.0
// `weave doctor [--json]`: the examination of this host, with the daemon or without it.
import { CHECKS } from "../doctor/checks.ts";
import { examine, isHealthy } from "../doctor/examine.ts";
import { renderFindings } from "../doctor/render.ts";
import { Links } from "../host/links.ts";
import { command, JSON_FLAG } from "./command.ts";
import { EXIT, outJson } from "./context.ts";
import { patientOf } from "./patient.ts";

export const doctor = command({
  name: "doctor",
  summary: "examine this host and say what to mend",
  details: `Looks at the service, the kernel, libraries, disk and clock, the firewall and other programs that have their hands on the network, and at the ways to the other hosts. Changes nothing, and works while the daemon does not run. Each finding is ok, bad, or could not be seen (run it as root).
Exit code 1 when something is bad.`,
  args: { ...JSON_FLAG },
  async run(cli, { json }) {
    using links = Links.open();
    const findings = await examine(await patientOf(cli, links), CHECKS);
    if (json) outJson(cli, { healthy: isHealthy(findings), findings });
    else cli.out(renderFindings(findings));
    return isHealthy(findings) ? EXIT.done : EXIT.failed;
  },
});
