// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import type { Container, ContainerRuntime, Namespaces } from "../../../src/attach/ports.ts";
import { findTarget } from "../../../src/attach/target.ts";
import { UserError } from "../../../src/runtime/errors.ts";

const WEB: Container = {
  id: "c0ffee".padEnd(64, "0"),
  name: "web",
  pid: 100,
  running: true,
  hostNetwork: false,
  hostname: "web",
  domain: "",
  hostsFile: undefined,
};

/** A machine with these namespaces (path -> id) and containers (word -> container); "down": nothing answers for containers. */
function machine(paths: Record<string, string>, containers: Record<string, Container> | "down" = {}) {
  const at = (path: string) => (paths[path] === undefined ? undefined : { path, id: paths[path] });
  const namespaces: Namespaces = {
    host: () => ({ path: "/proc/self/ns/net", id: "host" }),
    named: (name) => at(`/run/netns/${name}`),
    process: (pid) => at(`/proc/${pid}/ns/net`),
    at,
    search: () => undefined,
  };
  const runtime: ContainerRuntime = {
    async inspect(word) {
      if (containers === "down") throw new UserError("unavailable", "Docker does not answer at unix:///d", "start Docker");
      return containers[word];
    },
  };
  return { namespaces, runtime };
}

async function refusal(promise: Promise<unknown>): Promise<UserError> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (thrown instanceof UserError) return thrown;
  throw new Error(`expected a refusal, got ${thrown}`);
}

describe("what a word means", () => {
  test("a container, by its process's namespace", async () => {
    const found = await findTarget("web", machine({ "/proc/100/ns/net": "1" }, { web: WEB }));
    expect(found).toMatchObject({ owner: WEB.id, name: "web", netns: { path: "/proc/100/ns/net" }, pid: 100, container: WEB });
  });

  test("a named namespace, a path, a process", async () => {
    const ports = machine({ "/run/netns/blue": "1", "/mnt/ns": "2", "/proc/7/ns/net": "3" });
    expect(await findTarget("blue", ports)).toMatchObject({ owner: "netns:/run/netns/blue", name: "blue" });
    expect(await findTarget("netns:blue", ports)).toMatchObject({ owner: "netns:/run/netns/blue" });
    expect(await findTarget("/mnt/ns", ports)).toMatchObject({ owner: "netns:/mnt/ns", name: "/mnt/ns" });
    expect(await findTarget("netns:/mnt/ns", ports)).toMatchObject({ owner: "netns:/mnt/ns" });
    expect(await findTarget("7", ports)).toMatchObject({ owner: "pid:7", pid: 7 });
    expect(await findTarget("pid:7", ports)).toMatchObject({ owner: "pid:7" });
  });

  test("several meanings that are one namespace are one, the container first", async () => {
    const ports = machine({ "/proc/100/ns/net": "1", "/run/netns/100": "1" }, { "100": WEB });
    expect(await findTarget("100", ports)).toMatchObject({ owner: WEB.id });
  });

  test("several meanings are refused, and the message says how to choose", async () => {
    const ports = machine({ "/proc/100/ns/net": "1", "/run/netns/web": "2" }, { web: WEB });
    const error = await refusal(findTarget("web", ports));
    expect([error.code, error.message, error.hint]).toEqual([
      "conflict",
      "'web' is ambiguous: container 'web' and network namespace 'web'",
      "write container:web or netns:web",
    ]);
    expect(await findTarget("container:web", ports)).toMatchObject({ owner: WEB.id });
    expect(await findTarget("netns:web", ports)).toMatchObject({ owner: "netns:/run/netns/web" });
  });

  test("a stopped container beside a namespace of its name is ambiguous too", async () => {
    const stopped = { ...WEB, running: false, pid: 0 };
    expect(await findTarget("web", machine({}, { web: stopped }))).toEqual({ owner: WEB.id, name: "web", why: "is not running" });
    const both = findTarget("web", machine({ "/run/netns/web": "2" }, { web: stopped }));
    expect((await refusal(both)).message).toContain("is ambiguous");
  });

  test("the host's own namespace is refused", async () => {
    const host = { ...WEB, hostNetwork: true };
    const error = await refusal(findTarget("web", machine({ "/proc/100/ns/net": "host" }, { web: host })));
    expect(error.message).toContain("container 'web'");
    expect(error.message).toContain("in the host's network namespace");
  });

  test("without a container runtime other meanings still count, and a miss names the runtime", async () => {
    const ports = machine({ "/run/netns/blue": "1" }, "down");
    expect(await findTarget("blue", ports)).toMatchObject({ owner: "netns:/run/netns/blue" });
    const error = await refusal(findTarget("web", ports));
    expect([error.code, error.message]).toEqual([
      "not-found",
      "no container, network namespace or process 'web' (Docker does not answer at unix:///d)",
    ]);
    expect((await refusal(findTarget("container:web", ports))).code).toBe("unavailable");
  });

  test("names that would leave the folder of namespaces are not looked up", async () => {
    const ports = machine({ "/run/netns/..": "1", "/run/netns/.": "1" });
    for (const word of ["..", "."]) expect((await refusal(findTarget(word, ports))).code).toBe("not-found");
  });
});
