// SPDX-License-Identifier: Apache-2.0
// Where the switch's programs sit: TCX links that are pinned, or classic tc filters at a fixed place. Exchanging a program leaves no gap
// with either. Everything here is idempotent, so attaching, replacing and repairing are one call.
//
// Containers' ports have filters also where there is TCX. They come and go, and for each TCX link that is made or ended the kernel waits a grace
// period, holding the lock that every change of links and addresses on the host needs: 24 ms for a port's two, and 36 ms at its end; filters take
// 1.6 ms and 0.1 ms (medians on 6.18). A port that has TCX links keeps them: an earlier version made them.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { PROGRAM_NAMES, type ProgramName } from "../../native/bpf/maps.ts";
import { isSystemError } from "../../native/errno.ts";
import { createTcx, type Direction, hasTcx, readTcx, removeTcx, updateTcx } from "../../native/libbpf/link.ts";
import type { BpfObject, Program } from "../../native/libbpf/object.ts";
import { attachTc, detachTc, queryTc } from "../../native/libbpf/tc.ts";

/** How devices that stay are attached to. */
export type AttachKind = "tcx" | "tc";

const PORT_PROGRAMS: ReadonlySet<ProgramName> = new Set(["veth_ingress", "veth_egress"]);

const DIRECTION: Record<ProgramName, Direction> = {
  vx_egress: "egress",
  vx_ingress: "ingress",
  veth_ingress: "ingress",
  veth_egress: "egress",
  underlay_ingress: "ingress",
  wg_ingress: "ingress",
  sleeve_egress: "egress",
  sleeve_ingress: "ingress",
};

export interface Hook {
  readonly program: ProgramName;
  readonly ifindex: number;
}

/** Pinned links found below `folder`. */
export function pinnedHooks(folder: string): Hook[] {
  return readdirSync(folder).flatMap((name) => {
    const match = /^([a-z_]+)-(\d+)$/.exec(name);
    const program = PROGRAM_NAMES.find((known) => known === match?.[1]);
    return program === undefined ? [] : [{ program, ifindex: Number(match?.[2]) }];
  });
}

/** TCX when the kernel has it: one attached before says so, otherwise the kernel is asked. */
export function chooseAttach(folder: string, object: BpfObject): AttachKind {
  if (pinnedHooks(folder).length > 0) return "tcx";
  return hasTcx(object.program("underlay_ingress")) ? "tcx" : "tc";
}

/** Removes our TCX links from all devices. */
export function detachAllTcx(folder: string): void {
  for (const hook of pinnedHooks(folder)) removeTcx(pathOf(folder, hook));
}
/** Removes our filters from these links. */
export function detachAllTc(ifindexes: readonly number[]): void {
  for (const ifindex of ifindexes) for (const direction of ["ingress", "egress"] as const) detachTcIfThere(ifindex, direction);
}

function pathOf(folder: string, hook: Hook): string {
  return join(folder, `${hook.program}-${hook.ifindex}`);
}

// A link that went away meanwhile took its filters along.
function detachTcIfThere(ifindex: number, direction: Direction): void {
  try {
    if (queryTc(ifindex, direction) !== undefined) detachTc(ifindex, direction);
  } catch (thrown) {
    if (!isSystemError(thrown, "ENODEV")) throw thrown;
  }
}

export class Hooks {
  readonly kind: AttachKind;
  readonly #folder: string;
  readonly #programs: ReadonlyMap<ProgramName, Program>;
  /** The kernel may have TCX and no filters. */
  #hasFilters = true;

  constructor(kind: AttachKind, folder: string, object: BpfObject) {
    this.kind = kind;
    this.#folder = folder;
    this.#programs = new Map(PROGRAM_NAMES.map((name) => [name, object.program(name)]));
  }

  /** Makes it so that our program runs there. Says what was done. @throws {SystemError} ENODEV: no such link */
  ensure(hook: Hook): "kept" | "replaced" | "attached" {
    if (this.kind === "tc") return this.#ensureTc(hook);
    if (!this.#isFiltered(hook)) return this.#ensureTcx(hook);
    try {
      return this.#ensureTc(hook);
    } catch (thrown) {
      if (!isSystemError(thrown, "ENOENT")) throw thrown;
      this.#hasFilters = false;
      return this.#ensureTcx(hook);
    }
  }

  /** Nothing to do when nothing is there. */
  detach(hook: Hook): void {
    if (this.kind === "tc" || this.#isFiltered(hook)) detachTcIfThere(hook.ifindex, DIRECTION[hook.program]);
    else removeTcx(this.#path(hook));
  }

  #isFiltered(hook: Hook): boolean {
    return this.#hasFilters && PORT_PROGRAMS.has(hook.program) && !existsSync(this.#path(hook));
  }

  /** What is attached now as far as it can be found: pinned links, or our place at each of `links`, which are neither ports nor devices of
   *  ours. It cannot tell programs of one direction apart, but the one for the underlay needs Ethernet, which WireGuard has not. */
  found(links: readonly { readonly index: number; readonly mac: number }[]): Hook[] {
    if (this.kind === "tcx") return pinnedHooks(this.#folder);
    return links
      .filter(({ index }) => queryTc(index, "ingress") !== undefined)
      .map(({ index, mac }) => ({ program: mac === 0 ? "wg_ingress" : "underlay_ingress", ifindex: index }));
  }

  #ensureTcx(hook: Hook): "kept" | "replaced" | "attached" {
    const program = this.#program(hook);
    const path = this.#path(hook);
    const now = readTcx(path);
    if (now?.ifindex === hook.ifindex) {
      if (now.programId === program.id) return "kept";
      if (updateTcx(path, program)) return "replaced";
    }
    if (now !== undefined) removeTcx(path); // its device was made anew: the link is dead and cannot be revived
    createTcx(path, program, hook.ifindex, DIRECTION[hook.program]);
    return "attached";
  }

  #ensureTc(hook: Hook): "kept" | "replaced" | "attached" {
    const program = this.#program(hook);
    const now = queryTc(hook.ifindex, DIRECTION[hook.program]);
    if (now === program.id) return "kept";
    attachTc(program, hook.ifindex, DIRECTION[hook.program]);
    return now === undefined ? "attached" : "replaced";
  }

  #program(hook: Hook): Program {
    const program = this.#programs.get(hook.program);
    if (program === undefined) throw new TypeError(`no program '${hook.program}'`);
    return program;
  }
  #path(hook: Hook): string {
    return pathOf(this.#folder, hook);
  }
}
