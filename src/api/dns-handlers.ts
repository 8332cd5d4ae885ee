// SPDX-License-Identifier: Apache-2.0
// From operation to name service and back.
import type { Backend } from "./backend.ts";
import { MissingFeature, type RequestOf, type ResponseOf } from "./contract.ts";
import type { DnsBackend, DnsOperations } from "./dns.ts";
import { renderNames } from "./render/names.ts";

export type DnsHandlers = {
  readonly [Name in keyof DnsOperations]: (request: RequestOf<Name>) => Promise<ResponseOf<Name>>;
};

export function createDnsHandlers(backend: Backend): DnsHandlers {
  const dns = (): DnsBackend => {
    if (!backend.dns) throw new MissingFeature("dns");
    return backend.dns;
  };
  const dropped = async (filter: Parameters<DnsBackend["drop"]>[0]): Promise<undefined> => {
    dns().drop(filter);
    return undefined;
  };
  return {
    statusDns: async () => ({ ready: backend.health().ready, text: renderNames(dns().names(), dns().domain()) }),
    names: async () => ({ names: dns().names() }),
    dnsAdd: (request) => dns().add(request),
    dnsRemove: (request) => dns().remove(request),
    dnsDomain: async () => dns().domain(),
    dnsAddress: async () => dns().address().host,
    async dnsAddressPort() {
      const { host, port } = dns().address();
      return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    },
    nameList: async () => dns().names(),
    async namePut(entry) {
      await dns().put(entry);
      return undefined;
    },
    nameDropAt: dropped,
    nameDropOf: dropped,
    nameDropAll: dropped,
  };
}
