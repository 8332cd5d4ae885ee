// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { planCreate } from "../../../src/proxy/create.ts";
import { baseName, readPattern } from "../../../src/proxy/hostname.ts";
import { JsonText } from "../../../src/proxy/json-text.ts";
import { callOf, wantedAddresses } from "../../../src/proxy/rules.ts";

describe("a JSON text", () => {
  test("keeps everything but what is changed as it was written", () => {
    const text = '{ "Big": 123456789012345678901, "f":1.50, "HostConfig" : null,"é\\u0041":["x",{"a":"}"}],\n "Image":"a" }';
    const body = new JsonText(text);
    body.set(["HostConfig", "Binds"], ["/a:/w:ro"]);
    body.set(["Image"], "b");
    expect(body.text).toBe(text.replace("null", '{"Binds":["/a:/w:ro"]}').replace('"a" }', '"b" }'));
    body.set(["HostConfig", "Dns"], []);
    expect(body.text).toContain('"HostConfig" : {"Dns":[],"Binds":["/a:/w:ro"]}');
  });
  test("is read as Docker reads it: any case, the last of several", () => {
    const body = new JsonText('{"cmd":["a"],"CMD":["b"]}');
    expect(body.get("Cmd")).toEqual(["b"]);
    body.set(["Cmd"], ["c"]);
    expect(body.text).toBe('{"cmd":["a"],"CMD":["c"]}');
  });
  test("any value can be set in any object, and nothing else changes", () => {
    const object = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 5 });
    fc.assert(
      fc.property(object, fc.jsonValue(), fc.boolean(), (before, value, pretty) => {
        const others = Object.fromEntries(Object.entries(before).filter(([key]) => key.toLowerCase() !== "new"));
        const body = new JsonText(JSON.stringify(others, undefined, pretty ? 2 : 0));
        body.set(["new", "inner"], value);
        expect(JSON.parse(body.text)).toEqual(JSON.parse(JSON.stringify({ ...others, new: { inner: value } })));
        expect(body.get("NEW", "INNER")).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
  test.each(["", "[]", "null", "{", '{"a":1} x'])("'%s' is none", (text) => {
    expect(() => new JsonText(text)).toThrow(SyntaxError);
  });
});

describe("who is on the network", () => {
  const wanted = (mode: string, environment: readonly string[] = [], noDefaultIpalloc = false) =>
    wantedAddresses(mode, environment, { noDefaultIpalloc });
  test.each(["", "default", "bridge", "none"])("mode '%s' is", (mode) => expect(wanted(mode)).toEqual([]));
  test.each(["host", "container:x", "my-net", "weave"])("mode '%s' is not", (mode) =>
    expect(wanted(mode, ["WEAVE_CIDR="])).toBeUndefined(),
  );
  test("the last WEAVE_CIDR counts", () => {
    expect(wanted("", ["WEAVE_CIDR=none"])).toBeUndefined();
    expect(wanted("", ["WEAVE_CIDR=none", "WEAVE_CIDR= 10.2.1.1/24  net:default "])).toEqual(["10.2.1.1/24", "net:default"]);
    expect(wanted("", [], true)).toBeUndefined();
    expect(wanted("", ["WEAVE_CIDR="], true)).toEqual([]);
    expect(() => wanted("", ["WEAVE_CIDR=10.2.1.1"])).toThrow("'10.2.1.1' has no prefix length");
    expect(() => wanted("", ["WEAVE_CIDR=none none"])).toThrow("'none' is not an address");
  });
  test("calls are known with and without version, in any spelling", () => {
    const call = (method: string, target: string) => callOf({ method, target });
    expect(call("POST", "/containers/create")).toEqual({ kind: "create", name: "" });
    expect(call("POST", "/v1.41/containers/create?name=%2Fa")).toEqual({ kind: "create", name: "a" });
    expect(call("POST", "/v1.41/containers/%63reate?name=a")).toEqual({ kind: "create", name: "a" });
    expect(call("POST", "http://x/v1.41/containers/a/start?x=y")).toEqual({ kind: "start", container: "a" });
    expect(call("POST", "/containers/a/restart")).toEqual({ kind: "restart", container: "a" });
    expect(call("POST", "/containers/a/exec")).toEqual({ kind: "exec", container: "a" });
    expect(call("GET", "/containers/a/json")).toEqual({ kind: "inspect", container: "a" });
    for (const target of ["/containers/json", "/containers/a/attach", "/containers/a/b/start", "/images/a/json", "/%ff"]) {
      expect(call("GET", target)).toBeUndefined();
    }
    expect(call("GET", "/containers/create")).toBeUndefined();
  });
});

describe("create", () => {
  const RULES = {
    noDefaultIpalloc: false,
    waiterFolder: "/var/lib/weave/w",
    hostname: { fromLabel: "", match: readPattern("(.*)"), replacement: "$1" },
  };
  const NAMES = { address: "172.17.0.1", domain: "weave.local." };
  const IMAGE = { environment: [], entrypoint: ["/entry"], command: ["serve"], workingDir: "", volumes: [] as string[] };
  const plan = (body: object, image = IMAGE, names: typeof NAMES | null = NAMES, name = "web") => {
    const text = new JsonText(JSON.stringify(body));
    const warnings = planCreate(text, name, image, names ?? undefined, RULES);
    return { ...JSON.parse(text.text), warnings };
  };

  test("a minimal request waits, asks our name server and is called by its name", () => {
    expect(plan({ Image: "i" })).toEqual({
      Image: "i",
      Entrypoint: ["/w/w", "/entry"],
      Cmd: ["serve"],
      Hostname: "web",
      Domainname: "weave.local",
      HostConfig: { Binds: ["/var/lib/weave/w:/w:ro"], Dns: ["172.17.0.1"], DnsSearch: ["weave.local"] },
      warnings: [],
    });
  });
  test.each([
    [{ Cmd: ["a"] }, ["/w/w", "/entry"], ["a"]],
    [{ Entrypoint: ["e"] }, ["/w/w", "e"], []],
    [{ Entrypoint: "e", Cmd: "a" }, ["/w/w", "e"], ["a"]],
    [{ Entrypoint: [""], Cmd: ["a"] }, ["/w/w"], ["a"]],
    [{ Entrypoint: [] }, ["/w/w"], ["serve"]],
    [{ Entrypoint: null, Cmd: null }, ["/w/w", "/entry"], ["serve"]],
  ])("%j runs %j %j", (body, Entrypoint, Cmd) => {
    expect(plan(body)).toMatchObject({ Entrypoint, Cmd });
  });
  test("with nothing to run it is left to Docker", () => {
    expect(plan({ Image: "i" }, { ...IMAGE, entrypoint: [], command: [] })).toEqual({ Image: "i", warnings: [] });
  });
  test("an image with the waiter in it waits once, and elsewhere not at all", () => {
    const committed = { ...IMAGE, entrypoint: ["/w/w", "/entry"] };
    expect(plan({}, committed)).toMatchObject({ Entrypoint: ["/w/w", "/entry"], Cmd: ["serve"] });
    expect(plan({}, committed).HostConfig.Binds).toEqual(["/var/lib/weave/w:/w:ro"]);
    expect(plan({ Env: ["WEAVE_CIDR=none"] }, committed)).toEqual({
      Env: ["WEAVE_CIDR=none"],
      Entrypoint: ["/entry"],
      Cmd: ["serve"],
      warnings: [],
    });
  });
  test("what the client asked for stays", () => {
    const HostConfig = { Binds: ["/y:/z"], Dns: ["8.8.8.8"], DnsSearch: ["example.com"], ExtraHosts: ["a:1.2.3.4"] };
    expect(plan({ Hostname: "own", HostConfig })).toMatchObject({
      Hostname: "own",
      HostConfig: {
        Binds: ["/y:/z", "/var/lib/weave/w:/w:ro"],
        Dns: ["8.8.8.8", "172.17.0.1"],
        DnsSearch: ["example.com"],
        ExtraHosts: ["a:1.2.3.4"],
      },
    });
    expect(plan({ Hostname: "own" }).Domainname).toBeUndefined();
    expect(plan({ Hostname: "own", Domainname: "example.com" }).HostConfig.DnsSearch).toEqual(["."]);
  });
  const BINDS = (...binds: readonly string[]) => ({ HostConfig: { Binds: binds } });
  const OWN: readonly (readonly [object, Partial<typeof IMAGE>])[] = [
    [BINDS("/x:/w"), {}],
    [BINDS("/x:/w/data/:ro"), {}],
    [BINDS("/w"), {}],
    [{ HostConfig: { Mounts: [{ Type: "bind", source: "/x", target: "/w" }] } }, {}],
    [{ HostConfig: { Tmpfs: { "/x/../w/": "" } } }, {}],
    [{ Volumes: { "/w/data": {} } }, {}],
    [{ WorkingDir: "/w" }, {}],
    [{}, { workingDir: "/w/src" }],
    [{}, { volumes: ["/w"] }],
    [{}, { entrypoint: ["sh", "/w/start.sh"] }],
  ];
  for (const [body, image] of OWN) {
    test(`who uses /w itself has the waiter elsewhere: ${JSON.stringify([body, image])}`, () => {
      const planned = plan(body, { ...IMAGE, ...image });
      expect(planned.Entrypoint[0]).toBe("/weave-wait/w");
      expect(planned.HostConfig.Binds.at(-1)).toBe("/var/lib/weave/w:/weave-wait:ro");
    });
  }
  test("a container made like another one of ours has the waiter once; one that uses all our places is refused", () => {
    const again = { Entrypoint: ["/w/w", "/entry"], HostConfig: { Binds: ["/x:/v", "/var/lib/weave/w:/w:ro"] } };
    expect(plan(again)).toMatchObject({
      Entrypoint: ["/w/w", "/entry"],
      HostConfig: { Binds: ["/x:/v", "/var/lib/weave/w:/w:ro"] },
    });
    expect(plan({ HostConfig: { Binds: ["/x:/website", "/y:/www"] } }).Entrypoint).toEqual(["/w/w", "/entry"]);
    expect(() => plan({ HostConfig: { Binds: ["/x:/w", "/y:/weave-wait"] } })).toThrow(
      "the container uses '/w' and '/weave-wait', where the program could be that waits for the network",
    );
  });
  test("without name server nothing of it is set; a name that is too long is told", () => {
    expect(plan({}, IMAGE, null)).not.toHaveProperty("Hostname");
    const long = plan({}, IMAGE, NAMES, "x".repeat(53));
    expect([long.Hostname, long.warnings]).toEqual([undefined, [expect.stringContaining("longer than 64 characters")]]);
    expect(plan({}, IMAGE, NAMES, "x".repeat(52)).Hostname).toBe("x".repeat(52));
  });
});

describe("host names", () => {
  const name = (text: string, match: string, replacement: string, labels = {}, fromLabel = "") =>
    baseName(text, labels, { fromLabel, match: readPattern(match), replacement });
  test("are transformed as Go would do it", () => {
    expect(name("web", "(.*)", "$1")).toBe("web");
    expect(name("web", "(.*)", "x-$1")).toBe("x-web");
    expect(name("aws-12798186823-foo", "^aws-[0-9]+-(.*)$", "my-app-$1")).toBe("my-app-foo");
    // biome-ignore lint/suspicious/noTemplateCurlyInString: as Go writes it
    expect(name("a-b", "(?P<first>[a-z])-(?P<second>[a-z])", "${second}$$$first")).toBe("b$a");
    expect(name("web", "nothing", "x")).toBe("web");
    expect(name("web", "(w)(x)?", "[$1$2$9$0]")).toBe("[ww]eb");
  });
  test("come from a label where it has a value", () => {
    expect(name("web", "(.*)", "$1", { app: "db" }, "app")).toBe("db");
    expect(name("web", "(.*)", "$1", { app: "" }, "app")).toBe("web");
  });
});
