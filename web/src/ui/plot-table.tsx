// SPDX-License-Identifier: Apache-2.0
/* The figures behind a plot, for reading one by one, for screen readers and to take away. */
import { useId, useMemo, useState } from "preact/hooks";
import { clock } from "../lib/format";
import { csvOf, rowsOf, type Column, type Event } from "../lib/rows";
import { now, utc } from "../store/clock";
import { Button, copyText } from "./basics";

interface Figures {
	times: number[];
	series: Column[];
	marks: Event[];
	format: (value: number) => string;
	/** What the figures are of: "Processors". */
	name: string;
}

export function PlotTable({ name, ...figures }: Figures) {
	const [open, setOpen] = useState(false);
	const id = useId();
	return (
		<div class="plot-table">
			<Button kind="quiet" icon="table" label={open ? "Hide the table" : "As a table"} aria-label={`${name}: ${open ? "hide the table" : "as a table"}`} aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)} />
			<div id={id}>{open && <Shown name={name} {...figures} />}</div>
		</div>
	);
}

function Shown({ times, series, marks, format, name }: Figures) {
	const rows = useMemo(() => rowsOf(times, series, marks), [times, series, marks]);
	const eventful = rows.some((row) => row.events.length > 0);
	return (
		<>
			<div class="figures" tabIndex={0} role="region" aria-label={`${name}, figures`}>
				<table class="table">
					<caption class="sr">{name} over time, newest first</caption>
					<thead>
						<tr>
							<th scope="col">Time{utc.value ? ", UTC" : ""}</th>
							{series.map((s) => <th key={s.label} scope="col" class="right">{s.label}</th>)}
							{eventful && <th scope="col">Event</th>}
						</tr>
					</thead>
					<tbody>
						{rows.map((row) => (
							<tr key={row.time}>
								<th scope="row" class="num">{clock(row.time * 1000, now.peek(), utc.value)}</th>
								{row.values.map((value, i) => <td key={i} class="right num">{value === null ? <span class="dim">–</span> : format(value)}</td>)}
								{eventful && <td>{row.events.join(", ")}</td>}
							</tr>
						))}
					</tbody>
				</table>
			</div>
			<Button kind="quiet" icon="copy" label="Copy as CSV" aria-label={`${name}: copy as CSV`} onClick={() => void copyText(csvOf(rows, series), "Figures")} />
		</>
	);
}
