// SPDX-License-Identifier: Apache-2.0
// Docker's Python library at work: the tests that Docker made for Compose 1.29, which is written on it. They create, start, attach, exec into, log, scale,
// recreate and remove containers, networks and volumes, build images and follow events, against any daemon. packaging/setup.sh unpacks them below
// dist/ from Debian's source package; they run as they are. Those that need images of the hub fail with and without the proxy.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { busybox, makeBusyboxRoot } from "../../support/busybox.ts";
import { must, run } from "../../support/command.ts";
import { type CaseResult, readJunit } from "../../vm/junit.ts";
import type { DockerDaemon } from "../attach/dockerd.ts";

const SUITE = new URL("../../../dist/compose", import.meta.url).pathname;
/** Debian's, which has the libraries. */
const PYTHON = "/usr/bin/python3";
const LIBRARIES = "compose, pytest, ddt";
/** Images the tests name; all of them are busybox. */
const IMAGES = ["busybox:1.31.0-uclibc", "busybox:latest", "busybox:1.27.2", "alpine:latest", "alpine:3.10.1", "nginx:latest"];

/** Why they cannot run here; undefined: they can. */
export function composeMissing(): string | undefined {
  if (!existsSync(join(SUITE, "tests/integration/service_test.py"))) return "Compose's tests are not unpacked";
  const { exitCode } = Bun.spawnSync([PYTHON, "-c", `import ${LIBRARIES}`], { stdout: "ignore", stderr: "ignore" });
  return exitCode === 0 ? undefined : `not all of Python's ${LIBRARIES} are installed`;
}

export async function makeComposeImages(engine: DockerDaemon): Promise<void> {
  const root = join(engine.folder, "compose-root");
  const tools = (await must([busybox() ?? "", "--list"])).split("\n").filter((name) => name !== "" && name !== "busybox");
  await makeBusyboxRoot(root, tools);
  await Bun.write(join(root, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
  await Bun.write(join(root, "etc/group"), "root:x:0:\n");
  const [first = "", ...others] = IMAGES;
  await must(["sh", "-c", `tar -C ${root} -c . | ${engine.command.join(" ")} import -c 'CMD ["sh"]' - ${first}`]);
  for (const name of others) await engine.docker("tag", first, name);
}

export type Outcomes = ReadonlyMap<string, CaseResult["outcome"]>;

/** Runs those that are chosen, by file or name (`tests/integration/service_test.py::ServiceTest::test_create`). @throws {Error} none of them ran */
export async function runComposeTests(socket: string, chosen: readonly string[], deadlineMs: number): Promise<Outcomes> {
  const folder = mkdtempSync(join(tmpdir(), "weave-compose-"));
  const report = join(folder, "report.xml");
  const command = [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=no", `--junitxml=${report}`, ...chosen];
  const env = {
    DOCKER_HOST: `unix://${socket}`,
    DOCKER_BUILDKIT: "0",
    PATH: "/usr/bin:/bin", // some of the tests run docker-compose
    PYTHONDONTWRITEBYTECODE: "1",
    TMPDIR: folder,
  };
  try {
    const { code, stdout, stderr } = await run(["env", "-C", SUITE, ...command], { env, deadlineMs });
    const outcomes = new Map<string, CaseResult["outcome"]>();
    if (code > 1) throw new Error(`Compose's tests did not run: ${stdout}${stderr}`); // 1: some have failed
    for (const { name, outcome } of readJunit(readFileSync(report, "utf8"))) {
      if (outcomes.get(name) !== "failed") outcomes.set(name, outcome); // what fails while it cleans up is told a second time
    }
    return outcomes;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `NAME: passed, failed`, of those whose outcome is another one. */
export function differences(before: Outcomes, after: Outcomes): readonly string[] {
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  return names.flatMap((name) => {
    const outcomes = [before, after].map((one) => one.get(name) ?? "not run");
    return outcomes[0] === outcomes[1] ? [] : [`${name}: ${outcomes.join(", ")}`];
  });
}
