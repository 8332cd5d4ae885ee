// SPDX-License-Identifier: Apache-2.0
// What hands, crashes and ends of containers leave behind, and how it becomes right again.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { renameSync, rmSync } from "node:fs";
import { Background, run } from "../../support/command.ts";
import { waitFor } from "../../support/wait.ts";
import { AttachWorld, BRIDGE, failure } from "./world.ts";

let world: AttachWorld;
let web: string;
beforeEach(async () => {
  world = await AttachWorld.make();
  web = await world.container("web");
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const ADDRESSES = ["10.32.1.5/24", "fd00:1::5/64"];

async function attached(): Promise<string> {
  await world.parts.attacher.attach({ target: web, addresses: ADDRESSES });
  expect(await world.parts.attacher.reconcile()).toEqual([]);
  return world.parts.attacher.list()[0]!.hostLink;
}

async function expectRight(): Promise<void> {
  expect(await world.addresses(web)).toEqual(ADDRESSES);
  expect(await world.inside(["ip", "link", "show", "ethwe"], web)).toMatch(/<.*\bUP\b.*\bLOWER_UP\b.*> mtu 1376/);
  expect(await world.inside(["ip", "route"], web)).toContain("224.0.0.0/4 dev ethwe");
  const link = world.parts.attacher.list()[0]!.hostLink;
  expect(world.ports()).toEqual([link]);
  expect(world.guardOf(link)?.addresses.length).toBe(2);
  expect(await world.parts.attacher.reconcile()).toEqual([]);
}

describe("what hands did is repaired", () => {
  const damages: readonly (readonly [
    what: string,
    command: (link: string) => string[],
    where: "host" | "container",
    repair: string,
  ])[] = [
    ["the pair deleted", (link) => ["ip", "link", "del", link], "host", ": made"],
    ["ethwe deleted in the container", () => ["ip", "link", "del", "ethwe"], "container", ": made"],
    ["the host end taken off the bridge", (link) => ["ip", "link", "set", link, "nomaster"], "host", ": put on bridge 'weave'"],
    ["the host end switched off", (link) => ["ip", "link", "set", link, "down"], "host", ": switched on"],
    ["ethwe switched off", () => ["ip", "link", "set", "ethwe", "down"], "container", ": switched on"],
    [
      "an address removed",
      () => ["ip", "addr", "del", "10.32.1.5/24", "dev", "ethwe"],
      "container",
      ": address 10.32.1.5/24 added",
    ],
    ["the multicast route removed", () => ["ip", "route", "del", "224.0.0.0/4"], "container", ": multicast route added"],
    ["ethwe renamed", () => ["sh", "-c", "ip link set ethwe down; ip link set ethwe name other"], "container", ": made"],
  ];
  for (const [what, command, where, repair] of damages) {
    test(what, async () => {
      const link = await attached();
      await world.inside(command(link), where === "host" ? world.host : web);
      expect(await world.parts.attacher.reconcile()).toContain(link + repair);
      await expectRight();
    });
  }

  test("the bridge removed and made again", async () => {
    const link = await attached();
    world.links.delete(BRIDGE);
    expect(await world.parts.attacher.reconcile()).toEqual([]); // nothing to hang it on; the daemon makes the bridge first
    world.makeBridge();
    expect(await world.parts.attacher.reconcile()).toEqual([`${link}: put on bridge 'weave'`]);
    await expectRight();
  });

  test("the guard is told to the switch again", async () => {
    const link = await attached();
    world.switchPorts.ports.clear();
    await world.parts.attacher.reconcile();
    expect(world.guardOf(link)?.addresses.length).toBe(2);
  });
});

describe("the end of a container", () => {
  test("drops the record, the link and the guard, and is no repair", async () => {
    await attached();
    await world.endContainer(web);
    expect(await world.parts.attacher.reconcile()).toEqual([]);
    expect([world.parts.attacher.list(), world.ports(), [...world.switchPorts.ports]]).toEqual([[], [], []]);
  });

  test("and a new namespace at the same path is another container, also with the same inode", async () => {
    await attached();
    await world.endContainer(web);
    expect(await world.container("web")).toBe(web);
    await world.parts.attacher.reconcile();
    expect(world.parts.attacher.list()).toEqual([]);
    expect(await world.addresses(web)).toEqual([]);
    await world.parts.attacher.attach({ target: web, addresses: ADDRESSES });
    await expectRight();
  });

  test("a namespace that lost its name but has a process is followed", async () => {
    await using sleeper = new Background(["ip", "netns", "exec", web, "sleep", "60"]);
    await waitFor("the process is inside", () => world.sameNetns(sleeper.pid, web));
    const link = await attached();
    await world.endContainer(web);
    await world.inside(["ip", "link", "set", link, "nomaster"]);
    expect(await world.parts.attacher.reconcile()).toEqual([`${link}: put on bridge 'weave'`]);
    expect(world.parts.attacher.list()[0]?.owner).toContain(web);
    const gone = await world.parts.attacher.detach({ target: web, addresses: [] });
    expect(gone.addresses.map(String)).toEqual(["10.32.1.5", "fd00:1::5"]);
  });

  test("a reboot forgets containers", async () => {
    await attached();
    world.crash();
    world.bootId = "boot-2";
    await world.parts.attacher.reconcile();
    expect(world.parts.attacher.list()).toEqual([]);
  });
});

class Crash extends Error {}

/** From step `count` on the process is dead: every further step fails. Tells whether it came to that. */
function crashAtStep(count: number): () => string | undefined {
  let seen = 0;
  let at: string | undefined;
  world.onStep = (step) => {
    if (seen++ < count) return;
    at ??= step;
    throw new Crash(step);
  };
  return () => at;
}

/** Runs `operation` once for every step it has, dying at that step; then a new daemon takes over and `check` looks. */
async function atEveryStep(operation: () => Promise<unknown>, check: (step: string) => Promise<void>): Promise<string[]> {
  const steps: string[] = [];
  for (let count = 0; ; count++) {
    const crashedAt = crashAtStep(count);
    await operation().catch(() => undefined);
    const step = crashedAt();
    world.onStep = () => {};
    if (step === undefined) return steps;
    steps.push(step);
    world.crash();
    await world.parts.attacher.reconcile();
    await check(step);
  }
}

async function expectNothing(): Promise<void> {
  expect([world.parts.attacher.list(), world.ports(), [...world.switchPorts.ports]]).toEqual([[], [], []]);
  expect(world.parts.store.attachments.attachments()).toEqual([]);
  expect(await world.addresses(web)).toEqual([]);
}

describe("a crash at every step", () => {
  test("of an attach: undone, and the next attach works", async () => {
    const steps = await atEveryStep(
      () => world.parts.attacher.attach({ target: web, addresses: ADDRESSES }),
      async (step) => {
        await expectNothing();
        expect(step).toBeString();
      },
    );
    expect(steps.length).toBeGreaterThan(12);
    expect(steps).toContain("make the pair");
    expect(steps.at(-1)).toBe("journal done");
    await expectRight();
  });

  test("of a second attach: the first stays as it was", async () => {
    await attached();
    const steps = await atEveryStep(
      () => world.parts.attacher.attach({ target: web, addresses: ["10.32.7.5/24"] }),
      () => expectRight(),
    );
    expect(steps).toContain("address 10.32.7.5/24");
    expect(await world.addresses(web)).toEqual(expect.arrayContaining(["10.32.7.5/24"]));
  });

  test("of a detach of one address: completed", async () => {
    await attached();
    const steps = await atEveryStep(
      () => world.parts.attacher.detach({ target: web, addresses: ["fd00:1::5/64"] }),
      async (step) => {
        if (step === "journal") return expectRight();
        expect(await world.addresses(web)).toEqual(["10.32.1.5/24"]);
        expect(world.parts.attacher.list()[0]?.addresses.length).toBe(1);
        await world.parts.attacher.attach({ target: web, addresses: ADDRESSES });
      },
    );
    expect(steps).toContain("remove address fd00:1::5/64");
  });

  test("of the last detach: completed", async () => {
    await attached();
    const steps = await atEveryStep(
      () => world.parts.attacher.detach({ target: web, addresses: [] }),
      async (step) => {
        if (step === "journal") return expectRight();
        await expectNothing();
        await world.parts.attacher.attach({ target: web, addresses: ADDRESSES });
      },
    );
    expect(steps).toEqual(["journal", "silence", "remove guard", "remove link", "journal drop"]);
  });

  test("of a tap: undone", async () => {
    const steps = await atEveryStep(
      () => world.parts.attacher.attach({ target: "tap-vm1", tap: true, addresses: ["10.32.1.9/24"] }),
      async () => {
        await expectNothing();
        expect(world.links.get("tap-vm1")).toBeUndefined();
      },
    );
    expect(steps).toContain("make the tap");
  });
});

test("a failure at every step undoes in reverse at once, without a restart", async () => {
  for (let count = 0; ; count++) {
    let seen = 0;
    world.onStep = (step) => {
      if (seen++ === count) throw new Error(`no luck with ${step}`);
    };
    const outcome = await world.parts.attacher.attach({ target: web, addresses: ADDRESSES }).catch((thrown: Error) => thrown);
    world.onStep = () => {};
    if (!(outcome instanceof Error)) break;
    expect(outcome.message).toContain("no luck with");
    await expectNothing();
  }
  await expectRight();
});

test("a container that ends while it is attached is a clear error and leaves nothing", async () => {
  world.onStep = (step) => {
    if (step === "guest") Bun.spawnSync(["ip", "netns", "del", web]);
  };
  const refusal = await failure(world.parts.attacher.attach({ target: web, addresses: ADDRESSES }));
  expect(refusal.message).toMatch(/has gone|it ended while/); // noticed by its path or by its link, whichever the kernel takes away first
  world.onStep = () => {};
  expect([world.parts.attacher.list(), [...world.switchPorts.ports]]).toEqual([[], []]);
  await waitFor("the kernel removed the pair", () => world.ports().length === 0);
});

test("with the database lost, containers are found again and can be detached", async () => {
  const link = await attached();
  world.crash();
  for (const suffix of ["", "-wal", "-shm"]) {
    try {
      renameSync(`${world.dataDir}/weave.db${suffix}`, `${world.dataDir}/lost${suffix}`);
    } catch {} // SQLite removes its companions when it closes
  }
  expect(await world.parts.attacher.reconcile()).toContain(`${link}: adopted, its record was missing`);
  await expectRight();
  await world.parts.attacher.detach({ target: web, addresses: [] });
  await expectNothing();
});

describe("a process killed in the middle of an attach", () => {
  const steps = [
    "link",
    "make the pair",
    "put on the bridge",
    "guard",
    "address 10.32.1.5/24",
    "multicast route",
    "journal done",
  ];
  for (const step of steps) {
    test(`before '${step}': the next daemon leaves nothing of it, then attaches`, async () => {
      const victim = [process.execPath, `${import.meta.dir}/victim.ts`, world.host, world.dataDir, web, step, ...ADDRESSES];
      const ended = await run(victim);
      expect({ code: ended.code, stderr: ended.stderr }).toEqual({ code: 128 + 9, stderr: "" });
      expect(world.parts.store.attachments.attachments().length).toBe(1);
      expect(await world.parts.attacher.reconcile()).toEqual([
        expect.stringContaining("unfinished work of an earlier run undone"),
      ]);
      await expectNothing();
      await world.parts.attacher.attach({ target: web, addresses: ADDRESSES });
      await expectRight();
    });
  }
});

describe("when the disk is full", () => {
  beforeEach(async () => {
    await run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", world.dataDir]);
  });
  afterEach(async () => {
    world.crash();
    await run(["umount", "-l", world.dataDir]);
  });
  const fill = (): Promise<unknown> => run(["sh", "-c", `cat /dev/zero >${world.dataDir}/fill; true`]);

  test("an attach is refused before the kernel is touched, and works when there is space", async () => {
    expect(world.parts.attacher.list()).toEqual([]);
    await fill();
    const refusal = await failure(world.parts.attacher.attach({ target: web, addresses: ADDRESSES }));
    expect(refusal.message).toBe(`cannot write database ${world.dataDir}/weave.db: the disk is full`);
    await expectNothing();
    rmSync(`${world.dataDir}/fill`);
    await world.parts.attacher.attach({ target: web, addresses: ADDRESSES });
    await expectRight();
  });

  test("an attach that runs into it at its end leaves nothing in the kernel, and its record goes later", async () => {
    expect(world.parts.attacher.list()).toEqual([]);
    let isFirst = true;
    world.onStep = (step) => {
      if (step === "guest" && isFirst) Bun.spawnSync(["sh", "-c", `cat /dev/zero >${world.dataDir}/fill`]);
      if (step === "guest") isFirst = false;
    };
    const many = Array.from({ length: 250 }, (_, i) => `10.32.${i + 1}.5/24`); // a row of several pages
    const refusal = await failure(world.parts.attacher.attach({ target: web, addresses: many }));
    expect(refusal.message).toContain("the disk is full");
    expect([world.ports(), [...world.switchPorts.ports], await world.addresses(web)]).toEqual([[], [], []]);
    rmSync(`${world.dataDir}/fill`);
    await world.parts.attacher.reconcile();
    await expectNothing();
  });
});

test("a port of our name whose other end is nowhere to be found is left alone, and not looked for again and again", async () => {
  await world.inside(["ip", "link", "add", "vethweplx", "type", "veth", "peer", "name", "x"]);
  await world.inside(["ip", "link", "set", "vethweplx", "master", BRIDGE]);
  for (let pass = 0; pass < 2; pass++) expect(await world.parts.attacher.reconcile()).toEqual([]);
  expect(world.ports()).toEqual(["vethweplx"]);
});
