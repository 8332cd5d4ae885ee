// SPDX-License-Identifier: Apache-2.0
// Who may import whom. The table is the architecture's drawing; an arrow that is not in it fails here.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");
const WORDS = ["net", "runtime"];

/** Room -> rooms it may import besides itself. `daemon` and `main` may import everything; nobody imports them but each other and `cli`. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  net: [],
  runtime: [],
  mesh: WORDS,
  ipam: [...WORDS, "mesh"],
  overlay: [...WORDS, "mesh"],
  firewall: WORDS,
  dns: [...WORDS, "mesh"],
  attach: WORDS,
  expose: [...WORDS, "firewall", "attach"],
  host: [...WORDS, "mesh", "dns", "overlay", "firewall", "attach", "expose", "native"],
  store: [...WORDS, "mesh", "ipam", "dns", "attach", "expose", "plugin"],
  docker: [...WORDS, "attach", "plugin"],
  proxy: [...WORDS, "attach", "docker"],
  plugin: [...WORDS, "attach", "api"],
  config: WORDS,
  api: WORDS,
  metrics: [...WORDS, "api"],
  doctor: [...WORDS, "api", "config", "firewall", "host"],
  cli: [...WORDS, "api", "config", "host", "doctor", "daemon"],
};
// Rooms that decide and never act: no sockets, no disk, no kernel, no clock of their own.
const PURE = ["net", "dns", "mesh", "ipam", "overlay", "firewall", "attach", "expose"];
const MACHINE = /^(bun|bun:.*|node:(?!util$).*)$/;
const TIME_AND_CHANCE = /\b(Date\.now|performance\.now|setTimeout|setInterval|Math\.random|crypto\.getRandomValues|new Date\(\))/;

interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function read(folder: string): SourceFile[] {
  return [...new Bun.Glob("**/*.ts").scanSync({ cwd: join(ROOT, folder) })].sort().map((name) => {
    const path = join(folder, name);
    const text = readFileSync(join(ROOT, path), "utf8");
    const imports = [
      ...text.matchAll(
        /(?:^|\n)\s*(?:import|export)\b[^;'"]*?from\s*["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)|(?:^|\n)import\s*["']([^"']+)["']/g,
      ),
    ];
    return { path, text, imports: imports.map((match) => match[1] ?? match[2] ?? match[3] ?? "") };
  });
}

const SOURCES = read("src");
const NATIVE = read("native");

function roomOf(path: string): string {
  const parts = path.split("/");
  if (parts[0] === "native") return "native";
  return parts.length > 2 ? parts[1]! : "main";
}

function target(file: SourceFile, specifier: string): string | undefined {
  return specifier.startsWith(".") ? relative(ROOT, resolve(ROOT, dirname(file.path), specifier)) : undefined;
}

/** Comments and strings may name what code must not call. */
function codeOf(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/\/\/.*$/gm, "")
    .replace(/"(?:[^"\\\n]|\\.)*"/g, '""');
}

describe("layers", () => {
  test("every import follows an arrow of the table", () => {
    const wrong: string[] = [];
    for (const file of SOURCES) {
      const room = roomOf(file.path);
      if (room === "main" || room === "daemon") continue;
      const allowed = MAY_IMPORT[room];
      if (!allowed) wrong.push(`${file.path}: room '${room}' is not in the table`);
      for (const specifier of file.imports) {
        const path = target(file, specifier);
        const other = path && roomOf(path);
        if (other && other !== room && !allowed?.includes(other)) wrong.push(`${file.path} imports ${path}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test("native stands alone, and only native touches bun:ffi", () => {
    const wrong = NATIVE.flatMap((file) =>
      file.imports
        .filter((specifier) => target(file, specifier)?.startsWith("src/"))
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    const ffi = SOURCES.filter((file) => file.imports.includes("bun:ffi")).map((file) => `${file.path} imports bun:ffi`);
    expect([...wrong, ...ffi]).toEqual([]);
  });

  test("rooms that decide import nothing of the machine", () => {
    const wrong = SOURCES.filter((file) => PURE.includes(roomOf(file.path))).flatMap((file) =>
      file.imports.filter((specifier) => MACHINE.test(specifier)).map((specifier) => `${file.path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  test("time and chance are arguments outside runtime", () => {
    const wrong = SOURCES.filter((file) => roomOf(file.path) !== "runtime" && TIME_AND_CHANCE.test(codeOf(file.text))).map(
      (file) => file.path,
    );
    expect(wrong).toEqual([]);
  });

  test("no file is longer than 500 lines", () => {
    const long = [...SOURCES, ...NATIVE].filter((file) => file.text.split("\n").length > 501).map((file) => file.path);
    expect(long).toEqual([]);
  });

  test("every file says its licence and its purpose in the first lines", () => {
    const bare = [...SOURCES, ...NATIVE]
      .filter((file) => !/^(#!.*\n)?\/\/ SPDX-License-Identifier: Apache-2\.0\n(\/\/|\/\*)/.test(file.text))
      .map((file) => file.path);
    expect(bare).toEqual([]);
  });

  test("the table itself is seen by the test", () => {
    expect(SOURCES.length).toBeGreaterThan(10);
    const links = SOURCES.flatMap((file) => file.imports);
    expect(links.some((specifier) => specifier.endsWith("net/ip.ts"))).toBe(true);
  });
});
