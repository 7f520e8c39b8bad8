// SPDX-License-Identifier: Apache-2.0
/* What the VM uses of the host, over minutes to a day, with what happened to it drawn in. */
import { useMemo } from "preact/hooks";
import { call } from "../../api/client";
import type { ApiEvent, Vm } from "../../api/types";
import { bytes, instant } from "../../lib/format";
import { rates } from "../../lib/series";
import { remembered } from "../../lib/storage";
import { useEvents } from "../events/use";
import { alive } from "../vms/columns";
import { Card } from "../../ui/basics";
import { Figure, Ranges, cores, rate, useHistory } from "../../ui/figures";
import type { Mark } from "../../ui/plot";

const range = remembered("stats-range", 300);

const MARKED: Record<string, string> = { running: "up", stopped: "stopped", suspended: "suspended", paused: "paused", failed: "failed" };

function marksOf(list: ApiEvent[]): Mark[] {
	return list.flatMap((e) => {
		const state = String((e.data as { state?: unknown } | undefined)?.state ?? "");
		const at = instant(e.time);
		return e.kind === "vm.state" && MARKED[state] && at !== undefined ? [{ at: at / 1000, text: MARKED[state] }] : [];
	});
}

export function UsageCard({ vm }: { vm: Vm }) {
	const span = range.value;
	const { history: stats, failed } = useHistory((since) => call("get", "/vms/{vm}/stats", { params: { vm: vm.id }, query: { since } }), span, vm.id);
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
	const common = { times: data.times, marks, span, step: stats?.step_s ?? 5 };
	return (
		<Card
			title="Use of the host"
			actions={<Ranges range={range} />}
		>
			{empty ? (
				<p class="dim">{failed ? "The figures can't be read." : alive(vm) ? "Measured every five seconds; the first figures are on their way." : "Nothing was measured in this time: it did not run, or the server was started later."}</p>
			) : (
				<div class="plots">
					<Figure {...common} name="Processors" value={now?.cpu !== undefined && `${cores(now.cpu)} of ${vm.vcpus}`} series={data.cpu} format={cores} most={1} label={`Processors in use over time; now ${cores(now?.cpu ?? 0)} of ${vm.vcpus}`} />
					<Figure {...common} name="Memory" value={now?.memory_rss_bytes !== undefined && `${bytes(now.memory_rss_bytes)}, ${bytes(now.memory_private_bytes ?? 0)} its own alone`} series={data.memory} format={bytes} binary label={`Memory over time; now ${bytes(now?.memory_rss_bytes ?? 0)}`} />
					<Figure {...common} name="Disk" value={now?.disk_used_bytes !== undefined && `${bytes(now.disk_used_bytes)} taken on the host`} series={data.disk} format={rate} binary label="Disk traffic over time" />
					{data.network && <Figure {...common} name="Network" value={typeof now?.net_rx_bytes === "number" && `${bytes(now.net_rx_bytes)} received, ${bytes(now.net_tx_bytes ?? 0)} sent since its start`} series={data.network} format={rate} binary label="Network traffic over time" />}
				</div>
			)}
		</Card>
	);
}
