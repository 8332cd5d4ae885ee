// SPDX-License-Identifier: Apache-2.0
// Docker's network plugin on real hosts with Docker Engine: `docker run --net=weave` as its users know it, wrong requests, and what must come back by
// itself after restarts and crashes of either daemon and of the host.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { waitFor } from "../support/wait.ts";
import { IMAGE, type Machine, Machines, whyNoHosts } from "./machine.ts";

const why = whyNoHosts("docker");
const COUNT = 20;
/** Containers the host brings back: every second one has an address of its own choice. */
const NAMES = Array.from({ length: COUNT }, (_, index) => `s${index + 1}`);
const fixedAddress = (name: string): string | undefined => {
  const number = Number(name.slice(1));
  return number % 2 === 0 ? `10.33.0.${number}` : undefined;
};

const hosts = why === undefined ? describe : () => undefined;
hosts("docker run --net=weave", () => {
  let machines: Machines;
  let h1: Machine;
  let h2: Machine;

  beforeAll(async () => {
    machines = await Machines.bootWithDocker("h1", "h2");
    [h1, h2] = machines.all as [Machine, Machine];
  }, 180_000);
  afterAll(async () => {
    await machines?.[Symbol.asyncDispose]();
  }, 60_000);

  const log = async (machine: Machine) => (await machine.run("journalctl -u weave -o cat | tail -20; weave status")).stdout;
  const until = (what: string, machine: Machine, line: string, deadlineMs = 30_000) =>
    waitFor(what, async () => (await machine.run(line)).code === 0, {
      deadlineMs,
      everyMs: 100,
      show: () => log(machine),
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
    const links = (await machine.sh("ip -o link show | grep -c vethw[lg] || true")).trim();
    const leases = (await machine.sh("weave status ipam | grep -oE '[0-9]+ active'")).trim();
    const own = [...(await names(machine)).keys()].filter((name) => name !== "");
    return { links, leases, own };
  };

  test("launch makes the network; containers of two hosts reach each other by address, name and alias", async () => {
    await Promise.all(machines.all.map((machine) => until("the network", machine, "docker network inspect weave")));
    await run(h1, "c1", "$(weave dns-args)", "--network-alias=one");
    await run(h2, "c2", "-h two.weave.local", "$(weave dns-args)");
    await until("the names", h1, "weave dns-lookup two.weave.local | grep -q . && weave dns-lookup one | grep -q .");
    const [a1, a2] = [await addressOf(h1, "c1"), await addressOf(h2, "c2")];
    expect(a1).not.toBe(a2);
    expect(await h1.sh("weave dns-lookup one; weave dns-lookup c1")).toBe(`${a1}\n${a1}\n`);
    await until("the other by its address", h1, `docker exec c1 ping -c1 -W1 ${a2}`);
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
    const present = (known: ReadonlyMap<string, string>) => NAMES.filter((name) => known.has(name));

    beforeAll(async () => {
      await h1.sh("docker rm -f c1"); // it would not be started again, and its address be among those that are shared out
      await Promise.all(
        NAMES.map((name) => {
          const address = fixedAddress(name);
          return run(h1, name, "--restart=always", ...(address === undefined ? [] : [`--ip ${address}`]));
        }),
      );
      await allBack();
      before = await names(h1);
    }, 60_000);

    /** All run, have names, and are reached from the other host. */
    async function allBack(): Promise<void> {
      const show = async () => `${[...(await names(h1))].join(" ")}\n${await log(h1)}`;
      const running = `[ "$(docker ps -q --filter name=^s | wc -l)" = ${COUNT} ]`;
      await waitFor("all containers", async () => (await h1.run(running)).code === 0, { deadlineMs: 30_000, everyMs: 200, show });
      await waitFor("all names on the other host", async () => present(await names(h2)).length === COUNT, {
        deadlineMs: 30_000,
        everyMs: 200,
        show,
      });
      // Names may be of before, until Docker tells whose they are now.
      const format = "{{.Name}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
      const right = async () => {
        const [own, far] = [await names(h1), await names(h2)];
        const lines = (await h1.sh(`docker inspect -f '${format}' ${NAMES.join(" ")}`)).trim().split("\n");
        return lines.every((line) => {
          const [name = "", address] = line.slice(1).split(" ");
          return own.get(name) === address && far.get(name) === address;
        });
      };
      await waitFor("every name to be right on both hosts", right, { deadlineMs: 30_000, everyMs: 200, show });
      const known = await names(h1);
      const addresses = NAMES.map((name) => known.get(name)).join(" ");
      await until(
        "all to be reached",
        h2,
        `for address in ${addresses}; do docker exec c2 ping -c1 -W1 $address || exit 1; done`,
      );
    }
    async function expectSame(): Promise<void> {
      await allBack();
      const now = await names(h1);
      for (const name of NAMES) {
        const address = fixedAddress(name);
        if (address !== undefined) expect([name, now.get(name)]).toEqual([name, address]);
      }
      // Docker does not say for whom it asks: those without a choice share out the addresses they had.
      const all = (known: ReadonlyMap<string, string>) => NAMES.map((name) => known.get(name)).sort();
      expect(all(now)).toEqual(all(before));
    }
    const kill9 = (unit: string) => h1.sh(`kill -9 $(systemctl show -p MainPID --value ${unit})`);

    test("of weave, also by kill -9: running containers keep everything, a container that is started meanwhile waits for it", async () => {
      const own = await names(h1);
      await h1.sh("docker exec -d s2 ping -i 0.1 -w 8 $(weave dns-lookup c2) >/dev/null");
      await kill9("weave");
      await run(h1, "meanwhile");
      await until("weave", h1, "weave status");
      await h1.sh("systemctl restart weave; docker exec meanwhile ping -c1 -W3 10.33.0.2; docker rm -f meanwhile");
      await allBack();
      const now = await names(h1);
      for (const name of NAMES) expect([name, now.get(name)]).toEqual([name, own.get(name)]);
    }, 60_000);

    test("of a container alone: it has the address it had", async () => {
      const own = await names(h1);
      await h1.sh("docker restart s1 >/dev/null");
      await waitFor("its name", async () => (await names(h1)).get("s1") === own.get("s1"), {
        deadlineMs: 10_000,
        show: () => log(h1),
      });
    }, 60_000);

    test("of Docker, then of both in either order", async () => {
      await h1.sh("systemctl restart docker");
      await expectSame();
      await h1.sh("systemctl restart docker weave");
      await expectSame();
    }, 240_000);

    test("kill -9 of Docker, and of both at one time", async () => {
      await kill9("docker");
      await until("docker", h1, "timeout 2 docker version", 90_000); // a loaded machine takes its time for twenty containers
      await expectSame();
      await h1.sh("kill -9 $(systemctl show -p MainPID --value weave) $(systemctl show -p MainPID --value docker)");
      await until("docker", h1, "timeout 2 docker version", 90_000);
      await expectSame();
    }, 240_000);

    test("of the host: it boots without waiting for weave, and everything is back", async () => {
      await h1.reboot();
      await expectSame();
      expect(await h1.sh("journalctl -b -u docker -o cat")).not.toContain("Unable to locate plugin");
    }, 240_000);
  });

  test("removed containers and networks leave no link, address or name", async () => {
    await h1.sh("docker rm -f $(docker ps -aq)");
    await h2.sh("docker rm -f $(docker ps -aq)");
    await waitFor("nothing to be left", async () => (await names(h2)).size <= 1 && (await names(h1)).size <= 1, {
      show: () => log(h1),
    });
    for (const machine of machines.all) expect(await traces(machine)).toEqual({ links: "0", leases: "0 active", own: [] });
    await h1.sh("weave reset --force");
    expect((await h1.run("docker network inspect weave")).code).not.toBe(0);
    expect((await h1.run("ls /run/docker/plugins")).stdout).toBe("");
    expect(await h1.sh("ip -o link show | grep -cE 'weave|vethw|vxlan' || true")).toBe("0\n");
  }, 60_000);
});

if (why !== undefined) test.skip(`hosts with Docker (${why})`, () => undefined);
