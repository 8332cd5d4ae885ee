// SPDX-License-Identifier: Apache-2.0
// More of a container, and of an image, than attach needs: what the proxy decides by. Total, like `decode.ts`.
import { fields, text } from "./decode.ts";

export interface ContainerDetails {
  readonly id: string;
  readonly name: string;
  readonly running: boolean;
  /** 0: no process (yet). */
  readonly pid: number;
  /** Tells one start from the next. */
  readonly startedAt: string;
  /** Why it could not be started the last time; empty: it could. */
  readonly error: string;
  /** Empty or `no`: Docker never starts it by itself. */
  readonly restartPolicy: string;
  readonly networkMode: string;
  readonly environment: readonly string[];
  readonly entrypoint: readonly string[];
  /** `name:ip`, or `name:host-gateway` */
  readonly extraHosts: readonly string[];
  /** The file on this host behind its /etc/hosts; empty: none. */
  readonly hostsFile: string;
  /** What is mounted: the path inside, and the one on this host. */
  readonly mounts: readonly { readonly inside: string; readonly source: string }[];
}

export interface ImageConfig {
  readonly environment: readonly string[];
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** Empty: none. */
  readonly workingDir: string;
  /** Places at which each container has a volume. */
  readonly volumes: readonly string[];
}

/** undefined: the answer describes no container */
export function decodeDetails(answer: unknown): ContainerDetails | undefined {
  const root = fields(answer);
  const [state, config, host] = [fields(root["State"]), fields(root["Config"]), fields(root["HostConfig"])];
  const id = text(root["Id"]);
  if (id === "") return undefined;
  const pid = state["Pid"];
  return {
    id,
    name: text(root["Name"]).replace(/^\//, "") || id.slice(0, 12),
    running: state["Running"] === true,
    pid: typeof pid === "number" && Number.isInteger(pid) && pid > 0 ? pid : 0,
    startedAt: text(state["StartedAt"]),
    error: text(state["Error"]),
    restartPolicy: text(fields(host["RestartPolicy"])["Name"]),
    networkMode: text(host["NetworkMode"]),
    environment: texts(config["Env"]),
    entrypoint: texts(config["Entrypoint"]),
    extraHosts: texts(host["ExtraHosts"]),
    hostsFile: text(root["HostsPath"]),
    mounts: (Array.isArray(root["Mounts"]) ? root["Mounts"] : []).map((mount: unknown) => {
      const { Destination, Source } = fields(mount);
      return { inside: text(Destination), source: text(Source) };
    }),
  };
}

export function decodeImage(answer: unknown): ImageConfig {
  const config = fields(fields(answer)["Config"]);
  return {
    environment: texts(config["Env"]),
    entrypoint: texts(config["Entrypoint"]),
    command: texts(config["Cmd"]),
    workingDir: text(config["WorkingDir"]),
    volumes: Object.keys(fields(config["Volumes"])),
  };
}

function texts(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
}
