// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { QUERY_MAX, hasTerm, matcher, parse, toggleTerm } from "../src/lib/search";

interface Thing {
	name: string;
	state: string;
	labels: string[];
}
const FIELDS = { name: (t: Thing) => t.name, state: (t: Thing) => t.state, label: (t: Thing) => t.labels };
const THINGS: Thing[] = [
	{ name: "web-1", state: "running", labels: ["team=ci", "keep="] },
	{ name: "web-2", state: "stopped", labels: ["team=web"] },
	{ name: "db", state: "paused", labels: [] },
];
const find = (query: string): string[] => THINGS.filter(matcher(parse(query), FIELDS, ["name"])).map((t) => t.name);

describe("search", () => {
	it.each([
		["", ["web-1", "web-2", "db"]],
		["web", ["web-1", "web-2"]],
		["WEB", ["web-1", "web-2"]],
		["state:running,paused", ["web-1", "db"]],
		["-state:running", ["web-2", "db"]],
		["state:run", ["web-1"]],
		["label:team=ci", ["web-1"]],
		["label:team", ["web-1", "web-2"]],
		["-label:keep web", ["web-2"]],
		["name:web-*", ["web-1", "web-2"]],
		["name:*2", ["web-2"]],
		["name:w*b*1", ["web-1"]],
		["name:*", ["web-1", "web-2", "db"]],
		["nokey:x", []],
		["web state:stopped", ["web-2"]],
		['"web-2"', ["web-2"]],
	])("%s", (query, names) => expect(find(query)).toEqual(names));

	it("never fails, whatever is typed", () => {
		for (const query of [":", "a:", '"', '-"', "::", "-", "name:,", 'name:"', "*", "name:**", "\\", "name:(", "[a"]) {
			expect(() => find(query)).not.toThrow();
		}
		expect(parse("x ".repeat(QUERY_MAX)).length).toBeLessThanOrEqual(QUERY_MAX / 2);
	});

	it("toggles a term and leaves the others as they were written", () => {
		const on = toggleTerm("web -label:Keep", "state", "running");
		expect(on).toBe("web -label:Keep state:running");
		expect(hasTerm(on, "state", "running")).toBe(true);
		expect(toggleTerm(on, "state", "running")).toBe("web -label:Keep");
		expect(hasTerm("-state:running", "state", "running")).toBe(false);
	});

	it("quotes values with spaces", () => {
		const on = toggleTerm("", "label", "a b");
		expect(parse(on)).toMatchObject([{ key: "label", values: ["a b"] }]);
		expect(toggleTerm(on, "label", "a b")).toBe("");
	});
});
