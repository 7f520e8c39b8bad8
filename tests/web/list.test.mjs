// SPDX-License-Identifier: Apache-2.0
/* The list of VMs. On the fixture. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { names, onFixture } from "./lib.mjs";

onFixture("the list of VMs", (visit) => {
	it("follows changes without a reload", async () => {
		const { page, fixture, context } = await visit(["--rate", "0"]);
		await fetch(`${fixture.url}/vms`, { method: "POST", body: JSON.stringify({ name: "aaa-new" }) });
		await page.getByRole("link", { name: "aaa-new" }).waitFor();
		await page.locator(".vm-row", { hasText: "aaa-new" }).locator(".word", { hasText: "running" }).waitFor();
		await context.close();
	});

	it("does not move rows under the pointer", async () => {
		const { page, fixture, context } = await visit(["--rate", "0"]);
		const before = await names(page);
		await page.locator(".vm-row", { hasText: before[3] }).hover();
		await fetch(`${fixture.url}/vms`, { method: "POST", body: JSON.stringify({ name: "aaa-new" }) });
		await page.getByText("25 VMs").waitFor();
		assert.deepEqual((await names(page)).slice(0, 5), before.slice(0, 5));
		await page.mouse.move(700, 40);
		await page.waitForFunction(() => document.querySelector(".vm-shift .vm-name")?.textContent === "aaa-new");
		await context.close();
	});

	it("keeps search, sort and columns in the address", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"]);
		await page.getByRole("button", { name: /running/ }).first().click();
		await page.getByRole("button", { name: "Memory" }).click();
		await page.getByRole("button", { name: "Memory" }).click();
		await page.getByRole("button", { name: "Columns" }).click();
		await page.getByRole("menuitemcheckbox", { name: "Id", exact: true }).click();
		await page.keyboard.press("Escape");
		const address = page.url();
		assert.match(address, /q=state%3Arunning/);
		assert.match(address, /sort=-memory/);
		const shown = await names(page);
		const other = await context.newPage();
		await other.goto(address);
		await other.locator(".vm-shift .vm-row").first().waitFor();
		assert.deepEqual(await names(other), shown);
		assert.equal(await other.getByRole("columnheader", { name: "Id" }).count(), 1);
		assert.equal(await other.getByRole("columnheader", { name: "Memory" }).getAttribute("aria-sort"), "descending");
		assert.ok(fixture.url);
		await context.close();
	});

	it("works from the keyboard alone", async () => {
		const { page, context } = await visit(["--rate", "0"]);
		await page.locator(".vm-shift .vm-row").first().waitFor();
		await page.keyboard.press("j");
		await page.keyboard.press("j");
		const second = (await names(page))[1];
		await page.waitForFunction((name) => document.activeElement?.textContent === name, second);
		await page.keyboard.press("x");
		await page.getByText("1 VM selected").waitFor();
		await page.keyboard.press("Escape");
		await page.getByText("1 VM selected").waitFor({ state: "detached" });
		await page.keyboard.press("Enter");
		await page.getByRole("heading", { level: 1, name: second }).waitFor();
		await page.keyboard.press("3");
		await page.waitForURL(/\/console$/);
		await page.keyboard.press("g");
		await page.keyboard.press("i");
		await page.getByRole("heading", { level: 1, name: "Images & kernels" }).waitFor();
		await page.keyboard.press("Control+k");
		await page.keyboard.type("doct");
		await page.keyboard.press("Enter");
		await page.getByRole("heading", { level: 1, name: "Host & doctor" }).waitFor();
		await page.keyboard.press("?");
		await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
		await page.keyboard.press("Escape");
		await page.getByRole("dialog").waitFor({ state: "detached" });
		await page.keyboard.press("c");
		await page.getByRole("heading", { level: 1, name: "New VM" }).waitFor();
		await context.close();
	});

	it("shows each result when some of many fail", async () => {
		const { page, context } = await visit(["--rate", "0"]);
		for (const name of ["docs", "api"]) await page.getByLabel(`Select ${name}`, { exact: true }).click();
		await page.getByRole("toolbar").getByRole("button", { name: /^Stop/ }).click();
		const dialog = page.getByRole("dialog");
		await dialog.getByText("1 of 2 failed").waitFor();
		await dialog.locator("li", { hasText: "docs" }).getByText("Resume it first").waitFor();
		await dialog.locator("li", { hasText: "api" }).getByText("accepted").waitFor();
		await context.close();
	});

	it("shows the ports of a VM whole", async () => {
		const { page, context } = await visit(["--rate", "0"]);
		await page.route("**/stats", async (route) => {
			const { items } = await (await route.fetch()).json();
			for (const item of items) item.forwards = item.forwards.flatMap((f) => [43091, 8000, 80].map((guest_port, i) => ({ ...f, id: `${f.id}${i}`, guest_port })));
			await route.fulfill({ json: { items } });
		});
		await page.reload();
		const ports = page.locator(".vm-row", { hasText: "api" }).locator(".c-ports");
		await ports.locator("a", { hasText: "+1" }).waitFor();
		const cut = await ports.evaluate((cell) => [...cell.querySelectorAll("a")].filter((a) => a.scrollWidth > a.clientWidth + 1 || a.getBoundingClientRect().bottom > cell.parentElement.getBoundingClientRect().bottom).map((a) => a.textContent));
		assert.deepEqual(cut, []);
		await context.close();
	});
});
