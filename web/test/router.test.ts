// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { href, parseRoute } from "../src/lib/router";

describe("router", () => {
	it("gives back what it made", () => {
		for (const path of [["vms"], ["vms", "web", "console"], ["images", "a/b:c d"], ["vms", "%"]]) {
			const route = parseRoute(href(path, { q: "state:running label:a=b", sort: "-name" }));
			expect(route.parts).toEqual(path);
			expect(route.query.get("q")).toBe("state:running label:a=b");
			expect(route.query.get("sort")).toBe("-name");
		}
	});

	it("takes any address", () => {
		for (const hash of ["", "#", "#/", "#//", "#/%zz", "#?", "#/vms?q=%zz", "#main"]) {
			expect(() => parseRoute(hash)).not.toThrow();
		}
		expect(parseRoute("#/").parts).toEqual([]);
	});
});
