// SPDX-License-Identifier: Apache-2.0
// What must hold in a simulated world at rest, compared with the truth the world knows.
import type { PeerName } from "../../../src/mesh/peer-name.ts";
import type { SimHost } from "./host.ts";
import type { World } from "./world.ts";

export function running(world: World): SimHost[] {
  return world.hosts.filter((host) => host.mesh && host.isOn);
}

/** Every host of `hosts` has a data route to all others of them, and to nobody else. */
export function seeEachOther(hosts: readonly SimHost[]): boolean {
  const names = new Set(hosts.map((host) => host.name));
  return hosts.every((host) => {
    const unicast = host.routes?.unicast;
    if (!unicast || unicast.size !== names.size - 1) return false;
    for (const name of unicast.keys()) if (!names.has(name)) return false;
    return true;
  });
}

/** Every pair of `hosts` has an established connection that both ends show. */
export function isFullMesh(hosts: readonly SimHost[]): boolean {
  return hosts.every((host) => establishedNeighbours(host).size >= hosts.length - 1) && seeEachOther(hosts);
}

export function establishedNeighbours(host: SimHost): Set<PeerName> {
  const neighbours = new Set<PeerName>();
  for (const connection of host.mesh?.view().connections ?? []) {
    if (connection.state === "established" && connection.peer) neighbours.add(connection.peer.name);
  }
  return neighbours;
}

/** Everything wrong with the mesh of `hosts`, in words; empty when all is well. */
export function faults(world: World, hosts: readonly SimHost[] = running(world)): string[] {
  return [
    ...pairFaults(world, hosts),
    ...recordFaults(hosts),
    ...routeFaults(world, hosts),
    ...treeFaults(hosts),
    ...shortIdFaults(hosts),
  ].map((fault) => `seed ${world.seed}: ${fault}`);
}

function pairFaults(world: World, hosts: readonly SimHost[]): string[] {
  const found: string[] = [];
  for (const host of hosts) {
    for (const connection of host.mesh?.view().connections ?? []) {
      if (!connection.peer) continue;
      const other = world.hosts.find((it) => it.name === connection.peer?.name && it.mesh);
      const back = other?.mesh?.view().connections.find((it) => it.peer?.name === host.name);
      const pair = `${host.options.nickname}-${connection.peer.nickname}`;
      if (!back) found.push(`${pair} is half open`);
      else if (back.state !== connection.state)
        found.push(`${pair} is ${connection.state} on one end, ${back.state} on the other`);
      else if (back.outbound === connection.outbound) found.push(`${pair}: both ends have another connection`);
    }
  }
  return found;
}

/** All hold the same records of each other. */
function recordFaults(hosts: readonly SimHost[]): string[] {
  const found: string[] = [];
  const truth = new Map(hosts.map((host) => [host.name, host.mesh!.view().peers.find((peer) => peer.name === host.name)]));
  for (const host of hosts) {
    const peers = host.mesh!.view().peers;
    if (peers.length !== hosts.length) found.push(`${host.options.nickname} knows ${peers.length} peers of ${hosts.length}`);
    for (const peer of peers) {
      const own = truth.get(peer.name);
      if (own?.uid !== peer.uid || own.version !== peer.version || JSON.stringify(own) !== JSON.stringify(peer)) {
        found.push(`${host.options.nickname} holds version ${peer.version} of ${peer.nickname}, not ${own?.version}`);
      }
    }
  }
  return found;
}

/** Following next hops from anywhere to anywhere arrives. */
function routeFaults(world: World, hosts: readonly SimHost[]): string[] {
  const found: string[] = [];
  const byName = new Map(hosts.map((host) => [host.name, host]));
  for (const from of hosts) {
    for (const to of hosts) {
      if (from === to) continue;
      let at: SimHost | undefined = from;
      for (let hops = 0; at && at !== to && hops <= hosts.length; hops++) {
        const next: PeerName | undefined = at.routes?.unicast.get(to.name);
        if (next !== undefined && !at.paths.has(next)) found.push(`${at.options.nickname} has no path to its next hop`);
        at = next === undefined ? undefined : byName.get(next);
      }
      if (at !== to)
        found.push(`no way from ${from.options.nickname} to ${to.options.nickname} (world of ${world.hosts.length})`);
    }
  }
  return found;
}

/** A frame flooded from each source reaches each host once, and from the parent it expects. */
function treeFaults(hosts: readonly SimHost[]): string[] {
  const found: string[] = [];
  const byName = new Map(hosts.map((host) => [host.name, host]));
  for (const source of hosts) {
    const copies = new Map<PeerName, number>();
    const queue = [source];
    for (let host = queue.shift(); host; host = queue.shift()) {
      for (const child of host.routes?.trees.get(source.name)?.children ?? []) {
        const next: SimHost | undefined = byName.get(child);
        copies.set(child, (copies.get(child) ?? 0) + 1);
        if (next?.routes?.trees.get(source.name)?.parent !== host.name)
          found.push(`a child of ${host.options.nickname} expects another parent`);
        if (next && copies.get(child) === 1) queue.push(next);
      }
    }
    const right = hosts.every((host) => (copies.get(host.name) ?? 0) === (host === source ? 0 : 1));
    if (!right || copies.size !== hosts.length - 1)
      found.push(`the tree of ${source.options.nickname} does not reach all hosts once`);
  }
  return found;
}

function shortIdFaults(hosts: readonly SimHost[]): string[] {
  const ids = hosts.map((host) => host.mesh!.view().self.shortId);
  const isUnique = new Set(ids).size === ids.length;
  const isKnown = hosts.every((host) =>
    hosts.every((other) => other.routes?.shortIds.get(host.name) === host.mesh!.view().self.shortId || other.mesh === undefined),
  );
  return [...(isUnique ? [] : ["short ids are not unique"]), ...(isKnown ? [] : ["a short id is not known everywhere"])];
}
