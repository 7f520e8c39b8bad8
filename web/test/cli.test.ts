// SPDX-License-Identifier: Apache-2.0
/* What the dashboard gives as commands of the CLI is what the CLI knows. */
import { readFileSync, readdirSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { setDocument } from "../src/api/capabilities";
import { VM_ACTIONS } from "../src/actions/actions";
import { vmRecipes } from "../src/actions/menu";
import type { Vm } from "../src/api/types";
import { setCommand } from "../src/pages/vm/settings";

const commands = readFileSync("../cli/commands.c", "utf8");
const options = readFileSync("../cli/args.c", "utf8");
const paths = new Set([...commands.matchAll(/\.path = "([^"]+)"/g)].map((m) => m[1]));
const names = new Set([...options.matchAll(/\[OPT_\w+\] = \{ "([^"]+)"/g)].map((m) => m[1]));
beforeAll(() => setDocument(parse(readFileSync("../openapi/banger.yaml", "utf8"))));

const known = (line: string): boolean => {
	const [, first = "", second = ""] = line.split(" ");
	const fits = paths.has(`${first} ${second}`) || paths.has(first);
	const ours = line.split(" -- ")[0] ?? "";
	return fits && [...ours.matchAll(/ --([a-z-]+)/g)].every((m) => names.has(m[1] as string));
};

function sources(folder: string): string[] {
	return readdirSync(folder, { withFileTypes: true }).flatMap((e) =>
		e.isDirectory() ? sources(`${folder}/${e.name}`) : /\.tsx?$/.test(e.name) ? [readFileSync(`${folder}/${e.name}`, "utf8")] : [],
	);
}

describe("commands of the CLI", () => {
	it("reads the CLI's own tables", () => {
		expect(paths.size).toBeGreaterThan(30);
		expect(known("banger vm nonsense web")).toBe(false);
		expect(known("banger vm create --nonsense")).toBe(false);
	});

	it("exist for every action", () => {
		for (const action of VM_ACTIONS) expect(known(action.cli?.("web") ?? ""), action.id).toBe(true);
	});

	it("exist for every recipe and change", () => {
		const vm = { name: "web", state: "running", labels: {} } as unknown as Vm;
		for (const { cli } of vmRecipes(vm)) if (cli) expect(known(cli), cli).toBe(true);
		const change = setCommand(vm, { vcpus: 2, memory_mib: 512, disk_mib: 9000, nat: false, labels: { a: "b c" }, ttl_s: 0, idle_stop_s: 60 });
		expect(known(change), change).toBe(true);
		expect(change).toBe("banger vm set web --vcpus 2 --memory 512M --disk 9000M --no-nat --label 'a=b c' --ttl 0 --idle-stop 60s");
	});

	it("are known wherever a page writes one", () => {
		const written = sources("src").flatMap((text) => [...text.matchAll(/[`"](banger [a-z]+ [a-z-]+)/g)].map((m) => m[1] as string));
		expect(written.length).toBeGreaterThan(15);
		for (const line of written) expect(known(line), line).toBe(true);
	});
});
