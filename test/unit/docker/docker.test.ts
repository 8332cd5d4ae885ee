// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { decodeContainer, decodeEvent, decodeRunning } from "../../../src/docker/decode.ts";
import { parseDockerEndpoint } from "../../../src/docker/endpoint.ts";
import { sinceText } from "../../../src/docker/events.ts";

describe("where Docker is", () => {
  test("a socket or a TCP address, in the forms people use", () => {
    expect(parseDockerEndpoint("unix:///run/docker.sock")).toEqual({
      text: "unix:///run/docker.sock",
      socketPath: "/run/docker.sock",
      base: "http://docker",
    });
    expect(parseDockerEndpoint("/run/docker.sock").socketPath).toBe("/run/docker.sock");
    for (const text of ["tcp://10.0.0.1:2375", "10.0.0.1:2375", "http://10.0.0.1:2375/"]) {
      expect(parseDockerEndpoint(text)).toEqual({
        text: "tcp://10.0.0.1:2375",
        socketPath: undefined,
        base: "http://10.0.0.1:2375",
      });
    }
    expect(parseDockerEndpoint("tcp://[fd00::1]:2375").base).toBe("http://[fd00::1]:2375");
  });

  test("anything else is refused", () => {
    for (const text of [
      "",
      "unix://",
      "docker",
      "tcp://10.0.0.1",
      "tcp://h:0",
      "tcp://h:70000",
      "ssh://h:22",
      "https://h:2376",
    ]) {
      expect(() => parseDockerEndpoint(text)).toThrow("is not an address of Docker's API");
    }
  });
});

describe("Docker's JSON", () => {
  const ID = "ab".repeat(32);

  test("a running container", () => {
    const answer = {
      Id: ID,
      Name: "/web",
      State: { Running: true, Pid: 77 },
      Config: { Hostname: "web", Domainname: "weave.local" },
      HostConfig: { NetworkMode: "host" },
      HostsPath: "/var/lib/docker/hosts",
    };
    expect(decodeContainer(answer)).toEqual({
      id: ID,
      name: "web",
      pid: 77,
      running: true,
      hostNetwork: true,
      hostname: "web",
      domain: "weave.local",
      hostsFile: "/var/lib/docker/hosts",
    });
  });

  test("fields that are missing or of another type are empty; without an id there is no container", () => {
    const bare = {
      id: ID,
      name: ID.slice(0, 12),
      pid: 0,
      running: false,
      hostNetwork: false,
      hostname: "",
      domain: "",
      hostsFile: undefined,
    };
    expect(decodeContainer({ Id: ID })).toEqual(bare);
    expect(decodeContainer({ Id: ID, Name: 1, State: [], Config: "x", HostConfig: null, HostsPath: {} })).toEqual(bare);
    expect(decodeContainer({ Id: ID, State: { Running: "true", Pid: "77" } })).toEqual(bare);
    for (const answer of [undefined, null, [], "x", {}, { Id: "zz" }, { Id: 5 }]) {
      expect(() => decodeContainer(answer)).toThrow("does not describe a container");
    }
  });

  test("the list of running ones", () => {
    expect(decodeRunning([{ Id: ID, Names: ["/web", "/x/web"] }, { Id: "c".repeat(64) }, {}, null])).toEqual([
      { id: ID, name: "web" },
      { id: "c".repeat(64), name: "c".repeat(12) },
    ]);
    expect(decodeRunning({})).toEqual([]);
  });

  test("events of containers, with all digits of their time", () => {
    const line = `{"Type":"container","Action":"start","Actor":{"ID":"${ID}"},"timeNano":1700000000123456789}`;
    expect(decodeEvent(line)).toEqual({ action: "start", id: ID, timeNs: 1700000000123456789n });
    for (const other of [
      "",
      "{",
      "null",
      line.replace("container", "network"),
      line.replace("start", "exec_create: x"),
      line.replace(ID, ""),
      line.replace("timeNano", "time"),
    ]) {
      expect(decodeEvent(other)).toBeUndefined();
    }
  });

  test("the moment to resume from", () => {
    expect(sinceText(1700000000000000042n)).toBe("1700000000.000000042");
  });
});
