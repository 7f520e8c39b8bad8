// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { csvOf, rowsOf } from "../src/lib/rows";

const T = 1_700_000_000;
const columns = [
	{ label: "read", values: [null, 10, 20.123456] },
	{ label: "written", values: [1, 2, 3] },
];

describe("the rows of a plot", () => {
	it("are newest first, with a hole where nothing was measured", () => {
		const rows = rowsOf([T, T + 5, T + 10], columns, []);
		expect(rows.map((r) => [r.time - T, ...r.values])).toEqual([[10, 20.123456, 3], [5, 10, 2], [0, null, 1]]);
	});

	it("have every event once: at the first figures after it, or the newest", () => {
		const events = [{ at: T - 2, text: "up" }, { at: T + 3, text: "paused" }, { at: T + 5, text: "resumed" }, { at: T + 11, text: "stopped" }];
		expect(rowsOf([T, T + 5, T + 10], columns, events).map((r) => r.events)).toEqual([["stopped"], ["paused", "resumed"], ["up"]]);
	});

	it("leave out what happened long before the first figures", () => {
		expect(rowsOf([T, T + 5], columns, [{ at: T - 3600, text: "up" }]).flatMap((r) => r.events)).toEqual([]);
	});

	it("become CSV without units", () => {
		const named = [{ label: 'a "b", c', values: [0.5] }];
		expect(csvOf(rowsOf([T], named, [{ at: T, text: "up" }]), named)).toBe('time,"a ""b"", c",event\n2023-11-14T22:13:20.000Z,0.5,up\n');
	});
});
