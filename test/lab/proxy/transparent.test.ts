// SPDX-License-Identifier: Apache-2.0
// What passes through the proxy is as it is without: streams, terminals, builds, copies, other clients, TLS. Real Docker, its own clients.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Background, labEnvironment, must } from "../../support/command.ts";
import { EXECUTABLE } from "../../support/lab-host.ts";
import { waitFor } from "../../support/wait.ts";
import { dockerMissing, IMAGE } from "../attach/dockerd.ts";
import { composeMissing, differences, makeComposeImages, runComposeTests } from "./compose.ts";
import { ProxyWorld } from "./world.ts";

const missing = dockerMissing();
if (missing !== undefined) console.warn(`skipped: Docker API proxy: ${missing}`);
const TCP = 12375;

/** A choice that is quick; `bench -- sdk` runs all. */
const COMPOSE_TESTS = [
  "tests/integration/network_test.py",
  "tests/integration/volume_test.py",
  ...[
    "build_with_build_args",
    "create_container_with_extra_hosts_list",
    "create_container_with_one_off",
    "create_container_with_volume_mount",
    "network_mode_host",
    "network_mode_none",
    "scale_with_immediate_exit",
    "start_container_creates_fixed_external_ports",
  ].map((name) => `tests/integration/service_test.py::ServiceTest::test_${name}`),
  ...["events_json", "exec_without_tty", "logs_follow", "run_handles_sigterm"].map(
    (name) => `tests/acceptance/cli_test.py::CLITestCase::test_${name}`,
  ),
];

describe.skipIf(missing !== undefined)("through the proxy", () => {
  let world: ProxyWorld;
  beforeAll(async () => {
    world = await ProxyWorld.start(
      "--ipalloc-range",
      "10.40.0.0/16",
      "-H",
      "unix:///run/weave/weave.sock",
      "-H",
      `127.0.0.1:${TCP}`,
    );
    await world.sleeper("box");
  }, 90_000);
  afterAll(async () => await world?.[Symbol.asyncDispose](), 60_000);

  test("env and config lead to it, from TCP and socket, and back", async () => {
    const inside = (script: string) => world.host.must(["sh", "-c", script.replaceAll("weave ", `${EXECUTABLE} `)]);
    const address = `tcp://127.0.0.1:${TCP}`;
    expect(await inside("weave env")).toBe(`export DOCKER_HOST=${address} ORIG_DOCKER_HOST=\n`);
    expect(await inside("weave config")).toBe(`-H=${address}\n`);
    expect(await inside("eval $(weave env) && docker ps -q | wc -l && docker $(weave config) ps -q | wc -l")).toBe("1\n1\n");
    const back =
      "export DOCKER_HOST=tcp://10.0.0.9:1; eval $(weave env); weave env; eval $(weave env --restore); echo $DOCKER_HOST";
    expect(await inside(back)).toBe(`export DOCKER_HOST=${address} \ntcp://10.0.0.9:1\n`);
    expect((await world.host.weave("env", "--restore")).code).toBe(1);
    const report = await world.host.mustWeave("report", "-f", "{{.Proxy.Addresses}}");
    expect(report).toContain(`[${address} unix:///run/weave/weave.sock]`);
    expect(await world.host.mustWeave("status")).toMatch(/ Service: proxy\n +Address: tcp:/);
  }, 60_000);

  test("exec -i with 30 MB of stdin, its exit code, and logs as they come", async () => {
    const big = Buffer.alloc(30_000_000, "x");
    const child = Bun.spawn([...world.command, "exec", "-i", "box", "sh", "-c", "wc -c; exit 5"], {
      stdin: big,
      stdout: "pipe",
      env: labEnvironment(),
    });
    expect([(await child.stdout.text()).trim(), await child.exited]).toEqual(["30000000", 5]);
    await world.must(["run", "-d", "--name", "talker", IMAGE, "sh", "-c", "echo one; sleep 1; echo two"]);
    expect(await world.must(["logs", "-f", "talker"])).toBe("one\ntwo");
    expect(await world.must(["exec", "box", "sh", "-c", "yes | head -c 20000000 | wc -c"])).toBe("20000000");
    const direct = Bun.spawn([...world.command, "exec", "box", "sh", "-c", "yes | head -c 20000000"], {
      stdout: "pipe",
      env: labEnvironment(),
    });
    expect((await direct.stdout.bytes()).length).toBe(20_000_000);
  }, 60_000);

  test("a terminal: run -it, typed at and ended", async () => {
    const inside = "'test -t 0 && echo ready; read line; echo got $line; ip link show ethwe'";
    const line = [...world.command, "run", "--rm", "-it", IMAGE, "sh", "-c", inside].join(" ");
    const child = Bun.spawn(["script", "-qec", line, "/dev/null"], { stdin: "pipe", stdout: "pipe", env: labEnvironment() });
    let said = "";
    const all = (async () => {
      for await (const part of child.stdout) said += Buffer.from(part).toString();
    })();
    await waitFor("the program to ask", () => said.includes("ready"), { deadlineMs: 20_000, show: () => said });
    child.stdin.write("typed\n");
    await child.stdin.flush();
    await waitFor("its end", () => child.exitCode !== null, { deadlineMs: 20_000, show: () => said });
    await all;
    expect(said).toContain("got typed");
    expect(said).toMatch(/ethwe.*UP/);
  }, 60_000);

  test("cp both ways, build, save, events and stats", async () => {
    const folder = join(world.engine.folder, "context");
    mkdirSync(folder);
    writeFileSync(join(folder, "file"), Buffer.alloc(5_000_000, "y"));
    writeFileSync(join(folder, "Dockerfile"), `FROM ${IMAGE}\nCOPY file /file\nRUN wc -c /file > /size\n`);
    await world.must(["cp", join(folder, "file"), "box:/copied"]);
    await world.must(["cp", "box:/copied", join(folder, "back")]);
    expect(Bun.file(join(folder, "back")).size).toBe(5_000_000);
    const events = new Background([...world.command, "events", "--filter", "type=container", "--format", "{{.Action}}"]);
    await using _events = events;
    await must([...world.command, "build", "-t", "built", folder], { env: { DOCKER_BUILDKIT: "0" }, deadlineMs: 60_000 });
    expect(await world.must(["run", "--rm", "built", "cat", "/size"])).toContain("5000000");
    await waitFor("the events of it", () => /start[\s\S]*die/.test(events.stdout), { show: () => events.stdout });
    const digest = async (command: readonly string[]): Promise<string> =>
      await must(["sh", "-c", `${command.join(" ")} save built | sha256sum`]);
    expect(await digest(world.command)).toBe(await digest(world.engine.command));
    expect(await world.must(["stats", "--no-stream", "--format", "{{.Name}}", "box"])).toBe("box");
  }, 120_000);

  test.skipIf(Bun.spawnSync(["python3", "-c", "import docker"]).exitCode !== 0)(
    "Docker's Python library does its work",
    async () => {
      const script = `
import docker, io, sys, tarfile
client = docker.DockerClient(base_url=sys.argv[1])
assert client.ping() and client.version()["ApiVersion"]
box = client.containers.run("${IMAGE}", ["sh", "-c", "echo out; echo err >&2; sleep 600"], detach=True, name="py", environment={"WEAVE_CIDR": "10.44.0.1/24"})
assert b"10.44.0.1/24" in box.exec_run("ip addr show ethwe").output
assert client.containers.run("${IMAGE}", "cat /etc/hostname", remove=True).strip()
out = box.exec_run(["sh", "-c", "echo a; echo b >&2; exit 4"], demux=True)
assert out.exit_code == 4 and out.output == (b"a\\n", b"b\\n"), out
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
  data = b"z" * 1000000
  entry = tarfile.TarInfo("big"); entry.size = len(data)
  tar.addfile(entry, io.BytesIO(data))
assert box.put_archive("/tmp", archive.getvalue())
stream, stat = box.get_archive("/tmp/big")
assert stat["size"] == 1000000 and sum(len(part) for part in stream) > 1000000
sock = box.attach_socket(params={"stdin": 1, "stream": 1}); sock.close()
assert box.stats(stream=False)["name"] == "/py"
box.rename("py2"); box.pause(); box.unpause(); box.restart(timeout=0)
assert b"10.44.0.1/24" in box.exec_run("ip addr show ethwe").output
assert box.logs(stdout=True, stderr=False).count(b"out") == 2
box.kill(); assert box.wait()["StatusCode"] == 137
try:
  client.containers.run("${IMAGE}", "true", environment={"WEAVE_CIDR": "nonsense"})
  assert False
except docker.errors.APIError as error:
  assert error.status_code == 400 and "nonsense" in error.explanation, error
try:
  client.containers.run("no/such-image", "true")
  assert False
except docker.errors.APIError as error: pass
box.remove(); print("done")
`;
      expect((await must(["python3", "-c", script, `unix://${world.socket}`], { deadlineMs: 50_000 })).trim()).toBe("done");
    },
    60_000,
  );

  const noCompose = composeMissing();
  if (noCompose !== undefined) console.warn(`skipped: tests of Docker's Python library: ${noCompose}`);
  test.skipIf(noCompose !== undefined)(
    "what Docker's Python library does for Compose ends as it does without",
    async () => {
      await makeComposeImages(world.engine);
      const direct = await runComposeTests(world.engine.socket, COMPOSE_TESTS, 180_000);
      expect(differences(direct, await runComposeTests(world.socket, COMPOSE_TESTS, 180_000))).toEqual([]);
      expect([...direct].filter(([, outcome]) => outcome !== "passed")).toEqual([]);
      expect(direct.size).toBeGreaterThanOrEqual(COMPOSE_TESTS.length);
    },
    380_000,
  );

  test("calls that begin and never end hold nothing, and others go on", async () => {
    const slow = Array.from({ length: 200 }, () => connect(world.socket));
    for (const socket of slow) {
      socket.on("error", () => {});
      socket.write("POST /containers/create HTTP/1.1\r\nContent-Length: 100\r\n\r\n{");
    }
    expect(await world.must(["ps", "-q"])).not.toBe("");
    for (const socket of slow) socket.destroy();
    const pid = world.host.daemonPid();
    const sockets = async (): Promise<number> => await must(["sh", "-c", `ls -l /proc/${pid}/fd | grep -c socket:`]).then(Number);
    await waitFor("their sockets to be closed", async () => (await sockets()) < 60, {
      deadlineMs: 30_000,
      everyMs: 100,
      show: sockets,
    });
  }, 60_000);

  test("TLS: clients with a certificate of ours are served, others are not; by flags, or as Docker does", async () => {
    const certs = join(world.engine.folder, "certs");
    mkdirSync(certs);
    const make = `cd ${certs} && openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=ca 2>&1
for name in server client; do
  openssl req -newkey rsa:2048 -nodes -keyout $name-key.pem -out $name.csr -subj /CN=$name 2>&1
  printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth,clientAuth\\n' >ext
  openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out $name.pem -days 2 -extfile ext 2>&1
done
mkdir client && cp ca.pem client/ca.pem && cp client.pem client/cert.pem && cp client-key.pem client/key.pem`;
    await must(["sh", "-c", make]);
    await world.host.mustWeave("stop");
    // Named like Docker, but in another network: one inside a container.
    const inside = `exec -a dockerd bash -c 'sleep 600; true' --tlsverify --tlscert=/inside`;
    await using _inside = new Background(["unshare", "--net", "bash", "-c", inside]);
    const certificates = [
      ["tlscacert", "ca.pem"],
      ["tlscert", "server.pem"],
      ["tlskey", "server-key.pem"],
    ] as const;
    const server = ["--tlsverify", ...certificates.flatMap(([name, file]) => [`--${name}`, join(certs, file)])];
    await world.engine.down();
    await world.engine.up("--host", "tcp://127.0.0.1:2376", ...server);
    await world.launch(
      ...["--ipalloc-range", "10.40.0.0/16", "-H", `tcp://127.0.0.1:${TCP}`, ...server],
      ...["--docker-api", "tcp://127.0.0.1:2376", "--docker-tls-verify", "--docker-cert-path", join(certs, "client")],
    );
    const client = (...words: readonly string[]) =>
      world.host.run(["docker", "-H", `tcp://127.0.0.1:${TCP}`, ...words], { env: { DOCKER_CERT_PATH: join(certs, "client") } });
    const served = await client("--tlsverify", "run", "--rm", IMAGE, "ip", "link", "show", "ethwe");
    expect(served).toMatchObject({ code: 0, stdout: expect.stringContaining("UP") });
    await client("--tlsverify", "run", "-d", "--name", "secure", IMAGE, "sleep", "600");
    const input = world.host.enter(["docker", "-H", `tcp://127.0.0.1:${TCP}`, "--tlsverify", "exec", "-i", "secure", "wc", "-c"]);
    const child = Bun.spawn(input, {
      stdin: Buffer.alloc(1_000_000),
      stdout: "pipe",
      env: labEnvironment({ DOCKER_CERT_PATH: join(certs, "client") }),
    });
    expect((await child.stdout.text()).trim()).toBe("1000000");
    expect((await client("ps")).code).toBe(1);
    const stranger = await world.host.run(
      ["openssl", "s_client", "-quiet", "-connect", `127.0.0.1:${TCP}`, "-CAfile", join(certs, "ca.pem")],
      { stdin: "GET /version HTTP/1.1\r\nHost: docker\r\n\r\n" },
    );
    expect(stranger.stderr).toContain("certificate required");
    expect(stranger.stdout).toBe("");

    // Without TLS flags of its own the proxy does as Docker does, whose settings may be flags or stand in its file.
    const settings = { tlsverify: true, ...Object.fromEntries(certificates.map(([name, file]) => [name, join(certs, file)])) };
    const shown = `--tlsverify ${certificates.map(([name, file]) => `--${name}=${join(certs, file)}`).join(" ")}`;
    expect(await world.host.mustWeave("docker-tls-args")).toBe(shown);
    await world.host.mustWeave("stop");
    await world.engine.down();
    expect((await world.host.weave("docker-tls-args")).code).toBe(1);
    const config = join(world.engine.folder, "daemon.json");
    writeFileSync(config, JSON.stringify(settings));
    await world.engine.up("--host", "tcp://127.0.0.1:2376", "--config-file", config);
    expect(await world.host.mustWeave("docker-tls-args")).toBe(shown);
    const plain = ["--ipalloc-range", "10.40.0.0/16", "-H", `tcp://127.0.0.1:${TCP}`];
    await world.launch(...plain);
    expect(await client("--tlsverify", "version")).toMatchObject({ code: 0 });
    expect((await client("version")).code).toBe(1);
    await world.host.mustWeave("stop");
    await world.launch(...plain, "--no-detect-tls");
    expect(await client("version")).toMatchObject({ code: 0 });
  }, 120_000);
});
