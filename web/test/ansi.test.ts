// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { LINE_MAX, levelOf, Painter, strip } from "../src/lib/ansi";

const one = (raw: string) => new Painter().line(raw);

describe("ansi", () => {
	it("keeps colours and weights", () => {
		expect(one("a \x1b[1;32mok\x1b[0m b")).toEqual([
			{ text: "a ", style: "" },
			{ text: "ok", style: "fg2 bold" },
			{ text: " b", style: "" },
		]);
	});

	it("carries a colour into the next line", () => {
		const painter = new Painter();
		painter.line("\x1b[31mred");
		expect(painter.line("still")).toEqual([{ text: "still", style: "fg1" }]);
		expect(painter.line("\x1b[mplain")).toEqual([{ text: "plain", style: "" }]);
	});

	it("brings 256 and true colours down to 16", () => {
		expect(one("\x1b[38;5;196mx")[0]?.style).toBe("fg9");
		expect(one("\x1b[38;2;0;200;0mx")[0]?.style).toBe("fg10");
		expect(one("\x1b[38;5;4;1mx")[0]?.style).toBe("fg4 bold");
	});

	it("drops every other sequence", () => {
		expect(strip("\x1b[2J\x1b[1;1Ha\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c\x1b(Bd\x08\x00")).toBe("abcd");
		expect(one("\x1b]0;never ended").map((s) => s.text).join("")).toBe("");
	});

	it("overwrites after a carriage return", () => {
		expect(one("10%\r50%\r100%\r").map((s) => s.text)).toEqual(["100%"]);
	});

	it("bounds a line", () => {
		expect(one("x".repeat(LINE_MAX * 4))[0]?.text.length).toBe(LINE_MAX + 1);
	});

	it("leaves markup as text", () => {
		expect(one("<img src=x onerror=alert(1)>")[0]?.text).toBe("<img src=x onerror=alert(1)>");
	});
});

describe("the level of a console's line", () => {
	it.each([
		["Kernel panic - not syncing: VFS: Unable to mount root fs", "err"],
		["[FAILED] Failed to start ssh.service.", "err"],
		["[    1.2] EXT4-fs (vdb): warning: mounting unchecked fs", "warn"],
		["[    0.5] clocksource: deprecated option", "warn"],
		["fsck: 0 errors", ""],
		["[    1.48] PCI: Fatal: No config space access function found", ""],
		["[    0.9] Run /init as init process", ""],
		["terror and warnings-free", ""],
	])("%s", (line, level) => expect(levelOf(line)).toBe(level));
});
