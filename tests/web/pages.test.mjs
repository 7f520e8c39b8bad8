// SPDX-License-Identifier: Apache-2.0
/* Single pages in Chromium, on the fixture: what they show, and that it fits a phone. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { UNBUILT, openBrowser, openPage, settled, startFixture } from "./lib.mjs";

describe("pages", { skip: UNBUILT, timeout: 300_000 }, () => {
	let browser;
	let fixture;
	before(async () => {
		browser = await openBrowser();
		fixture = await startFixture("--rate", "0");
	});
	after(async () => {
		await browser?.close();
		fixture?.stop();
	});
	const visit = async (hash, options = {}) => {
		const opened = await openPage(browser, options);
		await opened.page.goto(`${fixture.url}/${hash}`);
		await settled(opened.page);
		return opened;
	};

	it("draws the frame, the first rows and the rest of the screen one after the other", async () => {
		const { page, context } = await openPage(browser, { viewport: { width: 1440, height: 1200 } });
		await page.addInitScript(() => {
			globalThis.steps = [];
			new MutationObserver(() => globalThis.steps.push([document.querySelector(".nav") !== null, document.querySelectorAll(".vm-shift .vm-row").length])).observe(document, { childList: true, subtree: true });
		});
		await page.goto(`${fixture.url}/`);
		await page.getByText(/^24 VMs$/).waitFor();
		await page.locator('.vm-row[aria-rowindex="20"]').waitFor();
		const steps = await page.evaluate(() => globalThis.steps);
		assert.equal(steps.find(([nav]) => nav)[1], 0, "the frame alone");
		const rows = [...new Set(steps.map(([, n]) => n))];
		assert.equal(rows[0], 0);
		assert.equal(rows[1], 8, `the upper rows: ${rows}`);
		assert.ok(rows.at(-1) >= 20);
		await context.close();
	});

	it("shows where the palette is", async () => {
		const { page, context } = await visit("#/images");
		await page.getByRole("button", { name: "Go to or do" }).click();
		await page.getByRole("combobox", { name: "Go to or do" }).fill("host");
		await page.keyboard.press("Enter");
		await page.getByRole("heading", { name: "Host & doctor" }).waitFor();
		await context.close();
	});

	it("plots what the host used, with the figures as a table, over the time that is chosen", async () => {
		const { page, context, faults } = await visit("#/host");
		const asked = [];
		page.on("request", (request) => request.url().includes("/host/history") && asked.push(Number(new URL(request.url()).searchParams.get("since"))));
		for (const name of ["Processors", "Memory", "Disk", "Waiting"]) await page.locator(".plots section", { has: page.getByRole("heading", { name: new RegExp(`^${name}`) }) }).locator("canvas").waitFor();
		await page.getByRole("button", { name: "Processors: as a table" }).click();
		const figures = page.getByRole("region", { name: "Processors, figures" });
		assert.equal(await figures.locator("tbody tr").count(), 60);
		assert.deepEqual((await figures.locator("thead th").allInnerTexts()).slice(1), ["everything", "VMs"]);
		await page.getByRole("button", { name: "24 h" }).click();
		while (!asked.some((since) => since < Date.now() / 1000 - 80_000)) await page.waitForTimeout(50);
		assert.equal(await page.getByRole("button", { name: "24 h" }).getAttribute("aria-pressed"), "true");
		await page.getByRole("button", { name: /findings?$/, exact: false }).first().click();
		await page.locator(".verdict").waitFor();
		assert.ok(await page.locator(".verdict").evaluate((el) => el.getBoundingClientRect().top < innerHeight));
		assert.deepEqual(faults, []);
		await context.close();
	});

	it("leads from the task of a deleted VM to what happened to it", async () => {
		const { page, context } = await visit("#/vms");
		const target = await page.locator(".vm-shift .vm-row").last().getAttribute("data-id");
		const name = await page.locator(`[data-id="${target}"] .vm-name`).innerText();
		await page.locator(`[data-id="${target}"]`).getByRole("button", { name: `Actions for ${name}` }).click();
		await page.getByRole("menuitem", { name: "Delete" }).click();
		await page.getByRole("dialog").getByRole("button", { name: /^Delete/ }).click();
		await page.locator(`[data-id="${target}"]`).waitFor({ state: "detached" });
		await page.locator(".dock .strip").click();
		const task = page.locator(".ops tr", { has: page.getByRole("button", { name: `Delete ${name}` }) });
		assert.equal(await task.getByRole("link").getAttribute("href"), `#/events?q=on%3A${target}`);
		await task.getByRole("link").click();
		await page.locator(".events tbody tr").first().waitFor();
		assert.ok((await page.locator(".events .on").count()) > 0);
		for (const on of await page.locator(".events tbody tr td:nth-child(3)").allInnerTexts()) assert.equal(on, name);
		/* its old address says so too */
		await page.goto(`${fixture.url}/#/vms/${name}`);
		await page.getByRole("link", { name: "what happened to it" }).click();
		await page.locator(".events tbody tr").first().waitFor();
		await context.close();
	});

	it("lets the actions for several VMs be reached by key, and left", async () => {
		const { page, context } = await visit("#/vms");
		for (const key of ["j", "x", "j", "x"]) {
			await page.keyboard.press(key);
			/* the focus follows with the next frame */
			await settled(page);
		}
		await page.getByRole("toolbar").getByText("2 VMs selected").waitFor();
		await page.keyboard.press("b");
		const focus = () => page.evaluate(() => [document.activeElement.closest(".bulk") !== null, document.activeElement.textContent]);
		const [inside, first] = await focus();
		assert.equal(inside, true);
		await page.keyboard.press("ArrowRight");
		const [still, second] = await focus();
		assert.equal(still, true);
		assert.notEqual(first, second);
		await page.keyboard.press("ArrowLeft");
		assert.deepEqual(await focus(), [true, first]);
		await page.keyboard.press("Escape");
		await page.locator(".bulk").waitFor({ state: "detached" });
		assert.equal(await page.evaluate(() => document.activeElement.matches(".vm-row.current .vm-name")), true);
		await context.close();
	});

	it("does not move the list when a state comes for a moment", async () => {
		const { page, context } = await visit("#/vms", { viewport: { width: 1024, height: 800 } });
		const top = () => page.locator(".vm-list").evaluate((el) => Math.round(el.getBoundingClientRect().top));
		const before = await top();
		const chips = await page.locator(".state-chip").count();
		const name = await page.locator(".vm-row", { has: page.locator(".word", { hasText: "running" }) }).first().locator(".vm-name").innerText();
		await page.getByRole("button", { name: `Stop ${name}` }).click();
		await page.locator(".state-chip", { hasText: "stopping" }).waitFor();
		assert.ok((await page.locator(".state-chip").count()) > chips);
		assert.equal(await top(), before);
		await context.close();
	});

	it("keeps the tools of a folder in one line on a phone", async () => {
		for (const width of [390, 360]) {
			const { page, context } = await visit("#/vms/web/files/srv/app", { viewport: { width, height: 740 } });
			const tops = await page.locator(".files-bar").evaluate((bar) => [...bar.querySelectorAll("input:not(.sr), .button")].map((el) => {
				const { top, height } = el.getBoundingClientRect();
				return Math.round(top + height / 2);
			}));
			assert.equal(tops.length, 4, "go to a path, find, upload, more");
			assert.ok(Math.max(...tops) - Math.min(...tops) <= 4, `${width} px: ${tops}`);
			await page.getByRole("button", { name: "Upload", exact: true }).waitFor();
			await context.close();
		}
	});

	it("has a head of one line on the narrowest phone", async () => {
		const { page, context } = await visit("#/vms", { viewport: { width: 360, height: 640 } });
		assert.ok((await page.locator(".page-head").boundingBox()).height < 50);
		await context.close();
	});
});
