// SPDX-License-Identifier: Apache-2.0
/* The figures of a plot as rows of a table, and as CSV. Pure, for tests. */

export interface Column {
	label: string;
	/** One value for each time; null where nothing was measured. */
	values: (number | null)[];
}

export interface Event {
	/** Seconds since the epoch. */
	at: number;
	text: string;
}

export interface Row {
	/** Seconds since the epoch. */
	time: number;
	values: (number | null)[];
	/** What happened since the row before. */
	events: string[];
}

/** Newest first. An event stands at the first figures after it; one that is newer than all of them at the newest. */
export function rowsOf(times: number[], columns: Column[], events: Event[]): Row[] {
	const last = times.length - 1;
	return times
		.map((time, i) => ({
			time,
			values: columns.map((column) => column.values[i] ?? null),
			events: events.filter((e) => (i === 0 || e.at > (times[i - 1] ?? 0)) && (i === last || e.at <= time) && e.at > (times[0] ?? 0) - 60).map((e) => e.text),
		}))
		.reverse();
}

const quoted = (text: string): string => (/[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);

/** Times as RFC 3339, figures without a unit. */
export function csvOf(rows: Row[], columns: Column[]): string {
	const head = ["time", ...columns.map((c) => c.label), "event"];
	const lines = rows.map((row) => [new Date(row.time * 1000).toISOString(), ...row.values.map((v) => (v === null ? "" : String(Number(v.toFixed(4))))), row.events.join(" ")]);
	return [head, ...lines].map((line) => line.map(quoted).join(",")).join("\n") + "\n";
}
