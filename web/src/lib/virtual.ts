// SPDX-License-Identifier: Apache-2.0
/* Which rows of a long list are in sight. Rows have one height; the list scrolls inside `main`. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
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

/** Rows that are drawn at once when many come into sight; those beyond the edges follow when there is time. */
const STEP = 6;

/** Pure part, for tests: the next window on the way from `old` to `full`, of which `sight` must be there now. */
export function grown(old: Window, sight: Window, full: Window, step: number): Window {
	const apart = old.end <= full.first || old.first >= full.end;
	const first = apart ? sight.first : Math.min(Math.max(old.first, full.first), sight.first);
	const end = apart ? sight.end : Math.max(Math.min(old.end, full.end), sight.end);
	const missed = apart || sight.first < old.first || sight.end > old.end;
	const more = missed ? 0 : step;
	return { first: Math.max(full.first, first - more), end: Math.min(full.end, end + more) };
}

/** `around`: pixels of the viewport that other things take, about; rows that are too few or too many at first follow or go. */
export function useVirtual(list: RefObject<HTMLElement>, count: number, rowHeight: number, around: number): Window {
	const [view, setView] = useState<Window>({ first: 0, end: Math.min(count, Math.ceil(Math.max(rowHeight, innerHeight - around) / rowHeight)) });
	const shown = useRef(view);
	const begun = useRef(false);
	useLayoutEffect(() => {
		const scroller = list.current?.closest<HTMLElement>("[data-scroll]");
		if (!scroller || !list.current) return;
		let frame = 0;
		const measure = (step: number): void => {
			frame = 0;
			if (!list.current) return;
			const offset = scroller.getBoundingClientRect().top - list.current.getBoundingClientRect().top;
			const full = rowsInSight(count, rowHeight, offset, scroller.clientHeight);
			const next = grown(shown.current, rowsInSight(count, rowHeight, offset, scroller.clientHeight, 0), full, step);
			if (next.first !== full.first || next.end !== full.end) later();
			if (next.first === shown.current.first && next.end === shown.current.end) return;
			shown.current = next;
			setView(next);
		};
		const later = (): void => {
			frame ||= requestAnimationFrame(() => measure(STEP));
		};
		/* the first time with the frame, which has to find out where everything is anyway */
		if (begun.current) measure(0);
		else later();
		begun.current = true;
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
