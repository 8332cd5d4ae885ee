// SPDX-License-Identifier: Apache-2.0
// What the kernel tells of changes to its packet filter: only which table they were in (linux/netfilter/nf_tables.h).
import { Attributes, type Message } from "./codec.ts";

/** linux/netfilter/nfnetlink.h */
export const NFNL_SUBSYS_NFTABLES = 10;
export const NFGENMSG = { size: 4 } as const;
/** enum nf_tables_msg_types: those whose first attribute is the table's name */
export const NFT_MSG = { NEWTABLE: 0, DELTABLE: 2, NEWCHAIN: 3, DELCHAIN: 5, NEWRULE: 6, DELRULE: 8 } as const;
/** Equal to NFTA_CHAIN_TABLE and NFTA_RULE_TABLE. */
export const NFTA_TABLE_NAME = 1;

const TOLD: ReadonlySet<number> = new Set(Object.values(NFT_MSG).map((message) => (NFNL_SUBSYS_NFTABLES << 8) | message));

/** Name of the table that was changed, or a chain or rule of it; undefined: the message is about something else. */
export function decodeTableChange(message: Message): string | undefined {
  return TOLD.has(message.type) ? Attributes.of(message, NFGENMSG.size).text(NFTA_TABLE_NAME) : undefined;
}
