// SPDX-License-Identifier: Apache-2.0
/* What the VM uses of the host, over minutes to a day, with what happened to it drawn in. */
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { call } from "../../api/client";
import type { ApiEvent, Vm, VmStats } from "../../api/types";
import { bytes, instant } from "../../lib/format";
import { remembered } from "../../lib/storage";
import { useEvents } from "../events/use";
import { alive } from "../vms/columns";
import { Button, Card } from "../../ui/basics";
import { Plot, type Mark, type Series } from "../../ui/plot";
import { PlotTable } from "../../ui/plot-table";

const RANGES: [string, number][] = [["5 min", 300], ["30 min", 1800], ["1 h", 3600], ["6 h", 21_600], ["24 h", 86_400]];
const SOON_MS = 5000;
const LATER_MS = 60_000;
const range = remembered("stats-range", 300);

const MARKED: Record<string, string> = { running: "up", stopped: "stopped", suspended: "suspended", paused: "paused", failed: "failed" };

function marksOf(list: ApiEvent[]): Mark[] {
	return list.flatMap((e) => {
		const state = String((e.data as { state?: unknown } | undefined)?.state ?? "");
		const at = instant(e.time);
		return e.kind === "vm.state" && MARKED[state] && at !== undefined ? [{ at: at / 1000, text: MARKED[state] }] : [];
	});
}

function useStats(vm: Vm): { stats: VmStats | null; failed: boolean } {
	const [stats, setStats] = useState<VmStats | null>(null);
	const [failed, setFailed] = useState(false);
	const span = range.value;
	useEffect(() => {
		let gone = false;
		let timer = 0;
		const read = async (): Promise<void> => {
			try {
				if (!document.hidden) {
					const found = await call("get", "/vms/{vm}/stats", { params: { vm: vm.id }, query: { since: Math.floor(Date.now() / 1000) - span } });
					if (!gone) setStats(found);
				}
				if (!gone) setFailed(false);
			} catch {
				if (!gone) setFailed(true);
			}
			if (!gone) timer = window.setTimeout(() => void read(), span > 3600 ? LATER_MS : SOON_MS);
		};
		void read();
		return () => {
			gone = true;
			window.clearTimeout(timer);
		};
	}, [vm.id, span]);
	return { stats, failed };
}

const cores = (n: number): string => (n === 0 ? "0" : n < 0.095 ? n.toFixed(2) : n.toFixed(1));
const rate = (n: number): string => `${bytes(n)}/s`;

/** Bytes a second from a counter; null where it began anew. */
function rates(times: number[], counters: (number | undefined)[]): (number | null)[] {
	return counters.map((value, i) => {
		const [before, passed] = [counters[i - 1], (times[i] ?? 0) - (times[i - 1] ?? 0)];
		return value === undefined || before === undefined || passed <= 0 || value < before ? null : (value - before) / passed;
	});
}

export function UsageCard({ vm }: { vm: Vm }) {
	const { stats, failed } = useStats(vm);
	const { list } = useEvents({ target: vm.id, kind: "vm.state" });
	const marks = useMemo(() => marksOf(list), [list]);
	const data = useMemo(() => {
		const samples = stats?.samples ?? [];
		const times = samples.map((s) => (instant(s.at) ?? 0) / 1000);
		const shared = samples.map((s) => (s.memory_rss_bytes === undefined || s.memory_private_bytes === undefined ? null : s.memory_rss_bytes));
		return {
			times,
			cpu: [{ label: "in use", colour: "--accent", values: samples.map((s) => s.cpu ?? null), fill: true }],
			memory: [
				{ label: "all of it", colour: "--info-fill", values: shared },
				{ label: "its own alone", colour: "--accent", values: samples.map((s) => s.memory_private_bytes ?? null), fill: true },
			],
			disk: [
				{ label: "read", colour: "--ok-fill", values: rates(times, samples.map((s) => s.disk_read_bytes)) },
				{ label: "written", colour: "--warn-fill", values: rates(times, samples.map((s) => s.disk_written_bytes)) },
			],
			/* null where its network is not counted */
			network: samples.some((s) => typeof s.net_rx_bytes === "number") && [
				{ label: "received", colour: "--ok-fill", values: rates(times, samples.map((s) => s.net_rx_bytes ?? undefined)) },
				{ label: "sent", colour: "--warn-fill", values: rates(times, samples.map((s) => s.net_tx_bytes ?? undefined)) },
			],
		};
	}, [stats]);
	const now = stats?.now;
	const empty = data.times.length < 2;
	const figure = (name: string, value: string | false, series: Series[], looks: { format: (n: number) => string; label: string; most?: number; binary?: boolean }): ComponentChildren => (
		<section>
			<h3>{name}{value && <span class="num now-value">{value}</span>}</h3>
			<Plot times={data.times} series={series} marks={marks} span={range.value} {...looks} />
			<PlotTable times={data.times} series={series} marks={marks} format={looks.format} name={name} />
		</section>
	);
	return (
		<Card
			title="Use of the host"
			actions={
				<span class="group">
					{RANGES.map(([label, seconds]) => (
						<Button key={label} label={label} aria-pressed={range.value === seconds} onClick={() => (range.value = seconds)} />
					))}
				</span>
			}
		>
			{empty ? (
				<p class="dim">{failed ? "The figures can't be read." : alive(vm) ? "Measured every five seconds; the first figures are on their way." : "Nothing was measured in this time: it did not run, or the server was started later."}</p>
			) : (
				<div class="plots">
					{figure("Processors", now?.cpu !== undefined && `${cores(now.cpu)} of ${vm.vcpus}`, data.cpu, { format: cores, most: 1, label: `Processors in use over time; now ${cores(now?.cpu ?? 0)} of ${vm.vcpus}` })}
					{figure("Memory", now?.memory_rss_bytes !== undefined && `${bytes(now.memory_rss_bytes)}, ${bytes(now.memory_private_bytes ?? 0)} its own alone`, data.memory, { format: bytes, binary: true, label: `Memory over time; now ${bytes(now?.memory_rss_bytes ?? 0)}` })}
					{figure("Disk", now?.disk_used_bytes !== undefined && `${bytes(now.disk_used_bytes)} taken on the host`, data.disk, { format: rate, binary: true, label: "Disk traffic over time" })}
					{data.network && figure("Network", typeof now?.net_rx_bytes === "number" && `${bytes(now.net_rx_bytes)} received, ${bytes(now.net_tx_bytes ?? 0)} sent since its start`, data.network, { format: rate, binary: true, label: "Network traffic over time" })}
				</div>
			)}
		</Card>
	);
}
