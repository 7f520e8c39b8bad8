// SPDX-License-Identifier: Apache-2.0
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { pastEvents } from "../../api/history";
import type { ApiEvent } from "../../api/types";
import { events } from "../../store/live";

const KEPT = 1000;
/** A storm of events draws the list so often, and no more. */
const AGAIN_MS = 250;

/** The live events, at most every AGAIN_MS. */
function useLive(): ApiEvent[] {
	const [shown, setShown] = useState(events.peek());
	useEffect(() => {
		let timer = 0;
		let last = 0;
		const show = (): void => {
			timer = 0;
			last = Date.now();
			setShown(events.peek());
		};
		const stop = events.subscribe(() => {
			timer ||= window.setTimeout(show, Math.max(0, last + AGAIN_MS - Date.now()));
		});
		return () => {
			stop();
			window.clearTimeout(timer);
		};
	}, []);
	return shown;
}

/** Past and live events, newest first, each once. */
export function useEvents(query: { target?: string; kind?: string }): { list: ApiEvent[]; loading: boolean } {
	const [past, setPast] = useState<ApiEvent[] | null>(null);
	useEffect(() => {
		let gone = false;
		pastEvents(query, KEPT)
			.then((list) => !gone && setPast(list))
			.catch(() => !gone && setPast([]));
		return () => {
			gone = true;
		};
	}, [query.target, query.kind]);
	const live = useLive();
	/* steps of operations stand in the task log */
	const wanted = (event: ApiEvent): boolean => event.kind !== "operation.changed" && (!query.target || event.target === query.target) && (!query.kind || event.kind === query.kind);
	const kept = useRef<ApiEvent[]>([]);
	const list = useMemo(() => {
		const all = new Map<number, ApiEvent>();
		for (const event of past ?? []) if (wanted(event)) all.set(event.id, event);
		for (const event of live) if (wanted(event)) all.set(event.id, event);
		const next = [...all.values()].sort((a, b) => b.id - a.id).slice(0, KEPT);
		/* most events are about something else: the same list draws nothing */
		const same = next.length === kept.current.length && next.every((event, i) => event.id === kept.current[i]?.id);
		if (!same) kept.current = next;
		return kept.current;
	}, [past, live, query.target, query.kind]);
	return { list, loading: past === null };
}
