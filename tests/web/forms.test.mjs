// SPDX-License-Identifier: Apache-2.0
/* What is typed and asked for: forms, the commands and the JSON that stand for them. On the fixture. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { onFixture, violations } from "./lib.mjs";

onFixture("forms and commands", (visit) => {
	it("makes a VM of a template, and lets go of it when its shape is changed", async () => {
		const { page, context } = await visit(["--rate", "0"], "#/snapshots");
		await page.getByRole("button", { name: "Actions for the template of debian" }).click();
		await page.getByRole("menuitem", { name: "New VM from it" }).click();
		const body = async () => JSON.parse(await page.locator(".preview pre.raw").innerText());
		await page.getByText("It starts from a booted copy").waitFor();
		const { image, vcpus, memory_mib, disk_mib, network, init, boot } = await body();
		assert.deepEqual({ image, vcpus, memory_mib, disk_mib, network, init, boot }, { image: "debian", vcpus: 1, memory_mib: 512, disk_mib: 8192, network: "user", init: "agent", boot: "template" });
		await page.getByLabel("Memory in MiB").fill("640");
		assert.deepEqual([(await body()).memory_mib, (await body()).boot], [640, undefined]);
		assert.equal(await page.getByLabel("Clone of", { exact: true }).inputValue(), "");
		await page.getByLabel("Clone of", { exact: true }).selectOption({ label: "mini · 1 vCPU, 512 MiB, disk 8 GiB, network user" });
		assert.deepEqual([(await body()).image, (await body()).memory_mib, (await body()).boot], ["mini", 512, "template"]);
		await context.close();
	});

	it("gives what it asks about as curl and CLI, too", async () => {
		const { page, context } = await visit(["--rate", "0"], "#/tokens");
		const shown = async () => {
			await page.locator(".dialog .as-shell summary").click();
			const list = await page.locator(".dialog .as-shell code").allInnerTexts();
			await page.getByRole("button", { name: "Close", exact: true }).click();
			return list.map((text) => text.replace(/\\\n\s*/g, ""));
		};
		await page.getByRole("button", { name: "New token" }).first().click();
		await page.getByLabel("Name", { exact: true }).fill("runner");
		const [curl, cli] = await shown();
		assert.match(curl, /\/tokens .*"name":"runner","scope":"run","ttl_s":2592000/);
		assert.equal(cli, "banger token create runner --scope run --ttl 2592000s");
		await page.getByRole("button", { name: /^Revoke / }).first().click();
		assert.match((await shown()).join("\n"), /-X DELETE .*\/tokens\/.*\nbanger token delete /);
		await page.goto(page.url().replace("tokens", "images"));
		await page.getByRole("button", { name: "New kernel" }).click();
		await page.getByLabel(/^Build microvm/).check();
		const commands = await page.locator(".dialog .command code").allInnerTexts();
		assert.match(commands[0], /\/kernels[^]*\{"build":"microvm"\}/);
		assert.equal(commands[1], "banger kernel build microvm");
		await page.getByRole("button", { name: "Close", exact: true }).click();
		await page.getByRole("button", { name: "Preferences" }).first().click();
		assert.equal(await page.getByRole("menuitem", { name: "API reference" }).getAttribute("href"), "/docs");
		await context.close();
	});

	it("takes spans of time as people write them", async () => {
		const { page, context } = await visit(["--rate", "0"], "#/vms/web/settings");
		const field = page.getByLabel("Stop when idle for");
		await field.fill("soon");
		await page.getByText("A number with s, m, h or d").waitFor();
		assert.equal(await page.getByRole("button", { name: "Save" }).isDisabled(), true);
		await field.fill("90m");
		await page.getByText("1 h 30 min.").waitFor();
		await page.getByText("banger vm set web --idle-stop 5400s").waitFor();
		await page.getByRole("button", { name: "Save" }).click();
		await page.getByText("web is changed").waitFor();
		assert.equal(await field.inputValue(), "90m");
		await context.close();
	});

	it("gives every action as a command", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"], "#/vms/web");
		await page.getByRole("button", { name: "As curl" }).click();
		const text = await page.getByRole("dialog").innerText();
		for (const verb of ["start", "stop", "restart", "kill"]) assert.ok(text.includes(`${fixture.url}/vms/web/${verb}`), verb);
		assert.ok(text.includes("banger vm delete web"));
		await page.getByRole("dialog").locator(".command .copy").first().click();
		await page.getByText(/copied/).waitFor();
		assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^curl http/);
		await context.close();
	});

	it("gives everything that a page shows as JSON, to copy", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"], "#/vms");
		const web = await (await fetch(`${fixture.url}/vms/web`)).json();
		const dialog = page.getByRole("dialog");
		const shown = async (path) => {
			await dialog.locator(".json pre").waitFor();
			assert.ok((await dialog.locator(".command code").first().innerText()).includes(`${fixture.url}${path}`), path);
			await dialog.getByRole("button", { name: "Copy JSON" }).click();
			await page.getByText("JSON copied").waitFor();
			const text = await page.evaluate(() => navigator.clipboard.readText());
			assert.equal(text, await dialog.locator(".json pre").innerText());
			await page.getByRole("button", { name: "Close", exact: true }).click();
			return JSON.parse(text);
		};
		const menu = async (name, item) => {
			await page.getByRole("button", { name, exact: true }).click();
			await page.getByRole("menuitem", { name: item }).click();
		};
		await menu("More", "JSON…");
		assert.equal((await shown("/vms")).items.length, 24);
		await menu("Actions for web", "JSON…");
		assert.equal((await shown("/vms/web")).id, web.id);
		for (const [hash, button, path] of [["vms/web", "“web” as JSON", "/vms/web"], ["vms/web/network", "What listens in “web” as JSON", "/vms/web/ports"], ["runs", "The list of runs as JSON", "/runs"], ["runs/0037000000000000", "The run as JSON", "/runs/0037000000000000"], ["snapshots", "The list of snapshots as JSON", "/snapshots"], ["snapshots", "The list of templates as JSON", "/templates"], ["host", "The host as JSON", "/host"], ["host", "The doctor's report as JSON", "/doctor"], ["tokens", "The list of tokens as JSON", "/tokens"]]) {
			await page.goto(`${fixture.url}/#/${hash}`);
			await page.getByTitle(button, { exact: true }).click();
			assert.deepEqual(Object.keys(await shown(path)), Object.keys(await (await fetch(fixture.url + path)).json()), path);
		}
		await page.goto(`${fixture.url}/#/images`);
		await menu("Actions for mini", "JSON…");
		assert.equal((await shown("/images/mini")).name, "mini");
		await menu("More", "Kernels as JSON…");
		assert.equal((await shown("/kernels")).items[0].name, "debian-cloud");
		await page.goto(`${fixture.url}/#/vms/web/snapshots`);
		await menu("Actions for fresh", "JSON…");
		const { id } = await shown("/snapshots/");
		await menu("Actions for fresh", "Copy id");
		await page.getByText("Id copied").waitFor();
		assert.equal(await page.evaluate(() => navigator.clipboard.readText()), id);
		await context.close();
	});

	it("says what is wrong with a form while it is typed, and what the server refused", async () => {
		const { page, context } = await visit(["--rate", "0"], "#/create?advanced=1");
		const create = page.getByRole("button", { name: "Create" });
		await page.getByLabel("Name", { exact: true }).fill("UPPER");
		await page.getByText("Use 1 to 63 lower-case letters").waitFor();
		assert.equal(await create.isDisabled(), true);
		await page.getByLabel("Name", { exact: true }).fill("fine");
		await page.getByLabel("Processors in vCPU").fill("0");
		await page.getByText("Between 1 and 64.").waitFor();
		await page.getByLabel("Processors in vCPU").fill("2");
		await page.getByLabel("Name", { exact: true }).fill("web");
		await page.getByText("A VM of this name is there already.").waitFor();
		await page.getByLabel("Name", { exact: true }).fill("fine");
		assert.equal(await create.isDisabled(), false);
		assert.match(await page.locator(".preview").innerText(), /"name": "fine"/);
		await context.close();
	});

	it("offers images that are not here yet, and brings them with the VM", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"], "#/create");
		const select = page.getByLabel("Another image");
		await select.locator("option", { hasText: "alpine" }).waitFor({ state: "attached" });
		assert.deepEqual(await select.locator("optgroup option").allInnerTexts(), ["alpine (docker.io/library/alpine:3)"], "what is here has a card");
		await select.selectOption("alpine");
		await page.getByText(/banger vm create .*--image alpine/).waitFor();
		await page.locator(".choice-cards label", { hasText: "mini" }).click();
		await page.getByText(/banger vm create .*--image mini/).waitFor();
		assert.equal(await select.inputValue(), "");
		await page.goto(`${fixture.url}/#/create?image=alpine`);
		await page.reload();
		await page.getByText(/banger vm create .*--image alpine/).waitFor();
		assert.deepEqual(await violations(page), []);
		await context.close();
	});

	it("gives an image another name, and says that deleting one of two frees nothing", async () => {
		const { page, context } = await visit(["--rate", "0"], "#/images");
		const menu = async (name, item) => {
			await page.getByRole("button", { name: `Actions for ${name}`, exact: true }).click();
			await page.getByRole("menuitem", { name: item }).click();
		};
		await menu("python:3.12", "Another name…");
		await page.getByLabel("Name", { exact: true }).fill("No Name!");
		await page.getByRole("alert").waitFor();
		await page.getByLabel("Name", { exact: true }).fill("py");
		await page.getByText("banger image tag python:3.12 py").waitFor();
		await page.getByRole("button", { name: "Give it this name" }).click();
		await page.locator("tr", { hasText: "shared with python:3.12" }).waitFor();
		await menu("py", "Delete");
		await page.getByRole("dialog").getByText("Nothing is freed").waitFor();
		await page.getByRole("button", { name: "Delete image" }).click();
		await page.locator("tr", { hasText: "shared with python:3.12" }).waitFor({ state: "detached" });
		await context.close();
	});
});
