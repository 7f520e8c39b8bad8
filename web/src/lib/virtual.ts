// SPDX-License-Identifier: Apache-2.0
/* Which rows of a long list are in sight. Rows have one height; the list scrolls inside `main`. */
import { useLayoutEffect, useState } from "preact/hooks";
import type { RefObject } from "preact";

export interface Window {
	first: number;
	/** One past the last. */
	end: number;
}

/** Pure part, for tests: the rows of a list whose top lies `offset` px above the viewport's top. */
export function rowsInSight(count: number, rowHeight: number, offset: number, height: number, overscan = 8): Window {
	const first = Math.max(0, Math.floor(offset / rowHeight) - overscan);
	const end = Math.min(count, Math.ceil((offset + height) / rowHeight) + overscan);
	return { first: Math.min(first, count), end: Math.max(end, Math.min(first, count)) };
}

export function useVirtual(list: RefObject<HTMLElement>, count: number, rowHeight: number): Window {
	const [view, setView] = useState<Window>({ first: 0, end: Math.min(count, 40) });
	useLayoutEffect(() => {
		const scroller = list.current?.closest<HTMLElement>("[data-scroll]");
		if (!scroller || !list.current) return;
		let frame = 0;
		const measure = (): void => {
			frame = 0;
			if (!list.current) return;
			const offset = scroller.getBoundingClientRect().top - list.current.getBoundingClientRect().top;
			const next = rowsInSight(count, rowHeight, offset, scroller.clientHeight);
			setView((old) => (old.first === next.first && old.end === next.end ? old : next));
		};
		const later = (): void => {
			frame ||= requestAnimationFrame(measure);
		};
		measure();
		scroller.addEventListener("scroll", later, { passive: true });
		const watch = new ResizeObserver(later);
		watch.observe(scroller);
		return () => {
			cancelAnimationFrame(frame);
			scroller.removeEventListener("scroll", later);
			watch.disconnect();
		};
	}, [count, rowHeight]);
	return view;
}
