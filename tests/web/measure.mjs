// SPDX-License-Identifier: Apache-2.0
/*
 * How the dashboard starts with 1,000 VMs of which 20 change every second: when the first rows stand, and the longest
 * tasks of the page's main thread, in time on the clock and in time of the processor. Not a test: look at the medians,
 * on a machine that does nothing else.
 */
import { openBrowser, openPage, startFixture } from "./lib.mjs";

const ROUNDS = 9;
const SETTLED_MS = 1500;
const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];

async function round(browser, url) {
	const { page, context } = await openPage(browser);
	await page.addInitScript(() => {
		const seen = new MutationObserver(() => {
			if (!document.querySelector(".vm-shift .vm-row")) return;
			globalThis.firstRows = performance.now();
			seen.disconnect();
		});
		seen.observe(document, { childList: true, subtree: true });
	});
	await browser.startTracing(page, { categories: ["toplevel", "devtools.timeline"] });
	await page.goto(url);
	await page.getByText("1,000 VMs").waitFor();
	await page.waitForTimeout(SETTLED_MS);
	const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
	const rows = await page.evaluate(() => globalThis.firstRows);
	await context.close();
	const main = new Set(traceEvents.filter((e) => e.name === "thread_name" && e.args.name === "CrRendererMain").map((e) => `${e.pid}:${e.tid}`));
	const tasks = traceEvents.filter((e) => e.ph === "X" && e.name.endsWith("RunTask") && main.has(`${e.pid}:${e.tid}`));
	return { rows, wall: Math.max(...tasks.map((e) => e.dur)) / 1000, cpu: Math.max(...tasks.map((e) => e.tdur ?? 0)) / 1000 };
}

const browser = await openBrowser();
const fixture = await startFixture("--vms", "1000", "--rate", "20");
const rounds = [];
for (let i = 0; i < ROUNDS; i++) rounds.push(await round(browser, `${fixture.url}/`));
await browser.close();
fixture.stop();
for (const [what, key] of [["first rows of 1,000 VMs", "rows"], ["longest task, on the clock", "wall"], ["longest task, of the processor", "cpu"]]) {
	const list = rounds.map((r) => r[key]);
	console.log(`${what}: ${Math.round(median(list))} ms (${Math.round(Math.min(...list))} to ${Math.round(Math.max(...list))})`);
}
