// SPDX-License-Identifier: Apache-2.0
/* The pages of one VM. On the fixture. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { it } from "node:test";
import { onFixture, violations } from "./lib.mjs";

onFixture("the pages of a VM", (visit) => {
	it("narrows the events of a VM down", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"], "#/vms/web");
		await fetch(`${fixture.url}/vms/web/stop`, { method: "POST" });
		await page.getByRole("link", { name: "Events" }).last().click();
		await page.locator(".events tbody tr", { hasText: "vm.state" }).first().waitFor();
		await page.getByRole("button", { name: "operation", exact: true }).click();
		await page.locator(".events tbody tr", { hasText: "vm.state" }).first().waitFor({ state: "detached" });
		assert.match(page.url(), /q=kind%3Aoperation/);
		await context.close();
	});

	it("shows what the guest says of itself, and why it says nothing", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"], "#/vms/web");
		const card = page.locator(".card", { has: page.getByRole("heading", { name: "Inside the guest" }) });
		await card.getByRole("meter", { name: "Memory in use in the guest" }).waitFor();
		await card.getByRole("meter", { name: "Processors in use in the guest" }).waitFor();
		await card.getByRole("meter", { name: "Disk in use in the guest" }).waitFor();
		assert.match(await card.innerText(), /Load \d\.\d\d {2}0\.42 {2}0\.31\s+Processes 64/);
		await card.getByTitle("Received").waitFor();
		assert.equal(await card.getByText("Swap").count(), 0, "a guest without swap has no meter for it");
		await page.goto(`${fixture.url}/#/vms/worker`);
		await page.getByRole("heading", { level: 1, name: "worker" }).waitFor();
		const running = await (await fetch(`${fixture.url}/vms/worker`)).json();
		assert.equal(running.state, "running");
		await page.getByText("The guest's agent does not answer.").waitFor();
		await context.close();
	});

	it("shows the workspace, and gives what was changed there as a patch", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"], "#/vms/web");
		const card = page.locator(".card", { has: page.getByRole("heading", { name: "Workspace" }) });
		await card.getByRole("link", { name: "/root/repo" }).waitFor();
		for (const text of ["/home/me/src/app", "5d1c0b6a9e7f", "fix-login", "2 h ago", "banger workspace show web"]) await card.getByText(text).waitFor();
		await card.getByRole("button", { name: "Changes" }).click();
		const dialog = page.getByRole("dialog");
		await dialog.getByText("2 files").waitFor();
		assert.deepEqual(await dialog.locator(".changed li").allInnerTexts().then((list) => list.map((text) => text.replace(/\s+/g, " "))), ["server.py +2 −1", "tests/test_login.py new +2 −0"]);
		const [download] = await Promise.all([page.waitForEvent("download"), dialog.getByRole("button", { name: "Download the patch" }).click()]);
		assert.equal(download.suggestedFilename(), "web.patch");
		assert.match(readFileSync(await download.path(), "utf8"), /^diff --git a\/server.py[^]*\+def test_login/);
		await dialog.locator(".as-shell summary").click();
		const [curl, cli] = await dialog.locator(".as-shell code").allInnerTexts();
		assert.match(curl, /\/vms\/web\/workspace\/patch\?base_commit=5d1c0b6a/);
		assert.equal(cli, "banger workspace export web --base-commit 5d1c0b6a9e7f | git apply");
		await page.keyboard.press("Escape");
		await page.goto(`${fixture.url}/#/vms/worker`);
		await page.getByText("banger workspace prepare worker .").waitFor();
		await context.close();
	});

	it("gives the figures of a plot as a table, for keys and screen readers too", async () => {
		const { page, context } = await visit(["--rate", "0"], "#/vms/web");
		const button = page.getByRole("button", { name: "Disk: as a table" });
		await button.focus();
		await page.keyboard.press("Enter");
		const table = page.getByRole("table", { name: "Disk over time, newest first" });
		await table.waitFor();
		assert.deepEqual(await table.getByRole("columnheader").allInnerTexts(), ["Time", "read", "written"]);
		const cells = await table.locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
		assert.equal(cells.length, 60, "as many as the plot has");
		const times = cells.map(([time]) => time);
		assert.deepEqual(times, [...times].sort().reverse());
		assert.match(cells[0][1], /^\d[\d.]* B\/s$/);
		assert.equal(cells.at(-1)[1], "–", "a rate needs two figures");
		await page.getByRole("region", { name: "Disk, figures" }).focus();
		assert.deepEqual(await violations(page), []);
		await page.getByRole("button", { name: "Disk: copy as CSV" }).click();
		const csv = await page.evaluate(() => navigator.clipboard.readText());
		assert.match(csv, /^time,read,written,event\n\d{4}-\d\d-\d\dT[\d:.]+Z,\d/);
		await page.getByRole("button", { name: "Disk: hide the table" }).click();
		await table.waitFor({ state: "detached" });
		await context.close();
	});

	it("marks the snapshot that the disk goes on from, and moves the mark", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"], "#/vms/web/snapshots");
		const marked = () => page.locator("tr", { has: page.locator(".label.current") }).locator("strong").allInnerTexts();
		await page.locator(".label.current").waitFor();
		assert.deepEqual(await marked(), ["experiment"]);
		await page.locator("tr", { hasText: "fresh" }).getByText("1 other VM").waitFor();
		await page.getByRole("button", { name: "Actions for deps-installed" }).click();
		await page.getByRole("menuitem", { name: "Put web back to it" }).click();
		await page.getByRole("dialog").locator(".as-shell summary").click();
		await page.getByText("banger vm restore web").waitFor();
		await page.getByRole("button", { name: "Put it back" }).click();
		await page.locator("tr", { hasText: "deps-installed" }).locator(".label.current").waitFor();
		assert.deepEqual(await marked(), ["deps-installed"]);
		await fetch(`${fixture.url}/vms/web/snapshots`, { method: "POST", body: JSON.stringify({ name: "again" }) });
		await page.locator("tr", { hasText: "again" }).locator(".label.current").waitFor();
		assert.deepEqual(await marked(), ["again"]);
		await page.goto(`${fixture.url}/#/vms/api/snapshots`);
		await page.getByText("a snapshot of web").waitFor();
		await context.close();
	});

	it("follows a log from its end on a phone, and holds still for who scrolls up", async () => {
		const { page, context } = await visit(["--rate", "0"], "#/vms/web/console", { viewport: { width: 360, height: 740 } });
		const log = page.getByRole("log");
		const left = () => log.evaluate((el) => el.scrollHeight - el.scrollTop - el.clientHeight);
		const live = page.locator(".live-dot");
		await page.locator(".log-line", { hasText: "tick" }).first().waitFor();
		assert.ok((await left()) < 24, "at its end");
		assert.equal(await live.innerText(), "following");
		assert.equal(await page.getByRole("button", { name: "To the end" }).count(), 0);
		await log.hover();
		await page.mouse.wheel(0, -300);
		await page.getByText("paused", { exact: true }).waitFor();
		const before = await log.evaluate((el) => el.scrollTop);
		const ticks = await page.locator(".log-line", { hasText: "tick" }).count();
		await page.waitForFunction((n) => [...document.querySelectorAll(".log-line")].filter((el) => el.textContent.includes("tick")).length > n, ticks);
		assert.ok(Math.abs((await log.evaluate((el) => el.scrollTop)) - before) < 40, "it stays where it was");
		await page.getByRole("button", { name: "To the end" }).click();
		await page.getByText("following", { exact: true }).waitFor();
		await page.waitForFunction(() => ((el) => el.scrollHeight - el.scrollTop - el.clientHeight < 24)(document.querySelector(".log-body")));
		assert.deepEqual(await page.locator(".log-line.warn, .log-line.err").allInnerTexts(), ["[    2.080000] EXT4-fs (vdb): warning: mounting unchecked fs\n"], "a warning stands out, and nothing else");
		await context.close();
	});

	it("shows the names of files as they are, whatever a guest put into them", async () => {
		const { page, context } = await visit(["--rate", "0"], "#/vms/web/files/srv/odd");
		const cell = page.locator(".files-table tr", { hasText: "gpj.exe" }).locator(".linklike");
		assert.equal(await cell.innerText(), "⟨U+202E⟩gpj.exe");
		await cell.click();
		await page.getByRole("dialog").getByRole("heading", { name: "⟨U+202E⟩gpj.exe" }).waitFor();
		const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("dialog").getByRole("button", { name: "Download" }).click()]);
		assert.doesNotMatch(download.suggestedFilename(), /\u202e/);
		await context.close();
	});
});
