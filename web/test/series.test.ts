// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { broken, rates } from "../src/lib/series";

describe("figures over time", () => {
	it("are rates of counters, with a hole where a counter began anew", () => {
		expect(rates([0, 5, 10, 15, 20], [0, 50, 20, 30, undefined])).toEqual([null, 10, null, 2, null]);
	});

	it("have no line across a time in which nothing was measured", () => {
		const times = [0, 5, 10, 3600, 3605];
		expect(broken(times, [[1, 2, 3, 4, 5], [0, 0, 0, 0, 0]], 5)).toEqual([
			[0, 5, 10, 15, 3600, 3605], [1, 2, 3, null, 4, 5], [0, 0, 0, null, 0, 0],
		]);
	});

	it("bear a sample that came late", () => {
		expect(broken([0, 5, 20, 25], [[1, 2, 3, 4]], 5)).toEqual([[0, 5, 20, 25], [1, 2, 3, 4]]);
		expect(broken([], [[]], 5)).toEqual([[], []]);
	});
});
