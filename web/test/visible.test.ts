// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { visible } from "../src/lib/visible";

describe("names that a guest chose", () => {
	it.each([
		["exe that looks like a picture: \u202egpj.exe", "exe that looks like a picture: ⟨U+202E⟩gpj.exe"],
		["two\nlines\t\x1b[31m", "two⟨U+000A⟩lines⟨U+0009⟩⟨U+001B⟩[31m"],
		["zero\u200bwidth\ufeff\x7f\x85", "zero⟨U+200B⟩width⟨U+FEFF⟩⟨U+007F⟩⟨U+0085⟩"],
		["isolated\u2066\u2069\u061c\u2028", "isolated⟨U+2066⟩⟨U+2069⟩⟨U+061C⟩⟨U+2028⟩"],
	])("%j is shown as it is", (name, text) => expect(visible(name)).toBe(text));

	it.each(["notes.txt", "файл", "ملف.txt", "家", "👩‍💻.md", "a b", "می‌خواهم"])("%s stays", (name) => expect(visible(name)).toBe(name));
});
