// SPDX-License-Identifier: Apache-2.0
/* What the dashboard loads, what stands there first, and 1,000 VMs that change. On the fixture. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { it } from "node:test";
import { DIST, names, onFixture } from "./lib.mjs";

const VIEW = { width: 1440, height: 1100 };
const FIRST_LOAD_MAX = 100 * 1024;

onFixture("the start", (visit) => {
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
		const assets = readdirSync(`${DIST}assets`);
		for (const name of assets.filter((n) => /\.(js|css)$/.test(n))) {
			assert.match(name, /-[\w-]{8}\.(js|css)$/);
			assert.ok(assets.includes(`${name}.gz`) && assets.includes(`${name}.br`), name);
			assert.ok(statSync(`${DIST}assets/${name}.br`).size <= statSync(`${DIST}assets/${name}`).size);
		}
		assert.doesNotMatch(readFileSync(`${DIST}index.html`, "utf8"), /<script(?![^>]*\bsrc=)|<style|style=|https?:\/\//);
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

	it("asks for the rows that fill the screen before its own script, with a token where one was given", async () => {
		const { page, context, fixture } = await visit(["--rate", "0"], "", { viewport: VIEW });
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
		assert.deepEqual(asked, [[`?limit=${Math.ceil(VIEW.height / 44)}&sort=name`, "Bearer secret"]]);
		await script.continue();
		await loads;
		await page.unroute("**/assets/index-*.js");
		await page.locator(".vm-shift .vm-row").first().waitFor();
		assert.equal(asked.filter(([search]) => search.includes("sort=name")).length, 1);
		await page.goto(`${fixture.url}/#/events`);
		await page.reload();
		await page.getByRole("heading", { name: "Events" }).waitFor();
		assert.equal(asked.filter(([search]) => search.includes("sort=name")).length, 1, "another page does not show them");
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
});
