// SPDX-License-Identifier: Apache-2.0
// Docker's network plugin on real hosts with Docker Engine: `docker run --net=weave` as its users know it, wrong requests, and what must come back by
// itself after restarts and crashes of either daemon and of the host.

import { Database } from "bun:sqlite";
import { beforeAll, describe, expect, test } from "bun:test";
import { availableParallelism, loadavg } from "node:os";
import type { PsEntry } from "../../src/api/status.ts";
import { waitFor } from "../support/wait.ts";
import { logOf, withDockerHosts } from "./docker-hosts.ts";
import { IMAGE, type Machine } from "./machine.ts";

const COUNT = 10;
/** Containers the host brings back. Of those on the plugin's network every second one has an address of its own choice. */
const BY_PLUGIN = Array.from({ length: COUNT }, (_, index) => `s${index + 1}`);
const BY_PROXY = Array.from({ length: COUNT }, (_, index) => `p${index + 1}`);
const fixedAddress = (name: string): string | undefined => {
  const number = Number(name.slice(1));
  return number % 2 === 0 ? `10.33.0.${number}` : undefined;
};
/** All of them run, are known by name and reached that soon after anything that restarts. Nearly all of it is Docker's own work, for which a machine with
 *  more than eight runnable processes for each of its processors needs longer. */
const backMs = (): number => 30_000 * Math.max(1, loadavg()[0]! / (8 * availableParallelism()));

withDockerHosts("docker run --net=weave", (hosts) => {
  let h1: Machine;
  let h2: Machine;
  beforeAll(() => {
    [h1, h2] = hosts.all;
  });

  const names = async (machine: Machine) => {
    const lines = (await machine.run("weave status dns")).stdout.split("\n").map((line) => line.split(/\s+/));
    return new Map(lines.map(([name = "", address = ""]) => [name, address]));
  };
  const run = (machine: Machine, name: string, ...options: string[]) =>
    machine.sh(`docker run -d --stop-timeout=0 --name ${name} --net=weave ${options.join(" ")} ${IMAGE} sleep 10000`);
  const addressOf = async (machine: Machine, name: string) =>
    (await machine.sh(`docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' ${name}`)).trim();
  /** What of containers is in the kernel, in the allocator and in the name service. */
  const traces = async (machine: Machine) => {
    const count = (words: string) => machine.sh(`ip -o link show | grep -cE '${words}' || true`);
    const links = `${(await count("vethw(l|epl)")).trim()} ${(await count("vethwg")).trim()}`; // the latter wait for Docker to take them
    const leases = (await machine.sh("weave status ipam | grep -oE '[0-9]+ active'")).trim();
    const own = [...(await names(machine)).keys()].filter((name) => name !== "");
    return { links, leases, own };
  };

  test("launch makes the network; containers of two hosts reach each other by address, name and alias", async () => {
    await Promise.all(hosts.all.map((machine) => hosts.until("the network", machine, "docker network inspect weave")));
    await run(h1, "c1", "$(weave dns-args)", "--network-alias=one");
    await run(h2, "c2", "-h two.weave.local", "$(weave dns-args)");
    await hosts.until("the names", h1, "weave dns-lookup two.weave.local | grep -q . && weave dns-lookup one | grep -q .");
    const [a1, a2] = [await addressOf(h1, "c1"), await addressOf(h2, "c2")];
    expect(a1).not.toBe(a2);
    expect(await h1.sh("weave dns-lookup one; weave dns-lookup c1")).toBe(`${a1}\n${a1}\n`);
    await hosts.until("the other by its address", h1, `docker exec c1 ping -c1 -W1 ${a2}`);
    for (const name of ["c2", "two", "two.weave.local"]) await h1.sh(`docker exec c1 ping -c1 -W3 ${name}`);
    await h2.sh("docker exec c2 ping -c1 -W3 one");
    expect(await h1.sh("docker exec c1 ip route")).toContain("224.0.0.0/4 dev ethwe0");
    expect(await h1.sh("weave status")).toMatch(/Service: plugin \(legacy\)\n\s+DriverName: weave\n/);
    expect(await h1.sh("weave report -f '{{.Plugin.Config.MeshSocket}}'")).toBe("/run/docker/plugins/weavemesh.sock");
  }, 60_000);

  test("subnets, ranges, chosen addresses and options of networks are kept; a container cannot take another's address", async () => {
    const mine = "docker network create -d weavemesh --ipam-driver weavemesh";
    await h1.sh(`${mine} --subnet 10.34.0.0/24 --ip-range 10.34.0.64/29 -o works.weave.multicast=false mine`);
    const show = "-o -4 addr show dev ethwe0";
    const cap = "--cap-add NET_ADMIN";
    await h1.sh(`docker run -d --stop-timeout=0 --name m1 ${cap} --net=mine ${IMAGE} sleep 10000`);
    await h1.sh(`docker run -d --stop-timeout=0 --name m2 --net=mine --ip 10.34.0.9 ${IMAGE} sleep 10000`);
    expect(await h1.sh(`docker exec m1 ip ${show}`)).toMatch(/inet 10\.34\.0\.6[5-9]\/24|inet 10\.34\.0\.70\/24/);
    expect(await h1.sh("docker exec m1 ip route")).not.toContain("224.0.0.0");
    await h1.sh("docker exec m1 ping -c1 -W2 10.34.0.9");
    // Its interface takes the address; the switch takes no frame with it.
    await h1.sh("docker exec m1 ip addr add 10.34.0.200/24 dev ethwe0");
    expect((await h1.run("docker exec m1 ping -c1 -W1 -I 10.34.0.200 10.34.0.9")).code).not.toBe(0);
    await h1.sh("docker rm -f m1 m2; docker network rm mine");
  }, 60_000);

  test("what cannot be is refused with the reason, and leaves nothing", async () => {
    const before = await traces(h1);
    const refused = async (line: string) => {
      const { code, stderr } = await h1.run(line);
      expect(code).not.toBe(0);
      return stderr;
    };
    const create = "docker network create -d weavemesh --ipam-driver weavemesh";
    expect(await refused(`${create} -o works.weave.multicast=maybe bad`)).toContain(
      "works.weave.multicast='maybe' is neither true nor",
    );
    expect(await refused(`${create} --subnet 192.0.2.0/24 bad`)).toContain("192.0.2.0/24 lies outside the range 10.32.0.0/12");
    expect(
      await refused(`docker network create -d weavemesh --ipam-driver=null bad && docker run --rm --net=bad ${IMAGE} true`),
    ).toContain("an endpoint without address");
    await h1.run("docker network rm bad");
    const taken = await addressOf(h2, "c2");
    expect(await refused(`docker run --rm --net=weave --ip ${taken} ${IMAGE} true`)).toMatch(/weave: .*h2/);
    expect(await traces(h1)).toEqual(before);
  }, 60_000);

  test("containers that end or are removed while they start leave nothing", async () => {
    const before = await traces(h1);
    const start = (index: number) =>
      h1.run(`docker run --rm --name short${index} --net=weave ${IMAGE} sleep ${index % 2 ? 0 : 1000}`);
    const remove = async (index: number) => {
      // From before there is anything to remove until it has gone, so at another step each time.
      await h1.sh(`until docker rm -f short${index} 2>&1 | grep -qx short${index}; do :; done`);
    };
    const all = Array.from({ length: 12 }, (_, index) => index);
    await Promise.all(all.flatMap((index) => (index % 2 ? [start(index)] : [start(index), remove(index)])));
    await waitFor("nothing to be left", async () => Bun.deepEquals(await traces(h1), before), {
      everyMs: 100,
      show: () => traces(h1),
    });
  }, 60_000);

  test("whatever comes by the socket is answered at once or refused", async () => {
    const ask = async (path: string, body: string, method = "POST") => {
      const unix = `${h1.files}/run/docker/plugins/weavemesh.sock`;
      const response = await fetch(`http://plugin/${path}`, { unix, method, ...(method === "GET" ? {} : { body }) });
      return { status: response.status, text: await response.text() };
    };
    expect((await ask("Plugin.Activate", "")).text).toBe('{"Implements":["NetworkDriver","IpamDriver"]}\n');
    const held = await addressOf(h1, "c1");
    const wrong: [string, string, number, string][] = [
      ["NetworkDriver.CreateEndpoint", "{", 400, "cannot be read"],
      ["NetworkDriver.CreateEndpoint", '{"NetworkID":"../x"}', 400, "EndpointID"],
      [
        "NetworkDriver.CreateEndpoint",
        '{"NetworkID":"a","EndpointID":"b","Interface":{"Address":"10.32.0.300/12"}}',
        400,
        "Address",
      ],
      ["NetworkDriver.CreateEndpoint", '{"NetworkID":"a","EndpointID":"b","Interface":[]}', 400, "without address"],
      [
        "NetworkDriver.CreateEndpoint",
        `{"NetworkID":"a","EndpointID":"b","Interface":{"Address":"${held}/12"}}`,
        500,
        "is held by",
      ],
      ["NetworkDriver.Join", '{"NetworkID":"a","EndpointID":"b"}', 500, "no endpoint"],
      ["IpamDriver.RequestAddress", '{"PoolID":"x"}', 400, "not a pool"],
      ["IpamDriver.RequestAddress", "[1]", 400, "not a pool"],
      ["IpamDriver.ReleaseAddress", '{"Address":7}', 400, "Address"],
      ["NetworkDriver.Nothing", "{}", 404, "no method"],
      ["__proto__", "{}", 404, "no method"],
    ];
    for (const [path, body, status, words] of wrong) {
      const answer = await ask(path, body);
      expect([path, answer.status]).toEqual([path, status]);
      expect(answer.text).toContain(words);
    }
    expect((await ask("Plugin.Activate", "", "GET")).status).toBe(405);
    expect((await ask("Plugin.Activate", "x".repeat(2_000_000))).status).toBe(413);
    // What is gone already is no error: Docker tells it again after a crash.
    for (const [path, body] of [
      ["NetworkDriver.DeleteEndpoint", '{"NetworkID":"a","EndpointID":"b"}'],
      ["NetworkDriver.DeleteNetwork", '{"NetworkID":"a"}'],
      ["IpamDriver.ReleaseAddress", '{"PoolID":"weavepool","Address":"10.40.1.1"}'],
    ] as const) {
      expect(await ask(path, body)).toEqual({ status: 200, text: "{}\n" });
    }
  });

  describe("restarts", () => {
    let before: ReadonlyMap<string, string>;

    beforeAll(async () => {
      await h1.sh("docker rm -f c1"); // it would not be started again, and its address be among those that are shared out
      await Promise.all([
        ...BY_PLUGIN.map((name) => {
          const address = fixedAddress(name);
          return run(h1, name, "--restart=always", ...(address === undefined ? [] : [`--ip ${address}`]));
        }),
        ...BY_PROXY.map((name) =>
          h1.sh(`eval $(weave env); docker run -d --stop-timeout=0 --restart=always --name ${name} ${IMAGE} sleep 10000`),
        ),
      ]);
      before = await allBack(performance.now() + 60_000);
    }, 120_000);

    /** What container names have which address, once all run, have names on both hosts and answer to the other host. */
    async function allBack(endAt: number): Promise<ReadonlyMap<string, string>> {
      let missing = "";
      const look = async () => {
        const format = "{{.Name}} {{.State.Running}} {{.Id}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        const lines = (await h1.sh(`docker inspect -f '${format}' ${[...BY_PLUGIN, ...BY_PROXY].join(" ")}`)).trim().split("\n");
        const containers = lines.map((line) => line.slice(1).split(" ") as [string, string, string, string]);
        const { entries } = JSON.parse(await h1.sh("weave ps --json")) as { entries: readonly PsEntry[] };
        const attached = new Map(entries.map(({ id, addresses }) => [id, addresses.join().replace(/\/.*/, "")]));
        const [own, far] = [await names(h1), await names(h2)];
        const all = new Map(containers.map(([name, , id, ip]) => [name, name.startsWith("s") ? ip : (attached.get(id) ?? "")]));
        const isWrong = ([name, running]: [string, string, string, string]): boolean => {
          const address = all.get(name);
          return running !== "true" || address === "" || own.get(name) !== address || far.get(name) !== address;
        };
        missing = containers
          .filter(isWrong)
          .map(([name, running]) => `${name} ${running} ${all.get(name)} ${own.get(name)} ${far.get(name)}`)
          .join("\n");
        return missing === "" ? all : undefined;
      };
      const states =
        "docker ps -aq | xargs docker inspect -f '{{.Name}} {{.State.Status}} {{.RestartCount}} {{.State.ExitCode}} {{.State.Error}}'";
      const show = async () => `${missing}\n${(await h1.run(states)).stdout}${await logOf(h1)}`;
      const leftMs = () => Math.max(1, endAt - performance.now());
      const { found } = await waitFor("all containers", look, { deadlineMs: leftMs(), everyMs: 200, show });
      const ping = (name: string) => h2.run(`docker exec c2 ping -c1 -W1 ${found.get(name)}`);
      let silent = [...found.keys()];
      const reach = async () => {
        const answers = await Promise.all(silent.map(async (name) => (await ping(name)).code === 0));
        silent = silent.filter((_, index) => !answers[index]);
        return silent.length === 0;
      };
      await waitFor("all to be reached", reach, {
        deadlineMs: leftMs(),
        everyMs: 100,
        show: async () => `${silent}\n${await logOf(h2)}`,
      });
      return found;
    }
    /** All are back soon after it began, each as it was. `act` may tell when that was. */
    async function endures(act: () => Promise<unknown>): Promise<void> {
      const calledAt = performance.now();
      const beganAt = Number((await act()) || calledAt);
      const now = await allBack(beganAt + backMs());
      for (const name of BY_PROXY) expect([name, now.get(name)]).toEqual([name, before.get(name)]);
      for (const name of BY_PLUGIN) expect([name, now.get(name)]).toEqual([name, fixedAddress(name) ?? now.get(name)]);
      // Docker does not say for whom it asks: those without a choice share out the addresses they had.
      const all = (known: ReadonlyMap<string, string>) => BY_PLUGIN.map((name) => known.get(name)).sort();
      expect(all(now)).toEqual(all(before));
      expect(await traces(h1)).toMatchObject({ links: `${2 * COUNT} 0`, leases: `${2 * COUNT} active` });
    }
    const pidOf = (unit: string) => `$(systemctl show -p MainPID --value ${unit})`;

    test("of weave, also by kill -9, also while Docker hangs: running containers keep everything, one that is started meanwhile waits", async () => {
      const own = await names(h1);
      await h1.sh(`kill -9 ${pidOf("weave")}`);
      await run(h1, "meanwhile");
      await hosts.until("weave", h1, "weave status");
      // Docker that starts does not answer either, and what it waits for is weave's plugin.
      const { code } = await h1.run(
        `kill -STOP ${pidOf("docker")}; timeout 9 systemctl restart weave; code=$?; kill -CONT ${pidOf("docker")}; exit $code`,
      );
      expect(code).toBe(0);
      await h1.sh("docker exec meanwhile ping -c1 -W3 10.33.0.2; docker rm -f meanwhile");
      await endures(async () => {});
      const now = await names(h1);
      for (const name of [...BY_PLUGIN, ...BY_PROXY]) expect([name, now.get(name)]).toEqual([name, own.get(name)]);
    }, 60_000);

    test("of a container alone: it has the address it had", async () => {
      await h1.sh("docker restart s1 >/dev/null");
      await endures(async () => {});
    }, 60_000);

    test("what Docker could not start while weave was away runs once weave is back", async () => {
      await run(h1, "kept", "--restart=always");
      await h1.sh("docker stop kept; systemctl stop weave");
      const { code, stderr } = await h1.run("docker start kept");
      expect([code, stderr]).toEqual([1, expect.stringContaining("weavemesh")]);
      await h1.sh("systemctl start weave");
      await hosts.until("it to run", h1, "docker exec kept ping -c1 -W1 10.33.0.2");
      await h1.sh("docker rm -f kept");
      await endures(async () => {});
    }, 120_000);

    test("of Docker, then of both in either order", async () => {
      await endures(() => h1.sh("systemctl restart docker"));
      await endures(() => h1.sh("systemctl restart weave docker"));
      await h1.sh("systemctl stop weave; systemctl restart --no-block docker");
      await hosts.until("Docker to ask", h1, "journalctl -u docker -o cat -n 50 | grep -q 'Unable to connect to plugin'");
      await endures(() => h1.sh("systemctl start weave"));
    }, 240_000);

    test("kill -9 of Docker, and of both at one time", async () => {
      await endures(() => h1.sh(`kill -9 ${pidOf("docker")}`));
      await endures(() => h1.sh(`kill -9 ${pidOf("weave")} ${pidOf("docker")}`));
    }, 240_000);

    test("of the host that was off for an hour: it boots without waiting for weave, and everything is back", async () => {
      let offAt = 0;
      const isOff = () => {
        offAt = performance.now();
        const database = new Database(`${h1.root}/var/lib/weave/weave.db`);
        database.run("UPDATE leases SET freed_ms = freed_ms - 3600000");
        database.close();
      };
      await endures(async () => {
        await h1.reboot(isOff);
        return offAt;
      });
      expect(await h1.sh("journalctl -b -u docker -o cat")).not.toContain("Unable to connect to plugin");
    }, 240_000);

    test("the first password at run time brings them the MTU that leaves room for it", async () => {
      const mtu = (name: string, link: string) => `docker exec ${name} cat /sys/class/net/${link}/mtu`;
      const mtus = () => h1.sh([mtu("s1", "ethwe0"), mtu("s2", "ethwe0"), mtu("p1", "ethwe")].join("; "));
      expect(await mtus()).toBe("1430\n1430\n1430\n");
      await Promise.all(hosts.all.map((machine) => machine.sh("weave password add horse")));
      await waitFor("their MTU", async () => (await mtus()) === "1350\n1350\n1350\n", { everyMs: 200, show: mtus });
      const full = "ping -c1 -W1 -s 1322 $(weave dns-lookup c2)";
      await hosts.until("full packets", h1, `docker exec s1 ${full} && docker exec p1 ${full}`);
    }, 60_000);
  });

  test("removed containers and networks leave no link, address or name", async () => {
    await h1.sh("docker rm -f $(docker ps -aq)");
    await h2.sh("docker rm -f $(docker ps -aq)");
    await waitFor("nothing to be left", async () => (await names(h2)).size <= 1 && (await names(h1)).size <= 1, {
      show: () => logOf(h1),
    });
    for (const machine of hosts.all) expect(await traces(machine)).toEqual({ links: "0 0", leases: "0 active", own: [] });
    await h1.sh("weave reset --force");
    expect((await h1.run("docker network inspect weave")).code).not.toBe(0);
    expect((await h1.run("ls /run/docker/plugins")).stdout).toBe("");
    expect(await h1.sh("ip -o link show | grep -cE 'weave|vethw|vxlan' || true")).toBe("0\n");
  }, 60_000);
});
