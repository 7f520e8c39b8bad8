// SPDX-License-Identifier: Apache-2.0
/* Names that the server knows where to bring from. */
import { call } from "./client";
import type { Reply } from "./types";

export type CatalogName = Reply<"/catalog", "get">["items"][number];

/** Those of a kind that are not on this host yet. */
export async function catalog(kind: CatalogName["kind"]): Promise<CatalogName[]> {
	const { items } = await call("get", "/catalog");
	return items.filter((entry) => entry.kind === kind && !entry.here);
}
