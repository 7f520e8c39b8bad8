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
/** Rows of the first frames, until the screen is full: each row costs, and the upper ones can be used while the others come. */
const BEGIN = 8;

/** Pure part, for tests: the next window on the way from `old` to `full`, of which `sight` must be there now. */
export function grown(old: Window, sight: Window, full: Window, step: number): Window {
	const apart = old.end <= full.first || old.first >= full.end;
	const first = apart ? sight.first : Math.min(Math.max(old.first, full.first), sight.first);
	const end = apart ? sight.end : Math.max(Math.min(old.end, full.end), sight.end);
	const missed = apart || sight.first < old.first || sight.end > old.end;
	const more = missed ? 0 : step;
	return { first: Math.max(full.first, first - more), end: Math.min(full.end, end + more) };
}

/** Pure part, for tests: the same while the list begins, when what is in sight need not be there at once. */
export function begun(old: Window, sight: Window, step: number): Window {
	return { first: sight.first, end: Math.min(sight.end, Math.max(old.end, sight.first) + step) };
}

/** `around`: pixels of the viewport that other things take, about; rows that are too few or too many at first follow or go. */
export function useVirtual(list: RefObject<HTMLElement>, count: number, rowHeight: number, around: number): Window {
	const [view, setView] = useState<Window>({ first: 0, end: Math.min(count, BEGIN, Math.ceil(Math.max(rowHeight, innerHeight - around) / rowHeight)) });
	const shown = useRef(view);
	const beginning = useRef(true);
	useLayoutEffect(() => {
		const scroller = list.current?.closest<HTMLElement>("[data-scroll]");
		if (!scroller || !list.current) return;
		let frame = 0;
		const measure = (step: number): void => {
			frame = 0;
			if (!list.current) return;
			const offset = scroller.getBoundingClientRect().top - list.current.getBoundingClientRect().top;
			const full = rowsInSight(count, rowHeight, offset, scroller.clientHeight);
			const sight = rowsInSight(count, rowHeight, offset, scroller.clientHeight, 0);
			beginning.current &&= shown.current.first > sight.first || shown.current.end < sight.end;
			const next = beginning.current ? begun(shown.current, sight, BEGIN) : grown(shown.current, sight, full, step);
			if (next.first !== full.first || next.end !== full.end) later();
			if (next.first === shown.current.first && next.end === shown.current.end) return;
			shown.current = next;
			setView(next);
		};
		const later = (): void => {
			frame ||= requestAnimationFrame(() => measure(STEP));
		};
		/* the first rows have a frame of their own */
		if (beginning.current) frame = requestAnimationFrame(() => (frame = requestAnimationFrame(() => measure(STEP))));
		else measure(0);
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
