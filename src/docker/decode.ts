// SPDX-License-Identifier: Apache-2.0
// Docker's JSON as our values. Total: a field that is missing or of another type becomes its empty value, except the id, without which nothing is.
import type { Container } from "../attach/ports.ts";
import { UserError } from "../runtime/errors.ts";

export interface RunningContainer {
  readonly id: string;
  readonly name: string;
}

/** What makes an attachment appear or vanish. */
export interface ContainerEvent {
  readonly action: "create" | "start" | "die" | "destroy";
  readonly id: string;
  /** Nanoseconds since 1970, as Docker gives it; for resuming the stream. */
  readonly timeNs: bigint;
}

/** @throws {UserError} the answer describes no container */
export function decodeContainer(answer: unknown): Container {
  const root = fields(answer);
  const [state, config, host] = [fields(root["State"]), fields(root["Config"]), fields(root["HostConfig"])];
  const id = text(root["Id"]);
  if (!/^[0-9a-f]{12,64}$/.test(id)) throw new UserError("unavailable", "Docker's answer does not describe a container");
  const pid = state["Pid"];
  return {
    id,
    name: text(root["Name"]).replace(/^\//, "") || id.slice(0, 12),
    pid: typeof pid === "number" && Number.isInteger(pid) && pid > 0 ? pid : 0,
    running: state["Running"] === true,
    hostNetwork: text(host["NetworkMode"]) === "host",
    hostname: text(config["Hostname"]),
    domain: text(config["Domainname"]),
    hostsFile: text(root["HostsPath"]) || undefined,
  };
}

export function decodeRunning(answer: unknown): readonly RunningContainer[] {
  if (!Array.isArray(answer)) return [];
  return answer.flatMap((entry: unknown) => {
    const { Id, Names } = fields(entry);
    const name = Array.isArray(Names) ? text(Names[0]).replace(/^\//, "") : "";
    return text(Id) === "" ? [] : [{ id: text(Id), name: name || text(Id).slice(0, 12) }];
  });
}

/** One line of the event stream; undefined: of no interest, or not readable. */
export function decodeEvent(line: string): ContainerEvent | undefined {
  const event = fields(parseJson(line));
  const action = text(event["Action"] ?? event["status"]);
  const id = text(fields(event["Actor"])["ID"]) || text(event["id"]);
  const time = /"timeNano":\s*(\d{1,19})/.exec(line)?.[1]; // above 2^53, so not through JSON
  if ((event["Type"] ?? "container") !== "container" || id === "" || time === undefined) return undefined;
  return action === "create" || action === "start" || action === "die" || action === "destroy"
    ? { action, id, timeNs: BigInt(time) }
    : undefined;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (thrown) {
    if (thrown instanceof SyntaxError) return undefined;
    throw thrown;
  }
}

export function fields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
