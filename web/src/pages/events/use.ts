// SPDX-License-Identifier: Apache-2.0
import { useEffect, useMemo, useState } from "preact/hooks";
import { pastEvents } from "../../api/history";
import type { ApiEvent } from "../../api/types";
import { events } from "../../store/live";

const KEPT = 1000;

/** Past and live events, newest first, each once. */
export function useEvents(query: { target?: string }): { list: ApiEvent[]; loading: boolean } {
	const [past, setPast] = useState<ApiEvent[] | null>(null);
	useEffect(() => {
		let gone = false;
		pastEvents(query, KEPT)
			.then((list) => !gone && setPast(list))
			.catch(() => !gone && setPast([]));
		return () => {
			gone = true;
		};
	}, [query.target]);
	const live = events.value;
	/* steps of operations stand in the task log */
	const wanted = (event: ApiEvent): boolean => event.kind !== "operation.changed" && (!query.target || event.target === query.target);
	const list = useMemo(() => {
		const all = new Map<number, ApiEvent>();
		for (const event of past ?? []) if (wanted(event)) all.set(event.id, event);
		for (const event of live) if (wanted(event)) all.set(event.id, event);
		return [...all.values()].sort((a, b) => b.id - a.id).slice(0, KEPT);
	}, [past, live, query.target]);
	return { list, loading: past === null };
}
