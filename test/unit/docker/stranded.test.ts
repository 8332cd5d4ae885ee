// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { decodeDetails } from "../../../src/docker/details.ts";
import { Stranded } from "../../../src/docker/stranded.ts";
import { UserError } from "../../../src/runtime/errors.ts";
import { createLog } from "../../../src/runtime/log.ts";

const NOT_FOUND = 'plugin "weavemesh" not found';
const silent = createLog({ level: "info", write() {} });
/** Answers as Docker 20.10 did when it was asked for these. */
function dockerWith(stopped: Readonly<Record<string, { readonly policy: string; readonly error: string }>>) {
  const started: string[] = [];
  return {
    started,
    exited: async () => [...Object.keys(stopped), "gone"].map((id) => ({ id, name: id })),
    async details(id: string) {
      const one = stopped[id];
      const answer = {
        Id: id,
        Name: `/${id}`,
        State: { Error: one?.error },
        HostConfig: { RestartPolicy: { Name: one?.policy } },
      };
      return one && decodeDetails(answer);
    },
    async start(id: string): Promise<string | undefined> {
      if (id === "full") return "no address";
      started.push(id);
      return undefined;
    },
  };
}

test("only what has a restart policy and failed for want of our plugin is started", async () => {
  const docker = dockerWith({
    always: { policy: "always", error: NOT_FOUND },
    answered: { policy: "on-failure", error: "IpamDriver.RequestAddress: weave: no address in time" },
    byHand: { policy: "no", error: NOT_FOUND },
    ended: { policy: "always", error: "" },
    other: { policy: "always", error: "driver failed programming external connectivity: port is already allocated" },
  });
  await new Stranded(docker, silent).start();
  expect(docker.started).toEqual(["always", "answered"]);
});

test("why one cannot be started is said once, and keeps no other back; a Docker that has gone is no error", async () => {
  const docker = dockerWith({
    full: { policy: "always", error: NOT_FOUND },
    next: { policy: "unless-stopped", error: NOT_FOUND },
  });
  const lines: string[] = [];
  const log = createLog({ level: "info", write: (_level, line) => lines.push(line) });
  const stranded = new Stranded(docker, log);
  await stranded.start();
  await stranded.start();
  expect(docker.started).toEqual(["next", "next"]);
  expect(lines.filter((line) => line.includes("cannot be started"))).toHaveLength(1);
  const absent = async (): Promise<never> => {
    throw new UserError("unavailable", "Docker does not answer");
  };
  await new Stranded({ exited: absent, details: absent, start: absent }, log).start();
});
