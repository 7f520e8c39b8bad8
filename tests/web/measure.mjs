// SPDX-License-Identifier: Apache-2.0
/*
 * How the dashboard starts with 1,000 VMs of which 20 change every second: when the first rows stand, and the longest
 * tasks of the page's main thread while it starts and later, in time on the clock and in time of the processor. Then the
 * same of the page of events. Not a test: look at the medians, on a machine that does nothing else.
 *
 *     node measure.mjs [--memory minutes]
 *
 * --memory: nothing but what the page's heap holds, after a collection, as the minutes go by.
 */
import { openBrowser, openPage, startFixture } from "./lib.mjs";

const ROUNDS = 9;
const START_MS = 3000;
const SETTLED_MS = 1500;
/** Later than the start, and long enough for the figures of all VMs to be asked for again. */
const STEADY_MS = 6000;
const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];

async function traced(browser, page, work) {
	await browser.startTracing(page, { categories: ["toplevel", "devtools.timeline"] });
	await work();
	const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
	const main = new Set(traceEvents.filter((e) => e.name === "thread_name" && e.args.name === "CrRendererMain").map((e) => `${e.pid}:${e.tid}`));
	const tasks = traceEvents.filter((e) => e.ph === "X" && e.name.endsWith("RunTask") && main.has(`${e.pid}:${e.tid}`));
	const sum = tasks.reduce((all, e) => all + (e.tdur ?? 0), 0);
	return { wall: Math.max(...tasks.map((e) => e.dur)) / 1000, cpu: Math.max(...tasks.map((e) => e.tdur ?? 0)) / 1000, busy: sum / 1000 };
}

async function round(browser, url) {
	const { page, context } = await openPage(browser);
	await page.addInitScript(() => {
		const seen = new MutationObserver(() => {
			if (!document.querySelector(".vm-shift .vm-row")) return;
			globalThis.firstRows = performance.now();
			/* drawn, and free for a key or a click */
			requestAnimationFrame(() => setTimeout(() => (globalThis.painted = performance.now())));
			seen.disconnect();
		});
		seen.observe(document, { childList: true, subtree: true });
	});
	const start = await traced(browser, page, async () => {
		/* nothing is looked for meanwhile: to look is work for the page */
		await page.goto(url, { waitUntil: "commit" });
		await page.waitForTimeout(START_MS);
	});
	await page.getByText("1,000 VMs").waitFor();
	const { rows, painted } = await page.evaluate(() => ({ rows: globalThis.firstRows, painted: globalThis.painted }));
	const steady = await traced(browser, page, () => page.waitForTimeout(STEADY_MS));
	await page.goto(`${url}#/events`);
	await page.locator(".events tbody tr").first().waitFor();
	await page.waitForTimeout(SETTLED_MS);
	const events = await traced(browser, page, () => page.waitForTimeout(STEADY_MS));
	await context.close();
	return { rows, painted, start: start.wall, startCpu: start.cpu, steady: steady.wall, steadyCpu: steady.cpu, busy: steady.busy / (STEADY_MS / 1000), events: events.wall, eventsCpu: events.cpu, eventsBusy: events.busy / (STEADY_MS / 1000) };
}

/** Every half minute what is alive in the heap, and how many nodes and listeners the page has. */
async function memory(browser, url, minutes) {
	const { page, context } = await openPage(browser);
	const devtools = await context.newCDPSession(page);
	await devtools.send("Performance.enable");
	await page.goto(url);
	await page.getByText("1,000 VMs").waitFor();
	for (let half = 1; half <= 2 * minutes; half++) {
		await page.waitForTimeout(30_000);
		await devtools.send("HeapProfiler.collectGarbage");
		const { metrics } = await devtools.send("Performance.getMetrics");
		const of = (name) => metrics.find((m) => m.name === name)?.value ?? 0;
		console.log(`after ${half / 2} min: ${(of("JSHeapUsedSize") / 1048576).toFixed(1)} MiB, ${of("Nodes")} nodes, ${of("JSEventListeners")} listeners`);
	}
	await context.close();
}

const browser = await openBrowser();
const fixture = await startFixture("--vms", "1000", "--rate", "20");
if (process.argv.includes("--memory")) {
	await memory(browser, `${fixture.url}/`, Number(process.argv[process.argv.indexOf("--memory") + 1]));
	await browser.close();
	fixture.stop();
	process.exit();
}
const rounds = [];
for (let i = 0; i < ROUNDS; i++) rounds.push(await round(browser, `${fixture.url}/`));
await browser.close();
fixture.stop();
const FIGURES = [
	["first rows of 1,000 VMs, in the document", "rows"],
	["first rows of 1,000 VMs, drawn and free for a click", "painted"],
	["longest task of the start, on the clock", "start"],
	["longest task of the start, of the processor", "startCpu"],
	["longest task later, on the clock", "steady"],
	["longest task later, of the processor", "steadyCpu"],
	["all tasks of a second later, of the processor", "busy"],
	["page of events: longest task, on the clock", "events"],
	["page of events: longest task, of the processor", "eventsCpu"],
	["page of events: all tasks of a second, of the processor", "eventsBusy"],
];
for (const [what, key] of FIGURES) {
	const list = rounds.map((r) => r[key]);
	console.log(`${what}: ${Math.round(median(list))} ms (${Math.round(Math.min(...list))} to ${Math.round(Math.max(...list))})`);
}
