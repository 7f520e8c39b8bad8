// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { curl, quote, split } from "../src/lib/shell";

const HOSTILE = ["plain", "two words", "it's", '"', "$HOME", "`id`", "a\\b", "", "a\nb", "*", "!x", "ü", "; rm -rf x", "-n"];

describe("shell", () => {
	it("quotes so that a real shell gives the word back", () => {
		for (const word of HOSTILE) {
			const out = execFileSync("/bin/sh", ["-c", `printf '%s' ${quote(word)}`], { encoding: "utf8" });
			expect(out).toBe(word);
		}
	});

	it("splits what it quoted", () => {
		expect(split(HOSTILE.map(quote).join("  "))).toEqual(HOSTILE);
		expect(split(`a "b \\" c" d\\ e ''`)).toEqual(["a", 'b " c', "d e", ""]);
		expect(split("open 'quote")).toBeNull();
		expect(split("   ")).toEqual([]);
	});

	it("makes a curl command whose words survive a shell", () => {
		const body = { argv: ["sh", "-c", "echo 'hi' \"$X\""] };
		const text = curl({ method: "POST", path: "/vms/web/exec", body, headers: { Accept: "text/plain" } }, { origin: "http://127.0.0.1:8420", token: true });
		const out = execFileSync("/bin/sh", ["-c", `curl() { for a; do printf '%s\\0' "$a"; done; }; ${text}`], {
			encoding: "utf8", env: { BANGER_TOKEN: "t" },
		}).split("\0").slice(0, -1);
		expect(out).toEqual([
			"http://127.0.0.1:8420/vms/web/exec", "-H", "Authorization: Bearer t", "-H", "Accept: text/plain",
			"-H", "Content-Type: application/json", "-d", JSON.stringify(body),
		]);
	});

	it("names the method where curl would not guess it", () => {
		const endpoint = { origin: "http://h", token: false };
		expect(curl({ method: "GET", path: "/vms" }, endpoint)).toBe("curl http://h/vms");
		expect(curl({ method: "POST", path: "/vms/a/stop" }, endpoint)).toBe("curl -X POST http://h/vms/a/stop");
		expect(curl({ method: "DELETE", path: "/vms/a" }, endpoint)).toBe("curl -X DELETE http://h/vms/a");
	});
});
