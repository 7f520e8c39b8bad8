// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { ago, bytes, clock, count, duration, instant, mib, percent, parseSpan, plural, shortDigest, span, spanText } from "../src/lib/format";

describe("format", () => {
	it.each([
		[0, "0 B"], [1, "1 B"], [1023, "1023 B"], [1024, "1 KiB"], [1536, "1.5 KiB"], [10_240, "10 KiB"],
		[1048576, "1 MiB"], [187_203_584, "179 MiB"], [1024 ** 3 * 17.5, "17.5 GiB"], [1024 ** 4 * 100, "100 TiB"], [-2048, "−2 KiB"],
	])("bytes(%d) is %s", (n, text) => expect(bytes(n)).toBe(text));

	it("never shows 1024 of a unit", () => {
		for (let power = 1; power < 5; power++) expect(bytes(1024 ** power - 1)).not.toMatch(/^1024 [KMGT]/);
	});

	it("mib", () => expect([mib(256), mib(1024), mib(1536)]).toEqual(["256 MiB", "1 GiB", "1.5 GiB"]));

	it.each([
		[0, "0 s"], [0.25, "250 µs"], [12, "12 ms"], [999, "999 ms"], [1000, "1 s"], [4240, "4.2 s"], [59_900, "60 s"],
		[60_000, "1 min"], [200_000, "3 min 20 s"], [3_600_000, "1 h"], [90_061_000, "1 d 1 h"], [NaN, "–"],
	])("duration(%d) is %s", (ms, text) => expect(duration(ms)).toBe(text));

	it("span has one unit", () => expect([span(200_000), span(90_061_000), span(4240)]).toEqual(["3 min", "1 d", "4.2 s"]));

	it("ago looks both ways", () => {
		expect(ago(1000, 2000)).toBe("just now");
		expect(ago(0, 65_000)).toBe("1 min ago");
		expect(ago(7_200_000, 0)).toBe("in 2 h");
	});

	it("percent stays within its bounds", () => {
		expect([percent(1, 4), percent(9, 4), percent(1, 0), percent(NaN, 3)]).toEqual([25, 100, 0, 0]);
	});

	it("counts and plurals", () => {
		expect([count(999), count(1000), count(1234567)]).toEqual(["999", "1,000", "1,234,567"]);
		expect([plural(1, "VM"), plural(2, "VM"), plural(1000, "VM")]).toEqual(["1 VM", "2 VMs", "1,000 VMs"]);
	});

	it("clock gives the date of other days", () => {
		const t = Date.UTC(2026, 0, 31, 12, 5, 9);
		expect(clock(t, t, true)).toBe("12:05:09");
		expect(clock(t, t + 86_400_000, true)).toBe("2026-01-31 12:05:09");
	});

	it("instant reads what the API may give", () => {
		expect(instant("2026-01-31T12:00:00.123Z")).toBe(Date.UTC(2026, 0, 31, 12, 0, 0, 123));
		expect([instant("soon"), instant(undefined), instant(0), instant(-1)]).toEqual([undefined, undefined, undefined, undefined]);
		expect([instant(1_769_000_000), instant(1_769_000_000_000), instant(1_769_000_000_000_000)]).toEqual([
			1_769_000_000_000, 1_769_000_000_000, 1_769_000_000_000,
		]);
	});

	it("shortens digests", () => expect(shortDigest("sha256:0123456789abcdef0")).toBe("0123456789ab"));
});

describe("spans of time", () => {
	it("are written as the CLI takes them, without loss", () => {
		expect([0, 45, 5400, 3600, 172_800].map(spanText)).toEqual(["0", "45s", "90m", "1h", "2d"]);
		for (const s of [1, 59, 60, 3601, 86_400, 90_061]) expect(parseSpan(spanText(s))).toBe(s);
	});

	it("are read with and without a unit", () => {
		expect(["90", "15m", " 2H ", "1h 30m", "7d", ""].map(parseSpan)).toEqual([90, 900, 7200, 5400, 604_800, undefined]);
		for (const wrong of ["soon", "5 weeks", "-1h", "1.5h", "h"]) expect(parseSpan(wrong)).toBeNaN();
	});
});
