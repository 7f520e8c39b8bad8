// SPDX-License-Identifier: Apache-2.0
/* Figures over time, before they are drawn. Pure, for tests. */

export type Values = (number | null)[];

/** Amounts a second from a counter; null where it began anew. `times` in seconds. */
export function rates(times: number[], counters: (number | undefined)[]): Values {
	return counters.map((value, i) => {
		const [before, passed] = [counters[i - 1], (times[i] ?? 0) - (times[i - 1] ?? 0)];
		return value === undefined || before === undefined || passed <= 0 || value < before ? null : (value - before) / passed;
	});
}

/** So many steps may be missing before the line is broken. */
const MISSING_MAX = 3;

/** The same with a hole wherever nothing was measured for a while: a line across it would be invented. */
export function broken(times: number[], columns: Values[], step: number): [number[], ...Values[]] {
	const holes = times.flatMap((time, i) => (i > 0 && time - (times[i - 1] ?? 0) > MISSING_MAX * step ? [i] : []));
	if (holes.length === 0) return [times, ...columns];
	const filled = <T,>(list: T[], what: (i: number) => T): T[] => list.flatMap((value, i) => (holes.includes(i) ? [what(i), value] : [value]));
	return [filled(times, (i) => (times[i - 1] ?? 0) + step), ...columns.map((column) => filled<number | null>(column, () => null))];
}
