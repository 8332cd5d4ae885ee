// SPDX-License-Identifier: Apache-2.0
// Docker's networks and who is on them, for the plugins' background look.

import { parseCidr } from "../net/cidr.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import type { DockerNetwork, NetworkPlan, PluginContainer, PluginRuntime } from "../plugin/ports.ts";
import { UserError } from "../runtime/errors.ts";
import type { DockerClient } from "./client.ts";
import { fields, list, text } from "./decode.ts";

export class DockerNetworks implements PluginRuntime {
  readonly #client: DockerClient;

  constructor(client: DockerClient) {
    this.#client = client;
  }

  async networks(wanted: (network: DockerNetwork) => boolean): Promise<readonly DockerNetwork[]> {
    const all = list(await this.#client.json("/networks", "list networks")).map(decodeNetwork);
    const found: DockerNetwork[] = [];
    for (const { id } of all.filter(wanted)) {
      const answer = await this.#client.json(`/networks/${encodeURIComponent(id)}`, "inspect a network");
      if (answer !== undefined) found.push(decodeNetwork(answer));
    }
    return found;
  }

  async containerOn(container: string, network: string): Promise<PluginContainer | undefined> {
    const answer = await this.#client.json(`/containers/${encodeURIComponent(container)}/json`, "inspect a container");
    return answer === undefined ? undefined : decodeContainerOn(answer, network);
  }

  async createNetwork({ name, driver, subnet, options }: NetworkPlan): Promise<void> {
    const IPAM = { Driver: driver, Config: [{ Subnet: subnet }] };
    const body = JSON.stringify({ Name: name, CheckDuplicate: true, Driver: driver, IPAM, Options: options });
    await this.#client.send("/networks/create", body, "application/json", `make the network '${name}'`);
  }
}

/** While its driver still answers. Why it stays, in words; undefined: it has gone, or there was none. */
export async function removeNetwork(client: DockerClient, name: string, driver: string): Promise<string | undefined> {
  try {
    const path = `/networks/${encodeURIComponent(name)}`;
    const answer = await client.json(path, "inspect a network");
    const network = answer === undefined ? undefined : decodeNetwork(answer);
    if (network?.driver !== driver) return undefined;
    if (network.endpoints.length === 0) return await client.remove(path);
    return `containers use it: ${network.endpoints.map(({ container }) => container.slice(0, 12)).join(" ")}`;
  } catch (thrown) {
    if (thrown instanceof UserError) return undefined; // no Docker, no network
    throw thrown;
  }
}

function decodeNetwork(answer: unknown): DockerNetwork {
  const root = fields(answer);
  const ipam = fields(root["IPAM"]);
  const configs = list(ipam["Config"]).map(fields);
  const containers = Object.entries(fields(root["Containers"]));
  const endpoints = containers.flatMap(([container, value]) => {
    const id = text(fields(value)["EndpointID"]);
    return id === "" ? [] : [{ id, container }];
  });
  const addresses = [
    ...containers.flatMap(([, value]) => [text(fields(value)["IPv4Address"]), text(fields(value)["IPv6Address"])]),
    ...configs.flatMap((config) => [text(config["Gateway"]), ...Object.values(fields(config["AuxiliaryAddresses"])).map(text)]),
  ];
  return {
    id: text(root["Id"]),
    name: text(root["Name"]),
    driver: text(root["Driver"]),
    ipamDriver: text(ipam["Driver"]),
    subnets: configs.map((config) => text(config["Subnet"])).filter((subnet) => subnet !== ""),
    endpoints,
    addresses: addresses.flatMap(readAddress),
  };
}

function readAddress(written: string): Ip[] {
  const address = parseIp(written) ?? parseCidr(written)?.address;
  return address === undefined ? [] : [address];
}

function decodeContainerOn(answer: unknown, network: string): PluginContainer {
  const root = fields(answer);
  const [state, config] = [fields(root["State"]), fields(root["Config"])];
  const networks = Object.values(fields(fields(root["NetworkSettings"])["Networks"])).map(fields);
  const here = networks.find((one) => text(one["NetworkID"]) === network);
  const pid = state["Pid"];
  // Today's Docker keeps `-h web.weave.local` whole in the host name.
  const host = [text(config["Hostname"]), text(config["Domainname"])].filter((part) => part !== "").join(".");
  const names = [text(root["Name"]).replace(/^\//, ""), ...list(here?.["Aliases"]).map(text)];
  return {
    pid: typeof pid === "number" && Number.isInteger(pid) && pid > 0 ? pid : 0,
    fqdn: host.includes(".") ? host : "",
    names: [...new Set(names)].filter((name) => name !== ""),
  };
}

/** @throws {UserError} unavailable */
export const noDocker: PluginRuntime = {
  networks: absent,
  containerOn: absent,
  createNetwork: absent,
};

async function absent(): Promise<never> {
  throw new UserError("unavailable", "this daemon runs without Docker");
}
