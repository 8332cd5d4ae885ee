// SPDX-License-Identifier: Apache-2.0
// weave.toml: every option by its flag's name, strict about what it does not know, and last in line before the defaults.
import { describe, expect, test } from "bun:test";
import { parseConfigFile } from "../../../src/config/config-file.ts";
import { loadConfig } from "../../../src/config/load.ts";

const PATH = "/etc/weave/weave.toml";

test("options are read by their flags' names, each in its kind", () => {
  const file = parseConfigFile(
    'peers = ["host1", "host2:7000"]\nport = 7000\nno-discovery = true\ntrusted-subnets = ["10.0.0.0/8"]\nlog-level = "debug"\n',
    PATH,
  );
  expect(file.peers).toEqual(["host1", "host2:7000"]);
  expect(file.options).toEqual({
    port: ["7000"],
    noDiscovery: ["true"],
    trustedSubnets: ["10.0.0.0/8"],
    logLevel: ["debug"],
  });
});

test("an empty file says nothing, and has the same peers as another one without", () => {
  const [empty, other] = [parseConfigFile("", PATH), parseConfigFile("# nothing\nport = 7000\n", PATH)];
  expect(empty).toEqual({ options: {}, peers: [], peersId: other.peersId });
  expect(parseConfigFile('peers = ["a"]', PATH).peersId).not.toBe(empty.peersId);
});

describe("what cannot be used is named", () => {
  const cases: readonly (readonly [name: string, text: string, message: RegExp])[] = [
    ["no TOML", "port = = 1", /^cannot use '\/etc\/weave\/weave.toml': it is not TOML: /],
    ["an unknown key", "prot = 1", /^cannot use '\/etc\/weave\/weave.toml': unknown key 'prot'$/],
    ["a table", "[port]\na = 1", /'port' is not a number$/],
    ["a number for a flag", "no-discovery = 1", /'no-discovery' is not true or false$/],
    ["peers that are no list", 'peers = "host1"', /'peers' is not a list of texts$/],
  ];
  for (const [name, text, message] of cases) {
    test(name, () => expect(() => parseConfigFile(text, PATH)).toThrow(message));
  }
  test("a value out of range names the key and the file", () => {
    const administrators = parseConfigFile("port = 70000", PATH);
    const load = () => loadConfig({ flags: {}, peers: [], env: {}, hostname: "h", administrators });
    expect(load).toThrow("invalid value '70000' for 'port' in /etc/weave/weave.toml: out of range");
  });
});

test("flags, launch and environment win over the file, the file over the defaults", () => {
  const administrators = parseConfigFile('port = 7001\nmtu = 1400\nlog-level = "debug"\nnickname = "n"\npeers = ["a"]', PATH);
  const launch = { launchId: "1", options: { mtuBytes: ["1300"] }, peers: ["b"] };
  const env = { WEAVE_PORT: "7002" };
  const { config, origins } = loadConfig({
    flags: { nickname: ["f"] },
    peers: [],
    file: launch,
    env,
    hostname: "h",
    administrators,
  });
  expect(config).toMatchObject({ port: 7002, mtuBytes: 1300, nickname: "f", logLevel: "debug", peers: ["b"], launchId: "1" });
  expect(origins).toMatchObject({ port: "environment", mtuBytes: "launch", nickname: "flag", logLevel: "config" });
  const alone = loadConfig({ flags: {}, peers: [], env: {}, hostname: "h", administrators });
  expect(alone.config).toMatchObject({ port: 7001, peers: ["a"], launchId: administrators.peersId });
});
