// SPDX-License-Identifier: Apache-2.0
/* Against the real document: what pages rely on is there, and forms refuse what the server would. */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { can, hasField, schemaOf, setDocument } from "../src/api/capabilities";
import { KNOWN } from "../src/api/known";
import { problemOf } from "../src/api/validate";
import { VM_ACTIONS, requestForMany } from "../src/actions/actions";
import { PLACES } from "../src/shell/nav";
import { freeName } from "../src/pages/create/names";
import { lookOf } from "../src/ui/state";

const document_ = parse(readFileSync("../openapi/banger.yaml", "utf8"));
beforeAll(() => setDocument(document_));

const field = (schema: string, name: string) => {
	const found = schemaOf(schema)?.properties?.[name];
	if (!found) throw new Error(`${schema} has no ${name}`);
	return found;
};

it("is foreseen: before it is there the operations are those of the build", () => {
	const names = Object.values(document_.paths as Record<string, Record<string, { operationId?: string }>>).flatMap((item) => Object.values(item).map((o) => o?.operationId));
	expect([...KNOWN].sort()).toEqual(names.filter(Boolean).sort());
});

describe("the document", () => {
	it("has the operations behind every action and page", () => {
		for (const action of VM_ACTIONS) expect(can(action.operation), action.operation).toBe(true);
		for (const place of PLACES) expect(can(place.needs), place.needs).toBe(true);
		expect(can("no_such_operation" as never)).toBe(false);
	});

	it("has actions whose requests are its own", () => {
		for (const action of VM_ACTIONS) {
			const vm = { id: "x", name: "web" } as never;
			const { method, path } = action.request(vm);
			const item = document_.paths[path.replace("/web", "/{vm}")];
			expect(item?.[method.toLowerCase()]?.operationId).toBe(action.operation);
		}
	});

	it("has the verb of every action for many VMs", () => {
		expect(VM_ACTIONS.filter((action) => !requestForMany(action, [])).map((action) => action.id)).toEqual([]);
	});

	it("knows a look for every state of a VM", () => {
		for (const state of schemaOf("VmState")?.enum ?? []) {
			expect(lookOf(state).tone === "off" ? ["stopped", "created"] : [state]).toContain(state);
		}
	});

	it("gives every VM state at least one thing to do, but for those on their way", () => {
		for (const state of schemaOf("VmState")?.enum ?? []) {
			if (state === "deleting") continue;
			expect(VM_ACTIONS.some((a) => a.from.includes(state as never)), state).toBe(true);
		}
	});

	it.each([
		["name", "web", true], ["name", "Web", false], ["name", "-a", false], ["name", "a".repeat(64), false], ["name", undefined, true],
		["vcpus", 1, true], ["vcpus", 0, false], ["vcpus", 1.5, false], ["vcpus", NaN, false], ["vcpus", 65, false],
		["memory_mib", 95, false], ["memory_mib", 96, true],
		["image", "python:3.12", true], ["image", "/etc", false],
		["labels", { team: "ci" }, true], ["labels", { "": "x" }, false], ["labels", { a: "x".repeat(256) }, false],
		["network", "user", true], ["network", "carrier-pigeon", false],
	])("VmCreate.%s: %j", (name, value, fine) => {
		expect(problemOf(value, field("VmCreate", name)) === undefined).toBe(fine);
	});

	it("makes names that the schema takes and nobody has", () => {
		for (let i = 0; i < 200; i++) expect(problemOf(freeName(new Set()), field("VmCreate", "name"))).toBeUndefined();
		const first = freeName(new Set(), () => 0);
		expect(freeName(new Set([first]), () => 0)).not.toBe(first);
	});

	it("hasField", () => expect([hasField("VmCreate", "name"), hasField("VmCreate", "flavour")]).toEqual([true, false]));
});
