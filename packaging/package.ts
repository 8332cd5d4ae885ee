// SPDX-License-Identifier: Apache-2.0
// Builds the packages: `bun packaging/package.ts [--arch x64|arm64]... [--only deb|rpm] [--version V] [--directory dist] [--quick]`.
//   dist/weave_<version>_<amd64|arm64>.deb by dpkg-deb, dist/weave-<version>-1.<x86_64|aarch64>.rpm by rpmbuild
// The result depends on the sources only: every file has the time of the last commit, or SOURCE_DATE_EPOCH.
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { consola } from "consola";
import { findLibbpf, type LibbpfCopy } from "../native/libbpf/build.ts";
import manifest from "../package.json";
import { type Documents, makeDocuments } from "./documents.ts";
import { componentList } from "./sbom.ts";

const ARCHITECTURES = { x64: { deb: "amd64", rpm: "x86_64" }, arm64: { deb: "arm64", rpm: "aarch64" } } as const;
type Arch = keyof typeof ARCHITECTURES;
type Kind = "deb" | "rpm";

interface Job {
  readonly arch: Arch;
  /** As packages order it: `3.0.0~alpha.1` comes before `3.0.0`. */
  readonly version: string;
  /** Seconds since 1970 that every file gets. */
  readonly epoch: number;
  readonly executable: string;
  readonly documents: Documents;
  /** The copy inside the executable. */
  readonly libbpf: LibbpfCopy;
  readonly outDirectory: string;
  /** Not compressed, for tests. */
  readonly isQuick: boolean;
  readonly scratch: string;
}

/** Runs a tool. @throws {Error} with its words when it fails */
function run(command: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const done = Bun.spawnSync([...command], { stdout: "pipe", stderr: "pipe", env: { ...process.env, LC_ALL: "C", ...env } });
  if (done.exitCode !== 0) throw new Error(`${command[0]} failed:\n${done.stdout}${done.stderr}`);
  return done.stdout.toString();
}

function put(root: string, path: string, content: string | Uint8Array, mode = 0o644): void {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
  writeFileSync(file, content);
  chmodSync(file, mode);
}

function putCopy(root: string, path: string, source: string, mode = 0o644): void {
  put(root, path, readFileSync(source), mode);
}

/** gzip without a name and time in it. */
function gzip(text: string): Uint8Array {
  return Bun.gzipSync(Buffer.from(text), { level: 9 });
}

/** What both kinds install, as it will lie in the file system. */
function stage(root: string, { version, documents, executable, libbpf }: Job): void {
  putCopy(root, "usr/bin/weave", executable, 0o755);
  put(root, "etc/weave/weave.toml", documents.configFile, 0o600); // a password may be written into it
  putCopy(root, "usr/lib/systemd/system/weave.service", "systemd/weave.service");
  putCopy(root, "usr/lib/sysusers.d/weave.conf", "systemd/weave.sysusers");
  putCopy(root, "usr/lib/tmpfiles.d/weave.conf", "systemd/weave.tmpfiles");
  putCopy(root, "usr/lib/systemd/network/10-weave.link", "systemd/10-weave.link");
  putCopy(root, "usr/lib/systemd/network/10-weave.network", "systemd/10-weave.network");
  putCopy(root, "usr/lib/NetworkManager/conf.d/10-weave.conf", "packaging/files/networkmanager.conf");
  putCopy(root, "usr/lib/firewalld/services/weave.xml", "packaging/files/firewalld.xml");
  put(root, "usr/share/man/man8/weave.8.gz", gzip(documents.commandsPage));
  put(root, "usr/share/man/man5/weave.toml.5.gz", gzip(documents.configPage));
  put(root, "usr/share/bash-completion/completions/weave", documents.bash);
  put(root, "usr/share/fish/vendor_completions.d/weave.fish", documents.fish);
  put(root, "usr/share/doc/weave/sbom.json", componentList(version, libbpf.version));
  for (const name of ["README.md", "CHANGELOG.md"]) putCopy(root, `usr/share/doc/weave/${name}`, name);
}

const MAINTAINER = "weave developers <developers@weave.example>";

/** deb-changelog(5) wants one entry per version; what has changed stands in ours. */
function debianChangelog({ version, epoch }: Job): string {
  const date = new Date(epoch * 1_000).toUTCString().replace("GMT", "+0000");
  return `weave (${version}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- ${MAINTAINER}  ${date}\n`;
}

function deb(job: Job): string {
  const root = join(job.scratch, "deb");
  stage(root, job);
  const arch = ARCHITECTURES[job.arch].deb;
  const indented = readFileSync("packaging/files/libbpf-license", "utf8")
    .trimEnd()
    .replaceAll(/^/gm, " ")
    .replaceAll(/^ $/gm, " .");
  put(root, "usr/share/doc/weave/copyright", readFileSync("packaging/deb/copyright", "utf8").replace("@LIBBPF@", indented));
  putCopy(root, "usr/share/lintian/overrides/weave", "packaging/deb/lintian-overrides");
  put(root, "usr/share/doc/weave/changelog.gz", gzip(debianChangelog(job)));
  put(root, "usr/share/zsh/vendor-completions/_weave", job.documents.zsh);
  const size = Math.ceil(statSync(job.executable).size / 1024);
  const filled = readFileSync("packaging/deb/control", "utf8").replace("@VERSION@", job.version).replace("@ARCH@", arch);
  put(root, "DEBIAN/control", filled.replace("@SIZE@", String(size)));
  put(root, "DEBIAN/conffiles", "/etc/weave/weave.toml\n");
  for (const script of ["postinst", "prerm", "postrm"]) putCopy(root, `DEBIAN/${script}`, `packaging/deb/${script}`, 0o755);
  const outfile = join(job.outDirectory, `weave_${job.version}_${arch}.deb`);
  const compression = job.isQuick ? ["-Znone"] : ["-Zxz", "-z3"];
  const command = ["dpkg-deb", "--root-owner-group", ...compression, "--build", root, outfile];
  run(command, { SOURCE_DATE_EPOCH: String(job.epoch) });
  return outfile;
}

/** Nobody else's, so they go with the package. */
const OWN_DIRECTORIES = ["/etc/weave", "/usr/share/doc/weave", "/usr/share/licenses/weave"];

function rpm(job: Job): string {
  const root = join(job.scratch, "rpm");
  stage(root, job);
  putCopy(root, "usr/share/licenses/weave/LICENSE", "LICENSE");
  putCopy(root, "usr/share/licenses/weave/LICENSE.libbpf", "packaging/files/libbpf-license");
  put(root, "usr/share/zsh/site-functions/_weave", job.documents.zsh);
  const files = run(["find", root, "-type", "f", "-printf", "/%P\n"]).trim().split("\n").sort();
  const listed = files.map((file) => (file.startsWith("/etc/") ? `%config(noreplace) %attr(0600,root,root) ${file}` : file));
  const spec = join(job.scratch, "weave.spec");
  const [weekday, day, month, year] = new Date(job.epoch * 1_000).toUTCString().replace(",", "").split(" ");
  const filled = readFileSync("packaging/rpm/weave.spec", "utf8")
    .replaceAll("@VERSION@", job.version)
    .replaceAll("@MAINTAINER@", MAINTAINER)
    .replace("@DATE@", `${weekday} ${month} ${day} ${year}`)
    .replace("@STAGE@", root);
  writeFileSync(
    spec,
    filled.replace("@FILES@", ["%defattr(-,root,root)", ...OWN_DIRECTORIES.map((path) => `%dir ${path}`), ...listed].join("\n")),
  );
  const arch = ARCHITECTURES[job.arch].rpm;
  const top = join(job.scratch, "rpmbuild");
  run(
    [
      "rpmbuild",
      "-bb",
      `--define=_binary_payload ${job.isQuick ? "w0.gzdio" : "w10.zstdio"}`,
      `--target=${arch}-linux`,
      `--define=_topdir ${top}`,
      spec,
    ],
    { SOURCE_DATE_EPOCH: String(job.epoch) },
  );
  const name = `weave-${job.version}-1.${arch}.rpm`;
  copyFileSync(join(top, "RPMS", arch, name), join(job.outDirectory, name));
  return join(job.outDirectory, name);
}

/** Time of the last commit; of a source tree without history, now. */
function sourceEpoch(): number {
  const given = process.env["SOURCE_DATE_EPOCH"];
  if (given !== undefined && /^\d+$/.test(given)) return Number(given);
  const commit = Bun.spawnSync(["git", "log", "-1", "--format=%ct"], { stdout: "pipe", stderr: "ignore" });
  return Number(commit.stdout.toString().trim()) || Math.floor(Date.now() / 1_000);
}

function isArch(text: string): text is Arch {
  return Object.hasOwn(ARCHITECTURES, text);
}
function isKind(text: string): text is Kind {
  return text === "deb" || text === "rpm";
}

async function build(arch: Arch, kinds: readonly Kind[], to: Pick<Job, "version" | "outDirectory" | "isQuick">): Promise<void> {
  const executable = resolve(arch === "x64" ? "dist/weave" : `dist/weave-${arch}`);
  run([process.execPath, "packaging/build.ts", "--target", arch, "--outfile", executable]);
  const libbpf = findLibbpf(arch);
  if (typeof libbpf === "string") throw new Error(`packages are for hosts without libbpf too: ${libbpf}`);
  const scratch = mkdtempSync(join(tmpdir(), "weave-package-"));
  try {
    const epoch = sourceEpoch();
    const documents = await makeDocuments(manifest.version, new Date(epoch * 1_000).toISOString().slice(0, 10));
    const job: Job = { ...to, arch, epoch, executable, documents, libbpf, scratch };
    for (const kind of kinds) {
      const outfile = kind === "deb" ? deb(job) : rpm(job);
      consola.success(`${outfile} ${(statSync(outfile).size / 1e6).toFixed(1)} MB`);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    arch: { type: "string", multiple: true, default: ["x64", "arm64"] },
    only: { type: "string" },
    version: { type: "string", default: manifest.version.replace("-", "~") },
    directory: { type: "string", default: "dist" },
    quick: { type: "boolean", default: false },
  },
});
const { only } = values;
const unknown = [...values.arch.filter((arch) => !isArch(arch)), ...(only === undefined || isKind(only) ? [] : [only])];
if (unknown.length > 0) {
  consola.error(`unknown: ${unknown.join(", ")}; --arch takes x64 and arm64, --only deb or rpm`);
  process.exit(2);
}
process.chdir(resolve(import.meta.dir, ".."));
const directory = resolve(values.directory);
mkdirSync(directory, { recursive: true });
const kinds = (["deb", "rpm"] as const).filter((kind) => only === undefined || kind === only);
const to = { version: values.version, outDirectory: directory, isQuick: values.quick };
for (const arch of values.arch.filter(isArch)) await build(arch, kinds, to);
