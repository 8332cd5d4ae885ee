// SPDX-License-Identifier: Apache-2.0
// Options: where a value comes from, what each takes, and how a bad one is told.
import { describe, expect, test } from "bun:test";
import {
  commandLineOf,
  type Environment,
  type GivenFlags,
  type Loaded,
  loadConfig,
  shownConfig,
} from "../../../src/config/load.ts";
import { MalformedValue } from "../../../src/config/option.ts";
import { OPTION_KEYS, OPTIONS } from "../../../src/config/options.ts";
import { UserError } from "../../../src/runtime/errors.ts";

interface Given {
  readonly flags?: GivenFlags;
  readonly peers?: readonly string[];
  readonly file?: { options?: GivenFlags; peers?: readonly string[] };
  readonly env?: Environment;
}
function load({ flags = {}, peers = [], file, env = {} }: Given = {}): Loaded {
  const launch = file && { launchId: "abc", options: file.options ?? {}, peers: file.peers ?? [] };
  return loadConfig({ flags, peers, file: launch, env, hostname: "host1" });
}
const config = (given: Given = {}) => load(given).config;
function refusal(given: Given): UserError {
  try {
    load(given);
  } catch (thrown) {
    if (thrown instanceof UserError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was refused");
}

describe("which value wins", () => {
  test("flag, then launch.json, then environment, then default", () => {
    const env = { WEAVE_PORT: "1111" };
    const file = { options: { port: ["2222"] } };
    const flags = { port: ["3333"] };
    expect(load({ env, file, flags })).toMatchObject({ config: { port: 3333 }, origins: { port: "flag" } });
    expect(load({ env, file })).toMatchObject({ config: { port: 2222 }, origins: { port: "launch" } });
    expect(load({ env })).toMatchObject({ config: { port: 1111 }, origins: { port: "environment" } });
    expect(load()).toMatchObject({ config: { port: 6783 }, origins: { port: "default" } });
  });
  test("peers of the command line replace those stored", () => {
    const file = { peers: ["host2"] };
    expect(config({ file }).peers).toEqual(["host2"]);
    expect(config({ file, peers: ["host3"] }).peers).toEqual(["host3"]);
    expect(config({ file }).launchId).toBe("abc");
    expect(config().launchId).toBe("");
  });
  test("an empty variable counts only where empty means something", () => {
    expect(config({ env: { WEAVE_PORT: "", DOCKER_HOST: "", WEAVE_PASSWORD: "", WEAVE_NO_FASTDP: "" } })).toMatchObject({
      port: 6783,
      dockerApi: "unix:///var/run/docker.sock",
      passwords: [],
      noFastdp: false,
    });
    expect(config({ env: { WEAVE_STATUS_ADDR: "" } }).statusAddr).toBe(null);
  });
  test("a switch in the environment is on when it is not empty, and a flag can take it back", () => {
    expect(config({ env: { WEAVE_NO_FASTDP: "0" } }).noFastdp).toBe(true);
    expect(config({ env: { WEAVE_NO_FASTDP: "1" }, flags: { noFastdp: ["false"] } }).noFastdp).toBe(false);
  });
  test("a bad variable is named", () => {
    expect(refusal({ env: { WEAVE_PORT: "http" } }).message).toBe("invalid value 'http' for the environment variable WEAVE_PORT");
  });
});

describe("values", () => {
  test("defaults", () => {
    expect(config()).toEqual({
      name: undefined,
      nickname: "host1",
      passwords: [],
      trustedSubnets: [],
      host: undefined,
      port: 6783,
      noDiscovery: false,
      connLimit: 200,
      mtuBytes: 0,
      noFastdp: false,
      logLevel: "info",
      dataDir: "/var/lib/weave",
      httpAddr: null,
      statusAddr: { kind: "tcp", host: "127.0.0.1", port: 6782 },
      resume: false,
      dockerApi: "unix:///var/run/docker.sock",
      noDns: false,
      dnsDomain: "weave.local.",
      dnsListenAddress: undefined,
      dnsTtlSeconds: 1,
      dnsFallbackTimeoutMs: 5000,
      resolvConf: "/etc/resolv.conf",
      dockerBridge: "docker0",
      ipallocRange: undefined,
      ipallocRange6: undefined,
      ipallocDefaultSubnet: undefined,
      ipallocInit: { by: "consensus", electors: undefined },
      ipallocTimeoutS: 60,
      reclaimAfterS: 0,
      noPlugin: false,
      pluginSocket: "/run/docker/plugins/weave.sock",
      pluginMeshSocket: "/run/docker/plugins/weavemesh.sock",
      pluginV2Multicast: false,
      weaveBridge: "weave",
      noProxy: false,
      proxyListen: [],
      hostnameFromLabel: "",
      hostnameMatch: "(.*)",
      hostnameReplacement: "$1",
      rewriteInspect: false,
      noDefaultIpalloc: false,
      noRewriteHosts: false,
      noMulticastRoute: false,
      withoutDns: false,
      tls: false,
      tlsverify: false,
      tlscacert: "",
      tlscert: "",
      tlskey: "",
      dockerTlsVerify: false,
      dockerCertPath: "/root/.docker",
      noDetectTls: false,
      peers: [],
      launchId: "",
      origins: Object.fromEntries(OPTION_KEYS.map((key) => [key, "default"])) as never,
    });
  });
  test("several passwords and subnets, given at once or one by one", () => {
    const { passwords, trustedSubnets } = config({
      flags: { passwords: ["a b,c", "old"], trustedSubnets: ["10.1.2.3/8,fd00::/8", "192.168.1.0/24"] },
    });
    expect(passwords).toEqual(["a b,c", "old"]);
    expect(trustedSubnets.map(({ address, prefixLength }) => `${address}/${prefixLength}`)).toEqual([
      "10.0.0.0/8",
      "fd00::/8",
      "192.168.1.0/24",
    ]);
  });
  test.each([
    ["name", "::1", "00:00:00:00:00:01"],
    ["name", "66:B4:a1:85:da:65", "66:b4:a1:85:da:65"],
    ["name", "1::2:3", "01:00:00:00:02:03"],
    ["host", "2001:DB8::0", "2001:db8::"],
    ["connLimit", "0", 0],
    ["mtuBytes", "0", 0],
    ["mtuBytes", "1376", 1376],
    ["logLevel", "warning", "warn"],
    ["dataDir", "/srv/weave/", "/srv/weave"],
    ["httpAddr", "off", null],
    ["httpAddr", "127.0.0.1:6784", { kind: "tcp", host: "127.0.0.1", port: 6784 }],
    ["httpAddr", ":6784", { kind: "tcp", host: "0.0.0.0", port: 6784 }],
    ["httpAddr", "[::1]:6784", { kind: "tcp", host: "::1", port: 6784 }],
    ["httpAddr", "unix:///run/x.sock", { kind: "unix", path: "/run/x.sock" }],
    ["statusAddr", "/run/x.sock", { kind: "unix", path: "/run/x.sock" }],
    ["dockerApi", "", ""],
    ["dockerApi", "/run/podman.sock", "unix:///run/podman.sock"],
    ["resume", "T", true],
  ] as const)("%s %s", (key, text, value) => {
    expect(config({ flags: { [key]: [text] } })[key]).toEqual(value as never);
  });
});

describe("refusals say what, why and how", () => {
  test.each([
    ["name", "zz", "invalid value 'zz' for --name: not a peer name"],
    ["name", "::", "invalid value '::' for --name: not a peer name"],
    ["name", "1:2:3", "invalid value '1:2:3' for --name: not a peer name"],
    ["name", "1:2:3::4:5:6", "invalid value '1:2:3::4:5:6' for --name: not a peer name"],
    ["nickname", "two words", "invalid value 'two words' for --nickname: not a nickname"],
    ["trustedSubnets", "10.0.0.0/33", "invalid value '10.0.0.0/33' for --trusted-subnets: not a subnet"],
    ["trustedSubnets", "10.0.0.0", "invalid value '10.0.0.0' for --trusted-subnets: not a subnet"],
    ["host", "host1", "invalid value 'host1' for --host: not an IP address"],
    ["port", "0", "invalid value '0' for --port: out of range"],
    ["port", "65535", "invalid value '65535' for --port: out of range"],
    ["connLimit", "-1", "invalid value '-1' for --conn-limit: out of range"],
    ["mtuBytes", "500", "invalid value '500' for --mtu: out of range"],
    ["logLevel", "loud", "invalid value 'loud' for --log-level: no such level"],
    ["dataDir", "weave", "invalid value 'weave' for --data-dir: not an absolute path"],
    ["httpAddr", "localhost", "invalid value 'localhost' for --http-addr: not an address to listen on"],
    ["statusAddr", `/${"x".repeat(120)}`, /for --status-addr: not an address to listen on$/],
    ["dockerApi", "ftp://x", "invalid value 'ftp://x' for --docker-api: not an endpoint"],
    ["weaveBridge", "a-name-that-is-too-long", /for --weave-bridge: not the name of a link$/],
  ] as const)("--%s %s", (key, text, message) => {
    const error = refusal({ flags: { [key]: [text] } });
    expect(error.message).toMatch(message);
    expect(error.hint).not.toBe("");
    expect(error).not.toBeInstanceOf(MalformedValue);
  });
  test.each([
    ["port", "http"],
    ["port", "1e3"],
    ["mtuBytes", ""],
    ["noDiscovery", "maybe"],
  ] as const)("--%s %j is not even of its kind", (key, text) => {
    expect(refusal({ flags: { [key]: [text] } })).toBeInstanceOf(MalformedValue);
  });
  test("a bad peer", () => {
    expect(refusal({ peers: ["host1", "a b"] }).message).toBe("invalid peer 'a b'");
    expect(refusal({ peers: ["10.0.0.1:99999"] }).message).toBe("invalid peer '10.0.0.1:99999'");
  });
  test("--resume with peers, given or stored", () => {
    expect(refusal({ flags: { resume: ["true"] }, peers: ["host1"] }).message).toContain("exclude each other");
  });
});

describe("the table", () => {
  test("flags and variables are unique, every option has a sentence", () => {
    const flags = OPTION_KEYS.map((key) => OPTIONS[key].flag);
    expect(new Set(flags).size).toBe(flags.length);
    const variables = OPTION_KEYS.map((key) => OPTIONS[key].env).filter((name) => name !== "");
    expect(new Set(variables).size).toBe(variables.length);
    for (const key of OPTION_KEYS) expect(OPTIONS[key].doc.length).toBeGreaterThan(10);
  });
  test("what is shown masks secrets and can be read again", () => {
    const loaded = config({ flags: { passwords: ["hush"], port: ["7000"], trustedSubnets: ["10.0.0.0/8"] }, peers: ["host2"] });
    const shown = shownConfig(loaded);
    expect(JSON.stringify(shown)).not.toContain("hush");
    expect(shown).toMatchObject({
      passwords: ["********"],
      port: 7000,
      trustedSubnets: ["10.0.0.0/8"],
      statusAddr: "127.0.0.1:6782",
      httpAddr: "off",
      peers: ["host2"],
    });
    expect(shown["origins"]).toEqual({ passwords: "flag", port: "flag", trustedSubnets: "flag" });
  });
  test("what was chosen reads like a command line, without secrets and defaults", () => {
    const flags = { passwords: ["hush", "hush2"], port: ["7000"], noDiscovery: ["true"], dockerApi: [""], nickname: ["n"] };
    expect(commandLineOf(config({ flags, peers: ["host2", "[fd00::1]:7000"] }))).toBe(
      "--password ******** --password ******** --port 7000 --no-discovery --docker-api '' host2 [fd00::1]:7000",
    );
    expect(commandLineOf(config({}))).toBe("");
  });
  test("every option reads what it writes", () => {
    const flags = {
      name: ["::1"],
      nickname: ["n"],
      passwords: ["p", "q"],
      trustedSubnets: ["10.0.0.0/8", "fd00::/8"],
      host: ["10.0.0.1"],
      port: ["7000"],
      noDiscovery: ["true"],
      connLimit: ["0"],
      mtuBytes: ["1400"],
      noFastdp: ["true"],
      noDns: ["true"],
      dnsDomain: ["a.b."],
      dnsListenAddress: ["10.0.0.1:5353"],
      dnsTtlSeconds: ["30"],
      dnsFallbackTimeoutMs: ["500ms"],
      resolvConf: ["/a/resolv.conf"],
      dockerBridge: ["br0"],
      logLevel: ["debug"],
      dataDir: ["/a"],
      httpAddr: ["[::1]:1"],
      statusAddr: ["off"],
      resume: ["true"],
      dockerApi: [""],
      noProxy: ["true"],
      proxyListen: ["/a.sock", "tcp://10.0.0.1:12375"],
      hostnameFromLabel: ["k"],
      hostnameMatch: ["^a(?P<x>.*)$"],
      hostnameReplacement: ["$x"],
      rewriteInspect: ["true"],
      noDefaultIpalloc: ["true"],
      noRewriteHosts: ["true"],
      noMulticastRoute: ["true"],
      withoutDns: ["true"],
      tls: ["true"],
      tlsverify: ["true"],
      tlscacert: ["/ca"],
      tlscert: ["/cert"],
      tlskey: ["/key"],
      dockerTlsVerify: ["true"],
      dockerCertPath: ["/certs"],
      noDetectTls: ["true"],
      ipallocRange: ["10.2.0.0/16"],
      ipallocRange6: ["fd00:2::/96"],
      ipallocDefaultSubnet: ["10.2.3.0/24"],
      ipallocInit: ["seed=::1,::2"],
      ipallocTimeoutS: ["9"],
      reclaimAfterS: ["300"],
      noPlugin: ["true"],
      pluginSocket: ["/a/w.sock"],
      pluginMeshSocket: ["/a/m.sock"],
      pluginV2Multicast: ["true"],
      weaveBridge: ["w"],
    };
    const first = config({ flags });
    const written = Object.fromEntries(
      OPTION_KEYS.map((key) => [key, (OPTIONS[key].format as (value: unknown) => string[])(first[key])]),
    );
    expect(config({ flags: written })).toEqual(first);
    expect(Object.keys(flags).sort()).toEqual([...OPTION_KEYS].sort());
  });
});
