// SPDX-License-Identifier: Apache-2.0
/* What the guest says of itself now: its processors, memory and disk as a program in it sees them. */
import { useEffect, useState } from "preact/hooks";
import { call } from "../../api/client";
import type { GuestStats, Vm } from "../../api/types";
import { bytes, count, duration } from "../../lib/format";
import { Card, Meter } from "../../ui/basics";
import { busyShare, clockIsOff, diskUsed, memoryUsed, swapUsed, traffic, type Used } from "./figures";

const AGAIN_MS = 5000;
/** Two looks make a rate: the second one comes soon. */
const SECOND_MS = 1000;

interface Looks {
	now?: GuestStats | undefined;
	before?: GuestStats | undefined;
	error?: string | undefined;
}

function useGuest(vm: Vm): Looks {
	const [looks, setLooks] = useState<Looks>({});
	useEffect(() => {
		setLooks({});
		let gone = false;
		let timer = 0;
		let last: GuestStats | undefined;
		const read = async (): Promise<void> => {
			let wait = AGAIN_MS;
			if (!document.hidden) {
				const soon = Math.floor(Date.now() / 1000) + 60;
				/* no samples: those are the host's figures */
				const found = await call("get", "/vms/{vm}/stats", { params: { vm: vm.id }, query: { guest: true, since: soon } }).catch(() => undefined);
				if (gone) return;
				if (found?.guest) {
					if (!last) wait = SECOND_MS;
					setLooks({ now: found.guest, before: last });
					last = found.guest;
				} else setLooks((old) => ({ ...old, error: found ? (found.guest_error ?? "The guest said nothing.") : "The server does not answer." }));
			}
			timer = window.setTimeout(() => void read(), wait);
		};
		void read();
		return () => {
			gone = true;
			window.clearTimeout(timer);
		};
	}, [vm.id, vm.started]);
	return looks;
}

export function GuestCard({ vm }: { vm: Vm }) {
	const { now, before, error } = useGuest(vm);
	return (
		<Card title="Inside the guest" actions={now && error ? <span class="dim small">{error}</span> : now?.uptime_us !== undefined && <span class="dim num">up for {duration(now.uptime_us / 1000)}</span>}>
			{now ? <Figures now={now} before={before} /> : <p class="dim" role="status">{error ?? "Asking the guest…"}</p>}
		</Card>
	);
}

function Figures({ now, before }: { now: GuestStats; before: GuestStats | undefined }) {
	const busy = busyShare(now, before);
	const cpus = now.cpus ?? 1;
	const swap = swapUsed(now);
	return (
		<>
			<div class="guest-meters">
				{busy !== undefined && <Figure name="Processors" used={{ used: busy, of: 1 }} text={`${Math.round(busy * 100)} % of ${cpus}`} calm />}
				<Figure name="Memory" used={memoryUsed(now)} />
				{swap && <Figure name="Swap" used={swap} />}
				<Figure name="Disk" used={diskUsed(now)} />
			</div>
			<ul class="guest-facts">
				{now.load && <li title="Of the last 1, 5 and 15 minutes">Load <strong class="num">{now.load.map((n) => n.toFixed(2)).join("  ")}</strong></li>}
				{now.processes !== undefined && <li title="Threads included">Processes <strong class="num">{count(now.processes)}</strong></li>}
				{now.execs_running !== undefined && <li title="Commands that were started through the API and have not ended">Commands <strong class="num">{count(now.execs_running)}</strong></li>}
				{traffic(now, before).map((t) => (
					<li key={t.name}>
						<code>{t.name}</code> <strong class="num" title="Received">↓ {bytes(t.received)}/s</strong> <strong class="num" title="Sent">↑ {bytes(t.sent)}/s</strong>
					</li>
				))}
				{clockIsOff(now) && <li class="wrong">Its clock is {duration(Math.abs(now.clock_off_ms ?? 0))} {(now.clock_off_ms ?? 0) > 0 ? "ahead of" : "behind"} the host's</li>}
			</ul>
		</>
	);
}

function Figure({ name, used, text, calm }: { name: string; used: Used | undefined; text?: string; calm?: boolean }) {
	if (!used) return null;
	return (
		<section>
			<h3>{name}</h3>
			<Meter wide calm={calm ?? false} value={used.used} of={used.of} text={text ?? `${bytes(used.used)} of ${bytes(used.of)}`} label={`${name} in use in the guest`} />
		</section>
	);
}
