// SPDX-License-Identifier: Apache-2.0
/* Plots over the last minutes or day, each with its figures as a table, and what keeps them fresh. */
import type { Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { bytes } from "../lib/format";
import { Button } from "./basics";
import { Plot, type Mark, type Series } from "./plot";
import { PlotTable } from "./plot-table";
import "../style/plots.css";

const RANGES: [string, number][] = [["5 min", 300], ["30 min", 1800], ["1 h", 3600], ["6 h", 21_600], ["24 h", 86_400]];
const SOON_MS = 5000;
const LATER_MS = 60_000;

/** `range`: seconds up to now. */
export function Ranges({ range }: { range: Signal<number> }) {
	return (
		<span class="group" role="group" aria-label="Time that is shown">
			{RANGES.map(([label, seconds]) => (
				<Button key={label} label={label} aria-pressed={range.value === seconds} onClick={() => (range.value = seconds)} />
			))}
		</span>
	);
}

/** What `read` tells of the last `span` seconds, asked for again as new figures come. `of`: whose they are. */
export function useHistory<T>(read: (since: number) => Promise<T>, span: number, of: string): { history: T | null; failed: boolean } {
	const [history, setHistory] = useState<T | null>(null);
	const [failed, setFailed] = useState(false);
	useEffect(() => {
		let gone = false;
		let timer = 0;
		const again = async (): Promise<void> => {
			try {
				if (!document.hidden) {
					const found = await read(Math.floor(Date.now() / 1000) - span);
					if (!gone) setHistory(() => found);
				}
				if (!gone) setFailed(false);
			} catch {
				if (!gone) setFailed(true);
			}
			if (!gone) timer = window.setTimeout(() => void again(), span > 3600 ? LATER_MS : SOON_MS);
		};
		void again();
		return () => {
			gone = true;
			window.clearTimeout(timer);
		};
	}, [of, span]);
	return { history, failed };
}

export const cores = (n: number): string => (n === 0 ? "0" : n < 0.095 ? n.toFixed(2) : n.toFixed(1));
export const rate = (n: number): string => `${bytes(n)}/s`;

export function Figure({ name, value, times, series, marks, ...looks }: {
	name: string;
	/** What it is now. */
	value?: ComponentChildren;
	times: number[]; series: Series[]; marks: Mark[]; format: (value: number) => string; label: string; most?: number; binary?: boolean; span: number;
	/** Seconds between two samples. */
	step: number;
}) {
	return (
		<section>
			<h3>{name}{value && <span class="num now-value">{value}</span>}</h3>
			<Plot times={times} series={series} marks={marks} {...looks} />
			<PlotTable times={times} series={series} marks={marks} format={looks.format} name={name} />
		</section>
	);
}
