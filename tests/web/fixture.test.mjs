// SPDX-License-Identifier: Apache-2.0
/* The dashboard in Chromium with sizes and mishaps that a real host would take long to show: see web/dev/server.mjs. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { after, before, describe, it } from "node:test";
import { openBrowser, openPage, startFixture, violations } from "./lib.mjs";

const dist = fileURLToPath(new URL("../../web/dist/", import.meta.url));
const FIRST_LOAD_MAX = 100 * 1024;
const built = existsSync(`${dist}index.html`);

/** What is wider than the box around it, where that does not scroll; and the page and tables, which never may. */
const cutOff = (page) =>
	page.evaluate(() => {
		const wide = (el) => el.scrollWidth > el.clientWidth + 1;
		const boxes = [...document.querySelectorAll(".page, .page-head, .page > .row, .card, .card > header, .card > .body, .nav")];
		const out = boxes.filter((el) => wide(el) && !/auto|scroll/.test(getComputedStyle(el).overflowX));
		const main = document.querySelector("main");
		const tables = [...document.querySelectorAll("main .card, main .card > .body")].filter((el) => el.querySelector(".table") && wide(el));
		const tab = document.querySelector(".tabs [aria-current]")?.getBoundingClientRect();
		return [...(wide(main) ? [main] : []), ...out, ...tables].map((el) => `${el.tagName}.${el.className} ${el.textContent.slice(0, 40)}`).concat(tab && (tab.left < 0 || tab.right > innerWidth) ? ["the current tab"] : []);
	});

describe("the dashboard", { skip: built ? false : "web/dist is not built", timeout: 600_000 }, () => {
	let browser;
	const open = [];
	before(async () => {
		browser = await openBrowser();
	});
	after(async () => {
		await browser?.close();
		for (const fixture of open) fixture.stop();
	});
	const visit = async (args, hash = "", options = {}) => {
		const fixture = await startFixture(...args);
		open.push(fixture);
		const opened = await openPage(browser, options);
		await opened.page.goto(`${fixture.url}/${hash}`);
		await opened.page.locator(".page, .empty").first().waitFor();
		return { ...opened, fixture };
	};
	const names = (page) => page.locator(".vm-shift .vm-name").allInnerTexts();

	it("loads little before it is usable, all of it compressed and its own", async () => {
		const { page, faults, fixture, context } = await visit(["--rate", "0"]);
		const entries = await page.evaluate(() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation")).map((e) => [e.name, e.encodedBodySize]));
		const files = entries.filter(([name]) => /\.(js|css|svg|woff2)$|\/(#.*)?$/.test(name));
		const total = files.reduce((sum, [, size]) => sum + size, 0);
		assert.ok(files.length >= 4, JSON.stringify(files));
		assert.ok(total <= FIRST_LOAD_MAX, `${total} bytes: ${JSON.stringify(files)}`);
		assert.ok(entries.every(([name]) => name.startsWith(fixture.url)), "nothing from elsewhere");
		assert.deepEqual(faults, []);
		await context.close();
	});

	it("keeps a .gz and a .br beside every file worth it, and hashes in the names", () => {
		const assets = readdirSync(`${dist}assets`);
		for (const name of assets.filter((n) => /\.(js|css)$/.test(n))) {
			assert.match(name, /-[\w-]{8}\.(js|css)$/);
			assert.ok(assets.includes(`${name}.gz`) && assets.includes(`${name}.br`), name);
			assert.ok(statSync(`${dist}assets/${name}.br`).size <= statSync(`${dist}assets/${name}`).size);
		}
		assert.doesNotMatch(readFileSync(`${dist}index.html`, "utf8"), /<script(?![^>]*\bsrc=)|<style|style=|https?:\/\//);
	});

	it("draws only what is in sight of 1,000 VMs, and finds any of them", async () => {
		const { page, context } = await visit(["--vms", "1000", "--rate", "20"]);
		await page.locator(".vm-shift .vm-row").first().waitFor();
		assert.ok((await page.locator(".vm-shift .vm-row").count()) < 80);
		await page.getByText("1,000 VMs").waitFor();
		assert.equal(await page.locator(".vm-list").getAttribute("aria-rowcount"), "1001");
		await page.locator("[data-scroll]").evaluate((el) => (el.scrollTop = el.scrollHeight));
		const last = page.locator('.vm-row[aria-rowindex="1001"]');
		await last.waitFor();
		await page.keyboard.press("/");
		await page.keyboard.type("web-5");
		await page.getByText(/ of 1,000 VMs/).waitFor();
		assert.ok((await names(page)).every((name) => name.includes("web-5")));
		await context.close();
	});

	it("shows the first rows of 1,000 VMs before the rest is there", async () => {
		const { page, context, fixture } = await visit(["--rate", "0", "--vms", "1000"]);
		let release;
		const held = new Promise((done) => (release = done));
		await page.route("**/vms?limit=1000", async (route) => {
			await held;
			await route.continue();
		});
		await page.reload();
		await page.locator(".vm-shift .vm-row").first().waitFor();
		const first = (await names(page)).slice(0, 5);
		assert.equal(await page.getByText("1,000 VMs").count(), 0, "it counts what it knows only");
		release();
		await page.getByText("1,000 VMs").waitFor();
		assert.deepEqual((await names(page)).slice(0, 5), first);
		assert.ok(fixture.url);
		await context.close();
	});

	it("draws the list without the large API document, and forms with it", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"]);
		const held = [];
		await page.route("**/openapi.json", (route) => void held.push(route));
		await page.reload();
		await page.locator(".vm-shift .vm-row").first().waitFor();
		await page.getByText(/^24 VMs$/).waitFor();
		await page.goto(`${fixture.url}/#/create`);
		await page.getByText("Loading the page").waitFor();
		/* the page that was there before may have asked too */
		const asked = held.length;
		assert.ok(asked >= 1);
		for (const route of held) await route.abort();
		/* when it could not be had it is asked for again once the server is back */
		await page.evaluate(() => dispatchEvent(new Event("online")));
		while (held.length === asked) await page.waitForTimeout(50);
		await held.at(-1).continue();
		await page.getByLabel("Name", { exact: true }).fill("No Such Name");
		await page.getByText("Use 1 to 63 lower-case letters").waitFor();
		await context.close();
	});

	it("asks for the first rows before its own script, with a token where one was given", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"]);
		const asked = [];
		await page.route("**/vms?*", async (route) => {
			asked.push([new URL(route.request().url()).search, route.request().headers().authorization]);
			await route.continue();
		});
		let script;
		await page.route("**/assets/index-*.js", (route) => (script = route));
		await page.evaluate(() => sessionStorage.setItem("banger.token", "secret"));
		const loads = page.reload();
		while (!script || asked.length === 0) await page.waitForTimeout(50);
		assert.deepEqual(asked, [["?limit=60&sort=name", "Bearer secret"]]);
		await script.continue();
		await loads;
		await page.unroute("**/assets/index-*.js");
		await page.locator(".vm-shift .vm-row").first().waitFor();
		assert.equal(asked.filter(([search]) => search.includes("limit=60")).length, 1);
		await page.goto(`${fixture.url}/#/events`);
		await page.reload();
		await page.getByRole("heading", { name: "Events" }).waitFor();
		assert.equal(asked.filter(([search]) => search.includes("limit=60")).length, 1, "another page does not show them");
		await context.close();
	});

	it("does not stutter while 20 of 1,000 VMs change every second", async () => {
		const { page, context } = await visit(["--vms", "1000", "--rate", "20"]);
		await page.locator(".vm-shift .vm-row").first().waitFor();
		await page.waitForTimeout(2000);
		const tasks = await page.evaluate(
			() =>
				new Promise((done) => {
					const long = [];
					new PerformanceObserver((list) => long.push(...list.getEntries().map((e) => Math.round(e.duration)))).observe({ type: "longtask" });
					setTimeout(() => done(long), 5000);
				}),
		);
		/* long tasks by themselves depend on the machine's load: a list drawn in full has one at every event */
		assert.ok(tasks.length < 20, `long tasks: ${tasks.join(", ")} ms`);
		await context.close();
	});

	it("lets go of what has changed", async () => {
		const { page, context } = await visit(["--vms", "200", "--rate", "60"]);
		await page.getByText("200 VMs").waitFor();
		const devtools = await context.newCDPSession(page);
		/* every object of the page that looks like a VM, after a collection */
		const alive = async () => {
			const { result } = await devtools.send("Runtime.evaluate", { expression: "Object.prototype" });
			const { objects } = await devtools.send("Runtime.queryObjects", { prototypeObjectId: result.objectId, objectGroup: "count" });
			const reply = await devtools.send("Runtime.callFunctionOn", { objectId: objects.objectId, returnByValue: true, functionDeclaration: "function () { return this.filter((o) => Object.hasOwn(o, 'disk_mib') && typeof o.since === 'string').length; }" });
			await devtools.send("Runtime.releaseObjectGroup", { objectGroup: "count" });
			return reply.result.value;
		};
		await page.waitForTimeout(1000);
		const before = await alive();
		assert.ok(before >= 200, `${before} VMs`);
		await page.waitForTimeout(8000);
		const after = await alive();
		assert.ok(after < before + 100, `${before} VMs at first, ${after} later`);
		await context.close();
	});

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

	it("keeps signed-in browsers apart from tokens, and signs all others out", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"], "#/tokens");
		for (const name of ["dashboard-one1", "dashboard-two2", "dashboard-me33"]) await fetch(`${fixture.url}/tokens`, { method: "POST", body: JSON.stringify({ name, scope: "admin", ttl_s: 40_000 }) });
		await page.route("**/session", (route) => route.fulfill({ json: { principal: "token:dashboard-me33", scope: "admin", cookie: true } }));
		await page.reload();
		const rows = page.getByRole("row", { name: /admin/ });
		await page.getByRole("row", { name: /^this one/ }).waitFor();
		assert.equal(await rows.count(), 3);
		assert.equal(await page.getByText("dashboard-").count(), 0);
		await page.getByRole("button", { name: "Sign out 2 others" }).click();
		await page.getByRole("dialog").getByText("banger open").waitFor();
		await page.getByRole("button", { name: "Sign out", exact: true }).click();
		await page.getByText("one1").waitFor({ state: "detached" });
		const { items } = await (await fetch(`${fixture.url}/tokens`)).json();
		assert.deepEqual(items.map((t) => t.name), ["ci", "grafana", "dashboard-me33"]);
		await context.close();
	});

	it("mends what doctor says the server can mend", async () => {
		const { page, context } = await visit(["--rate", "0"], "#/host");
		const row = page.locator(".checks li", { hasText: "There is no image alpine." });
		await row.waitFor();
		await row.getByRole("button", { name: "Fix, as commands" }).click();
		assert.deepEqual(await page.locator(".dialog code").allInnerTexts().then(([curl, cli]) => [/\/images[^]*\{"build":"alpine"\}/.test(curl), cli]), [true, "banger doctor --fix"]);
		await page.keyboard.press("Escape");
		await page.getByRole("button", { name: "Fix 1 finding", exact: true }).waitFor();
		await row.getByRole("button", { name: "Fix", exact: true }).click();
		await page.getByText("Build image alpine").first().waitFor();
		await row.waitFor({ state: "detached", timeout: 20_000 }).catch(() => page.getByRole("button", { name: "Check again" }).click());
		await row.waitFor({ state: "detached" });
		assert.equal(await page.getByRole("button", { name: /^Fix/ }).count(), 0);
		await context.close();
	});

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

	it("is honest about a server that is away, and catches up", async () => {
		const { page, context } = await visit(["--rate", "0"]);
		await page.getByText("Live", { exact: true }).waitFor();
		await context.setOffline(true);
		open[open.length - 1].stop();
		await page.getByRole("alert").getByText("The server can't be reached").waitFor({ timeout: 20_000 });
		assert.ok((await names(page)).length > 10, "the last known state stays");
		await context.close();
	});

	it("shows nothing that the server can't do", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"]);
		const doc = await (await fetch(`${fixture.url}/openapi.json`)).json();
		delete doc.paths["/vms/{vm}/stop"];
		delete doc.paths["/vms/{vm}/execs"];
		delete doc.paths["/tokens"];
		delete doc.components.schemas.VmCreate.properties.ttl_s;
		await page.route("**/openapi.json", (route) => route.fulfill({ json: doc }));
		await page.reload();
		await page.locator(".vm-shift .vm-row").first().waitFor();
		await page.getByRole("link", { name: "Tokens" }).waitFor({ state: "detached" });
		await page.goto(`${fixture.url}/#/vms/web`);
		await page.getByRole("heading", { level: 1, name: "web" }).waitFor();
		assert.equal(await page.getByRole("button", { name: "Stop" }).count(), 0);
		assert.equal(await page.getByRole("link", { name: "Run", exact: true }).count(), 0);
		await page.goto(`${fixture.url}/#/create`);
		await page.getByLabel("Name", { exact: true }).waitFor();
		assert.equal(await page.getByText("Until deleted").count(), 0);
		await context.close();
	});

	it("teaches where there is nothing yet", async () => {
		const { page, context, fixture } = await visit(["--empty"]);
		await page.getByText("No virtual machines yet").waitFor();
		const [cli, curl] = await page.locator(".command").allInnerTexts();
		assert.match(cli, /^banger vm create --name first/);
		assert.match(curl, new RegExp(`curl ${fixture.url}/vms`));
		await page.goto(`${fixture.url}/#/images`);
		await page.getByText("No image yet").waitFor();
		await page.getByText("No kernel yet").waitFor();
		await page.goto(`${fixture.url}/#/events`);
		await page.getByText("Nothing has happened yet").waitFor();
		assert.deepEqual(await violations(page), []);
		await context.close();
	});

	const LOOKS = [
		["light", "wide", { width: 1440, height: 900 }],
		["light", "phone", { width: 360, height: 740 }],
		["dark", "wide", { width: 1440, height: 900 }, ["color-contrast"]],
	];
	for (const [colorScheme, size, viewport, rules] of LOOKS) {
		it(`has no fault that axe can see, and no sideways scroll: ${colorScheme}, ${size}`, async () => {
			const { page, context, fixture, faults } = await visit(["--rate", "0"], "#/vms", { colorScheme, viewport });
			for (const hash of ["vms", "vms?q=nothing-like-it", "vms/web", "vms/build", "vms/web/exec", "vms/web/console", "vms/web/files/srv/app", "vms/web/files/srv/odd", "vms/web/events", "vms/web/network", "vms/api/network", "create?advanced=1", "runs", "runs/0037000000000000", "images", "snapshots", "vms/web/snapshots", "vms/web/settings", "host", "events", "tokens", "nowhere"]) {
				await page.goto(`${fixture.url}/#/${hash}`);
				assert.deepEqual(await violations(page, rules), [], hash);
				const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
				assert.ok(wide <= 0, `${hash} is ${wide} px too wide`);
				assert.deepEqual(await cutOff(page), [], `${hash}: cut off or sticking out`);
			}
			await page.goto(`${fixture.url}/#/vms`);
			await page.locator(".vm-shift .check").first().click();
			await page.locator(".dock .strip").click();
			assert.deepEqual(await violations(page, rules), [], "selection and task log");
			await page.keyboard.press("Control+k");
			await page.getByRole("dialog").waitFor();
			assert.deepEqual(await violations(page, rules), [], "palette");
			assert.deepEqual(faults, []);
			await context.close();
		});
	}
});
