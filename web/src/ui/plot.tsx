// SPDX-License-Identifier: Apache-2.0
/* A plot over time. uPlot comes when the first one is drawn. */
import { useEffect, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import { clock } from "../lib/format";
import { broken } from "../lib/series";
import { utc } from "../store/clock";

export interface Series {
	label: string;
	/** A custom property of the style sheets. */
	colour: string;
	/** One value for each time; null leaves a gap. */
	values: (number | null)[];
	fill?: boolean;
}

export interface Mark {
	/** Seconds since the epoch. */
	at: number;
	text: string;
}

const HEIGHT = 150;
const BINARY = Array.from({ length: 50 }, (_, i) => 2 ** i);
type Maker = typeof uPlot;
let maker: Maker | null = null;

async function load(): Promise<Maker> {
	maker ??= (await Promise.all([import("uplot"), import("uplot/dist/uPlot.min.css")]))[0].default;
	return maker;
}

function colourOf(name: string): string {
	/* light-dark() is worked out only where a property is used */
	const probe = document.createElement("span");
	probe.style.color = `var(${name})`;
	document.body.append(probe);
	const colour = getComputedStyle(probe).color;
	probe.remove();
	return colour;
}

/** `key` decides when it is made anew; new values are set into the one that is there. */
export function Plot({ times, series, marks, format, label, most, binary, span, step }: {
	times: number[]; series: Series[]; marks: Mark[]; format: (value: number) => string; label: string; most?: number | undefined;
	/** Seconds up to now that are shown, with or without values. */
	span: number;
	/** Seconds between two samples: where more are missing the line is broken. */
	step: number;
	/** Steps of the axis are powers of two. */
	binary?: boolean;
}) {
	const box = useRef<HTMLDivElement>(null);
	const plot = useRef<uPlot | null>(null);
	const shownMarks = useRef(marks);
	const [ready, setReady] = useState(maker !== null);
	shownMarks.current = marks;
	const shownSpan = useRef(span);
	shownSpan.current = span;
	useEffect(() => {
		if (!ready) void load().then(() => setReady(true), () => undefined);
	}, []);
	const dark = matchMedia("(prefers-color-scheme: dark)");
	const [theme, setTheme] = useState(0);
	useEffect(() => {
		const change = (): void => setTheme((n) => n + 1);
		const watch = new MutationObserver(change);
		watch.observe(document.documentElement, { attributeFilter: ["data-theme"] });
		dark.addEventListener("change", change);
		return () => {
			watch.disconnect();
			dark.removeEventListener("change", change);
		};
	}, []);
	useEffect(() => {
		if (!maker || !box.current) return;
		const dim = colourOf("--text-3");
		const line = colourOf("--line");
		const axis = { stroke: dim, font: "11px Inter Variable, sans-serif", grid: { stroke: line, width: 1 }, ticks: { show: false } };
		const made = new maker(
			{
				width: box.current.clientWidth, height: HEIGHT, legend: { live: true }, cursor: { y: false, sync: { key: "vm" } },
				scales: { x: { range: () => [Date.now() / 1000 - shownSpan.current, Date.now() / 1000] }, y: { range: (_, __, max) => [0, Math.max(most ?? 0, (max || 1) * 1.1)] } },
				axes: [{ ...axis, space: 70, size: 28, values: (_, splits, __, ___, step) => splits.map((t) => clock(t * 1000, t * 1000, utc.peek()).slice(0, step < 60 ? 8 : 5)) }, { ...axis, size: 64, values: (_, list) => list.map(format), ...(binary ? { incrs: BINARY } : {}) }],
				series: [
					{ label: "At", value: (_: uPlot, t: number | null) => (t === null || t === undefined ? "now" : clock(t * 1000, t * 1000, utc.peek())) },
					...series.map((s) => {
						const colour = colourOf(s.colour);
						return { label: s.label, stroke: colour, width: 1.5, points: { show: false }, value: (u: uPlot, v: number | null, at: number, i: number | null) => ((shown) => (shown === null || shown === undefined ? "–" : format(shown)))(i === null ? u.data[at]?.[(u.data[at]?.length ?? 0) - 1] : v), ...(s.fill ? { fill: colour.replace(/^rgb\((.*)\)$/, "rgba($1, 0.16)") } : {}) };
					}),
				],
				hooks: {
					draw: [
						(u) => {
							const { ctx } = u;
							ctx.save();
							ctx.strokeStyle = dim;
							ctx.setLineDash([3, 3]);
							for (const mark of shownMarks.current) {
								const x = Math.round(u.valToPos(mark.at, "x", true));
								if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
								ctx.beginPath();
								ctx.moveTo(x, u.bbox.top);
								ctx.lineTo(x, u.bbox.top + u.bbox.height);
								ctx.stroke();
								ctx.fillStyle = dim;
								ctx.font = `${11 * devicePixelRatio}px sans-serif`;
								ctx.fillText(mark.text, x + 4, u.bbox.top + 11 * devicePixelRatio);
							}
							ctx.restore();
						},
					],
				},
			},
			broken(times, series.map((s) => s.values), step),
			box.current,
		);
		plot.current = made;
		const watch = new ResizeObserver(([entry]) => entry && made.setSize({ width: entry.contentRect.width, height: HEIGHT }));
		watch.observe(box.current);
		return () => {
			watch.disconnect();
			made.destroy();
			plot.current = null;
		};
	}, [ready, theme, series.length, most, utc.value]);
	useEffect(() => plot.current?.setData(broken(times, series.map((s) => s.values), step)), [times, series, span]);
	return (
		<figure class="plot" aria-label={label}>
			<div ref={box} />
		</figure>
	);
}
