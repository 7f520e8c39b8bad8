// SPDX-License-Identifier: Apache-2.0
/* What the browser tests and the scripts share: a browser, a server to look at, axe. */
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const FIXTURE = fileURLToPath(new URL("../../web/dev/server.mjs", import.meta.url));
/** What `npm run build` in web/ makes. */
export const DIST = fileURLToPath(new URL("../../web/dist/", import.meta.url));
/** Why tests of the dashboard can't run, or false. */
export const UNBUILT = existsSync(`${DIST}index.html`) ? false : "web/dist is not built";
const START_MS = 15_000;
const WAIT_MS = 8000;

export async function freePort() {
	return await new Promise((resolve, reject) => {
		const server = createServer();
		server.once("error", reject);
		server.listen(0, "127.0.0.1", () => {
			const { port } = server.address();
			server.close(() => resolve(port));
		});
	});
}

/** The development fixture of web/dev, on a port of its own. */
export async function startFixture(...args) {
	const port = await freePort();
	const child = spawn(process.execPath, [FIXTURE, "--port", String(port), ...args], { stdio: ["ignore", "pipe", "inherit"] });
	await new Promise((resolve, reject) => {
		const timer = setTimeout(() => reject(new Error("the fixture did not start")), START_MS);
		child.stdout.once("data", () => (clearTimeout(timer), resolve()));
		child.once("exit", (code) => (clearTimeout(timer), reject(new Error(`the fixture ended with ${code}`))));
	});
	return { url: `http://127.0.0.1:${port}`, stop: () => child.kill() };
}

export async function openBrowser() {
	return await chromium.launch({
		executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
		args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb"],
	});
}

/** A page that collects what goes wrong in it. */
export async function openPage(browser, options = {}) {
	const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
	await context.grantPermissions(["clipboard-read", "clipboard-write"]).catch(() => undefined);
	const page = await context.newPage();
	page.setDefaultTimeout(WAIT_MS);
	const faults = [];
	page.on("pageerror", (error) => faults.push(String(error)));
	page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
	return { context, page, faults };
}

/**
 * Tests in one browser. `define` gets `visit(args, hash, options)`, which starts a fixture of its own with these arguments
 * and opens a page there; the fixtures end with the tests.
 */
export function onFixture(name, define) {
	describe(name, { skip: UNBUILT, timeout: 600_000 }, () => {
		let browser;
		const started = [];
		before(async () => {
			browser = await openBrowser();
		});
		after(async () => {
			await browser?.close();
			for (const fixture of started) fixture.stop();
		});
		define(async (args, hash = "", options = {}) => {
			const fixture = await startFixture(...args);
			started.push(fixture);
			const opened = await openPage(browser, options);
			await opened.page.goto(`${fixture.url}/${hash}`);
			await opened.page.locator(".page, .empty").first().waitFor();
			return { ...opened, fixture };
		});
	});
}

/** The names in the list of VMs, as far as it is drawn. */
export const names = (page) => page.locator(".vm-shift .vm-name").allInnerTexts();

/** When nothing loads or moves any more: what is looked at then does not depend on how slow the machine is. */
export async function settled(page) {
	/* a change of the address behind the "#" is drawn with the next frame */
	await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
	await page.waitForFunction(() => {
		const moving = document.getAnimations().some((a) => a.playState === "running" && a.effect?.getComputedTiming().endTime !== Infinity);
		return !moving && document.querySelector(".page, .empty") && !document.querySelector(".loading");
	});
}

/**
 * What axe finds, one line each. axe is run from outside the page's content security policy. `rules`: only these; a
 * theme changes nothing but colours.
 */
export async function violations(page, rules) {
	await settled(page);
	if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE);
	const result = await page.evaluate(
		(only) => globalThis.axe.run(document, { resultTypes: ["violations"], ...(only ? { runOnly: only } : {}) }),
		rules,
	);
	return result.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(" ")}: ${n.any[0]?.message ?? v.help}`));
}
