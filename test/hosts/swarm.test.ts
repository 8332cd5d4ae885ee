// SPDX-License-Identifier: Apache-2.0
// Docker's swarm over the managed plugin: made on each node from the installed executable, a service with replicas on two hosts, more and fewer of them, a
// drained node, a network without containers.
import { beforeAll, expect, test } from "bun:test";
import { waitFor } from "../support/wait.ts";
import { withDockerHosts } from "./docker-hosts.ts";
import { IMAGE, type Machine } from "./machine.ts";

withDockerHosts("services of a swarm", (hosts) => {
  let h1: Machine;
  let h2: Machine;

  beforeAll(async () => {
    [h1, h2] = hosts.all;
    await h1.sh(`docker swarm init --advertise-addr ${h1.address}`);
    const token = (await h1.sh("docker swarm join-token -q worker")).trim();
    await h2.sh(`docker swarm join --token ${token} ${h1.address}:2377`);
  }, 60_000);

  const show = async () =>
    `${(await h1.run("docker service ps --no-trunc web; docker node ls")).stdout}${(await h2.run("journalctl -u weave -o cat | tail -5; journalctl -u docker -o cat | tail -5")).stdout}`;
  const tasks = async (machine: Machine) =>
    (await machine.sh("docker ps -q --filter label=com.docker.swarm.service.name=web")).trim().split("\n").filter(Boolean);
  const running = (on1: number, on2: number) =>
    waitFor(`${on1} and ${on2} tasks`, async () => (await tasks(h1)).length === on1 && (await tasks(h2)).length === on2, {
      deadlineMs: 40_000,
      everyMs: 200,
      show,
    });
  const addressOf = async (machine: Machine, id: string) =>
    /inet ([\d.]+)/.exec(await machine.sh(`docker exec ${id} ip -o -4 addr show dev ethwe0`))?.[1] ?? "";

  test("the plugin is made from the executable, without a registry", async () => {
    await Promise.all(hosts.all.map((machine) => machine.sh("weave docker-plugin create")));
    expect(await h1.sh("docker plugin ls --format '{{.Name}} {{.Enabled}}'")).toBe("weave:latest true\n");
    const { code, stderr } = await h1.run("weave docker-plugin create");
    expect(code).toBe(1);
    expect(stderr).toContain("Docker cannot make the plugin 'weave'");
    expect(await h1.sh("docker plugin ls --format '{{.Name}} {{.Enabled}}'")).toBe("weave:latest true\n");
  }, 60_000);

  test("replicas on two hosts reach each other by address and name", async () => {
    await h1.sh("docker network create --driver weave:latest --subnet 10.99.0.0/24 wide");
    const constraint = "--endpoint-mode dnsrr --no-resolve-image --stop-grace-period 0s --detach";
    await h1.sh(
      `docker service create --name web ${constraint} --network wide --replicas-max-per-node 1 --replicas 2 ${IMAGE} sleep 10000`,
    );
    await running(1, 1);
    const [[one = ""], [two = ""]] = [await tasks(h1), await tasks(h2)];
    const [a1, a2] = [await addressOf(h1, one), await addressOf(h2, two)];
    expect([a1.startsWith("10.99.0."), a2.startsWith("10.99.0."), a1 !== a2]).toEqual([true, true, true]);
    await waitFor("each to reach the other", async () => (await h1.run(`docker exec ${one} ping -c1 -W1 ${a2}`)).code === 0, {
      deadlineMs: 20_000,
      show,
    });
    await h2.sh(`docker exec ${two} ping -c1 -W3 ${a1}`);
    await waitFor(
      "both under the service's name",
      async () => {
        const found = (await h1.run(`docker exec ${one} nslookup web`)).stdout;
        return found.includes(a1) && found.includes(a2);
      },
      { deadlineMs: 20_000, show },
    );
  }, 100_000);

  test("both hosts are restarted: the replicas are back and reach each other", async () => {
    await Promise.all(hosts.all.map((machine) => machine.reboot()));
    await waitFor(
      "new replicas that reach each other",
      async () => {
        const [[one = ""], [two = ""]] = [await tasks(h1), await tasks(h2)];
        const address = await addressOf(h2, two);
        return (await h1.run(`docker exec ${one} ping -c1 -W1 ${address}`)).code === 0;
      },
      { deadlineMs: 60_000, everyMs: 200, show },
    );
  }, 120_000);

  test("more, a drained node, fewer: tasks come and go with their interfaces", async () => {
    const links = async (machine: Machine) => Number((await machine.sh("ip -o link show | grep -c vethwl || true")).trim());
    await h1.sh("docker service update --detach --replicas-max-per-node 0 --replicas 4 web");
    await waitFor("four tasks", async () => (await tasks(h1)).length + (await tasks(h2)).length === 4, {
      deadlineMs: 40_000,
      everyMs: 200,
      show,
    });
    await h1.sh("docker node update --availability drain h2");
    await running(4, 0);
    await waitFor("no interface of theirs", async () => (await links(h2)) === 0, { show });
    expect(await links(h1)).toBe(4);
    const [one = "", two = ""] = await tasks(h1);
    await h1.sh(`docker exec ${one} ping -c1 -W3 ${await addressOf(h1, two)}`);
    await h1.sh("docker service update --detach --replicas 1 web");
    await running(1, 0);
    await waitFor("no interface of those that are no more wanted", async () => (await links(h1)) === 1, { show });
    await h1.sh("docker service rm web");
    await running(0, 0);
    await waitFor("the network to be free", async () => (await h1.run("docker network rm wide")).code === 0, {
      deadlineMs: 20_000,
      everyMs: 200,
      show,
    });
    expect(await links(h1)).toBe(0);
  }, 150_000);

  test("without the daemon the plugin says so, and Docker starts all the same", async () => {
    await h1.sh("weave stop; systemctl restart docker");
    const create = "docker network create --driver weave:latest --subnet 10.98.0.0/24 --attachable late";
    await h1.sh(`${create}`);
    // Docker waits 20 s for the task and then tells of the time only; the reason is in its journal at once.
    await h1.run(`timeout 3 docker run --name early --net=late ${IMAGE} true`);
    expect(await h1.sh("journalctl -u docker -o cat")).toMatch(
      /CreateNetwork: weave: the daemon of this host does not answer.*weave launch/,
    );
    await h1.sh("docker rm -f early");
    await h1.sh("systemctl start weave");
    await h1.sh(`docker run --rm --net=late ${IMAGE} true`);
    await h1.sh("docker network rm late; docker plugin disable -f weave; docker plugin rm weave");
  }, 60_000);
});
