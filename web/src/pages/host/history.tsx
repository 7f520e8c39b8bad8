// SPDX-License-Identifier: Apache-2.0
/* What the host used over minutes to a day, and how much of it was for VMs. */
import { useMemo } from "preact/hooks";
import { call } from "../../api/client";
import type { ApiEvent, Host } from "../../api/types";
import { bytes, instant, plural } from "../../lib/format";
import { remembered } from "../../lib/storage";
import { Card } from "../../ui/basics";
import { Figure, Ranges, cores, useHistory } from "../../ui/figures";
import type { Mark } from "../../ui/plot";
import { useEvents } from "../events/use";

const range = remembered("host-range", 300);
const percent = (n: number): string => `${n < 9.95 ? n.toFixed(1).replace(/\.0$/, "") : Math.round(n)} %`;
const WAITS = [["processors", "cpu", "--accent"], ["memory", "memory", "--warn-fill"], ["disks", "io", "--ok-fill"]] as const;

/** What went wrong stands in the plots; that VMs come and go is seen in them anyway. */
function marksOf(list: ApiEvent[]): Mark[] {
	return list.flatMap((e) => {
		const at = instant(e.time);
		return (e.data as { state?: unknown } | undefined)?.state === "failed" && at !== undefined ? [{ at: at / 1000, text: `${e.target_name ?? "a VM"} failed` }] : [];
	});
}

export function HistoryCard({ host }: { host: Host }) {
	const span = range.value;
	const { history, failed } = useHistory((since) => call("get", "/host/history", { query: { since } }), span, "host");
	const { list } = useEvents({ kind: "vm.state" });
	const marks = useMemo(() => marksOf(list), [list]);
	const data = useMemo(() => {
		const samples = history?.samples ?? [];
		return {
			times: samples.map((s) => (instant(s.at) ?? 0) / 1000),
			cpu: [
				{ label: "everything", colour: "--info-fill", values: samples.map((s) => s.cpu ?? null) },
				{ label: "VMs", colour: "--accent", values: samples.map((s) => s.vms_cpu), fill: true },
			],
			memory: [
				{ label: "everything", colour: "--info-fill", values: samples.map((s) => s.memory_used_bytes) },
				{ label: "VMs", colour: "--accent", values: samples.map((s) => s.vms_memory_bytes), fill: true },
				{ label: "saved by sharing", colour: "--ok-fill", values: samples.map((s) => s.vms_memory_shared_bytes) },
			],
			disk: [{ label: "free", colour: "--ok-fill", values: samples.map((s) => s.disk_free_bytes), fill: true }],
			waits: samples.some((s) => s.pressure) && WAITS.map(([label, key, colour]) => ({ label, colour, values: samples.map((s) => s.pressure?.[key] ?? null) })),
			last: samples[samples.length - 1],
		};
	}, [history]);
	const { times, last } = data;
	const common = { times, marks, span, step: history?.step_s ?? 5 };
	return (
		<Card title="Over time" actions={<Ranges range={range} />}>
			{times.length < 2 || !last ? (
				<p class="dim">{failed ? "The figures can't be read." : "Measured every five seconds while a VM is up or this page is open; the first figures are on their way."}</p>
			) : (
				<div class="plots pairs">
					<Figure {...common} name="Processors" series={data.cpu} format={cores} most={1} value={last.cpu !== undefined && `${cores(last.cpu)} of ${host.cpus}, ${cores(last.vms_cpu)} by ${plural(last.vms_running, "VM")}`} label={`Processors in use over time; now ${cores(last.cpu ?? 0)} of ${host.cpus}`} />
					<Figure {...common} name="Memory" series={data.memory} format={bytes} binary value={`${bytes(last.memory_used_bytes)} of ${bytes(host.memory.total_bytes)}, ${bytes(last.vms_memory_bytes)} by VMs`} label={`Memory in use over time; now ${bytes(last.memory_used_bytes)} of ${bytes(host.memory.total_bytes)}`} />
					<Figure {...common} name="Disk" series={data.disk} format={bytes} binary value={`${bytes(last.disk_free_bytes)} of ${bytes(host.disk.total_bytes)} free`} label={`Free disk over time; now ${bytes(last.disk_free_bytes)} of ${bytes(host.disk.total_bytes)}`} />
					{data.waits && <Figure {...common} name="Waiting" series={data.waits} format={percent} most={10} value="share of the time in which something waited" label="Waits over time" />}
				</div>
			)}
		</Card>
	);
}
