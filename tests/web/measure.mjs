// SPDX-License-Identifier: Apache-2.0
/*
 * How the dashboard starts with 1,000 VMs of which 20 change every second: when the first rows stand, and the longest
 * tasks of the page's main thread while it starts and later, in time on the clock and in time of the processor. Then the
 * same of the page of events. Not a test: look at the medians, on a machine that does nothing else; on a busy one only the
 * processor's times say something.
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

/** What the page's own main thread did: other tabs and frames of the browser do not count. `until`: a mark of the page. */
async function traced(browser, page, work, until) {
	await browser.startTracing(page, { categories: ["toplevel", "devtools.timeline", "blink.user_timing"] });
	await page.evaluate(() => performance.mark("traced"));
	await work();
	await page.evaluate(() => performance.mark("traced"));
	const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
	const { pid } = traceEvents.findLast((e) => e.name === "traced");
	const main = traceEvents.find((e) => e.pid === pid && e.name === "thread_name" && e.args.name === "CrRendererMain");
	const tasks = traceEvents.filter((e) => e.ph === "X" && e.name === "ThreadControllerImpl::RunTask" && e.pid === pid && e.tid === main.tid);
	const end = traceEvents.find((e) => e.pid === pid && e.name === until)?.ts ?? Infinity;
	const sum = tasks.filter((e) => e.ts < end).reduce((all, e) => all + (e.tdur ?? 0), 0);
	return { wall: Math.max(...tasks.map((e) => e.dur)) / 1000, cpu: Math.max(...tasks.map((e) => e.tdur ?? 0)) / 1000, busy: sum / 1000 };
}

async function opened(browser) {
	const { page, context } = await openPage(browser);
	await page.addInitScript(() => {
		const seen = new MutationObserver(() => {
			if (!document.querySelector(".vm-shift .vm-row")) return;
			globalThis.firstRows = performance.now();
			/* drawn, and free for a key or a click */
			requestAnimationFrame(() =>
				setTimeout(() => {
					globalThis.painted = performance.now();
					performance.mark("painted");
				}),
			);
			seen.disconnect();
		});
		seen.observe(document, { childList: true, subtree: true });
	});
	return { page, context };
}

/* nothing is looked for meanwhile: to look is work for the page */
async function started(page, url) {
	await page.goto(url, { waitUntil: "commit" });
	await page.waitForTimeout(START_MS);
}

/* once without a trace, which takes time of its own, for when what stands there */
async function round(browser, url) {
	const plain = await opened(browser);
	await started(plain.page, url);
	const { rows, painted } = await plain.page.evaluate(() => ({ rows: globalThis.firstRows, painted: globalThis.painted }));
	await plain.context.close();
	const { page, context } = await opened(browser);
	const start = await traced(browser, page, () => started(page, url), "painted");
	await page.getByText("1,000 VMs").waitFor();
	const steady = await traced(browser, page, () => page.waitForTimeout(STEADY_MS));
	await page.goto(`${url}#/events`);
	await page.locator(".events tbody tr").first().waitFor();
	await page.waitForTimeout(SETTLED_MS);
	const events = await traced(browser, page, () => page.waitForTimeout(STEADY_MS));
	await context.close();
	const each = STEADY_MS / 1000;
	return {
		rows, painted, until: start.busy, start: start.wall, startCpu: start.cpu,
		steady: steady.wall, steadyCpu: steady.cpu, busy: steady.busy / each,
		events: events.wall, eventsCpu: events.cpu, eventsBusy: events.busy / each,
	};
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
	["all tasks until then, of the processor", "until"],
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
