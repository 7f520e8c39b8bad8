// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { filePath, joined, modeText, segmentsOf } from "../src/api/files";

describe("paths of a guest", () => {
	it("are addresses with every name escaped", () => {
		expect(filePath("web", ["etc", "a b", "50%", "ü?#"])).toBe("/vms/web/files/etc/a%20b/50%25/%C3%BC%3F%23");
		expect(filePath("web", [])).toBe("/vms/web/files/%2F");
	});

	it("are worked out from what people type", () => {
		expect(segmentsOf("/srv//app/../lib/./x/")).toEqual(["srv", "lib", "x"]);
		expect(segmentsOf("../../etc")).toEqual(["etc"]);
		expect(joined([])).toBe("/");
		expect(joined(["a", "b"])).toBe("/a/b");
	});
});

describe("modes", () => {
	it.each([
		["dir", 0o755, "drwxr-xr-x"],
		["file", 0o640, "-rw-r-----"],
		["link", 0o777, "lrwxrwxrwx"],
		["dir", 0o1777, "drwxrwxrwt"],
		["file", 0o4755, "-rwsr-xr-x"],
		["file", 0o2644, "-rw-r-Sr--"],
	])("%s %o", (type, mode, text) => expect(modeText(type, mode)).toBe(text));
});
