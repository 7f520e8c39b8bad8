// SPDX-License-Identifier: Apache-2.0
/* What listens in the guest, and which ports of the host lead there. */
import { useEffect, useState } from "preact/hooks";
import { call, fillPath, sketch } from "../../api/client";
import { can } from "../../api/capabilities";
import { sentence } from "../../actions/actions";
import type { Forward, Port, Vm } from "../../api/types";
import { plural } from "../../lib/format";
import { putVm } from "../../store/live";
import { curl, quote } from "../../lib/shell";
import { visible } from "../../lib/visible";
import { endpoint } from "../create/example";
import { Button, Card, Command, Copy, Details, Loading, Switch } from "../../ui/basics";
import { ask } from "../../ui/dialog";
import { addressOf, openForward } from "../../ui/forward";
import { Icon } from "../../ui/icon";
import { JsonButton } from "../../ui/json";
import { AsShell, showRecipes, type Recipe } from "../../ui/recipes";
import { StateBadge, type StateLook } from "../../ui/state";
import { toast } from "../../ui/toast";

const AGAIN_MS = 4000;

const MODES: Record<string, string> = {
	none: "no network device",
	user: "outgoing connections, no privileges",
	bridge: "an address of its own on the bridge",
};

function useNetwork(vm: Vm): { ports: Port[] | null; forwards: Forward[] | null; refresh: () => Promise<void> } {
	const [ports, setPorts] = useState<Port[] | null>(null);
	const [forwards, setForwards] = useState<Forward[] | null>(null);
	const up = vm.state === "running";
	const refresh = async (): Promise<void> => {
		const params = { vm: vm.id };
		if (can("forward_list")) setForwards((await call("get", "/vms/{vm}/forwards", { params })).items);
		if (up) setPorts((await call("get", "/vms/{vm}/ports", { params })).items);
	};
	useEffect(() => {
		let gone = false;
		let timer = 0;
		const again = async (): Promise<void> => {
			if (!document.hidden) await refresh().catch(() => undefined);
			if (!gone) timer = window.setTimeout(() => void again(), AGAIN_MS);
		};
		void again();
		return () => {
			gone = true;
			window.clearTimeout(timer);
		};
	}, [vm.id, up]);
	return { ports: up ? ports : [], forwards, refresh };
}

export function NetworkTab({ vm }: { vm: Vm }) {
	const { ports, forwards, refresh } = useNetwork(vm);
	const [problem, setProblem] = useState("");
	const add = async (guest: number, host?: number): Promise<boolean> => {
		try {
			await call("post", "/vms/{vm}/forwards", { params: { vm: vm.id }, body: { guest_port: guest, ...(host ? { host_port: host } : {}) } });
			setProblem("");
			await refresh();
			return true;
		} catch (error) {
			setProblem(sentence(error));
			return false;
		}
	};
	const remove = async (forward: Forward): Promise<void> => {
		if (forward.connections > 0 && !(await ask({ title: `Take the forward of port ${forward.guest_port} away?`, body: `${plural(forward.connections, "open connection")} through ${addressOf(forward)} will break.`, confirm: "Take it away", danger: true, extra: <AsShell recipe={takingAway(forward)} /> }))) return;
		try {
			await call("delete", "/vms/{vm}/forwards/{forward}", { params: { vm: vm.id, forward: forward.id } });
		} catch (error) {
			toast({ tone: "bad", title: "The forward was not taken away", body: sentence(error) });
		}
		await refresh().catch(() => undefined);
	};
	const takingAway = (forward: Forward): Recipe => ({
		label: "Take it away",
		request: sketch("delete", "/vms/{vm}/forwards/{forward}", { vm: vm.name, forward: forward.id }),
		cli: `banger vm unforward ${quote(vm.name)} ${forward.host_port}`,
	});
	const leadsTo = (port: number): Forward | undefined => forwards?.find((f) => f.guest_port === port);
	return (
		<div class="columns">
			<div class="stack">
				{problem && <p class="problem" role="alert">{problem}</p>}
				<Card title="Listening in the guest" flush actions={vm.state === "running" && <JsonButton quiet what={`What listens in “${vm.name}”`} request={sketch("get", "/vms/{vm}/ports", { vm: vm.name })} />}>
					{ports === null ? (
						<Loading what="the guest's ports" />
					) : ports.length === 0 ? (
						<p class="dim nothing">{vm.state === "running" ? "Nothing listens. Start a server in the guest and it appears here." : `It is ${vm.state}.`}</p>
					) : (
						<table class="table fits ports">
							<thead><tr><th scope="col" class="port">Port</th><th scope="col" class="hide-phone">Address</th><th scope="col">Process</th><th scope="col" class="acts"><span class="sr">Actions</span></th></tr></thead>
							<tbody>
								{ports.map((port) => {
									const forward = leadsTo(port.port);
									return (
										<tr key={`${port.address} ${port.port}`}>
											<td class="num"><strong>{port.port}</strong></td>
											<td class="hide-phone"><code class="soft">{port.address}</code></td>
											<td class="soft clip">{visible(port.process ?? "–")}{port.pid !== undefined && <span class="dim num"> {port.pid}</span>}</td>
											<td class="right">
												<span class="row end">
													{!forward?.listening && can("proxy_get") && (
														<a class="button normal" href={`/vms/${vm.id}/proxy/${port.port}/`} target="_blank" rel="noopener noreferrer" title="Show what it serves by HTTP, on an origin of its own" aria-label={`Preview of port ${port.port}`}>
															<Icon name="open" />
															<span class="hide-phone">Preview</span>
														</a>
													)}
													{!forward?.listening && can("proxy_get") && <span class="hide-phone"><Copy text={`${location.origin}/vms/${vm.id}/proxy/${port.port}/`} what={`address of the preview of port ${port.port}`} /></span>}
													{forward?.listening ? <><Preview forward={forward} /><Copy text={openForward(forward)} what={`address of port ${port.port}`} /></> : !forward && can("forward_create") && <Button icon="plus" label="Forward" title={`Lead a port of this host to port ${port.port}`} onClick={() => void add(port.port)} />}
												</span>
											</td>
										</tr>
									);
								})}
							</tbody>
						</table>
					)}
				</Card>
				{can("forward_list") && (
					<Card title="Forwards" flush actions={<JsonButton quiet what={`The forwards of “${vm.name}”`} request={sketch("get", "/vms/{vm}/forwards", { vm: vm.name })} />}>
						{forwards === null ? (
							<Loading what="forwards" />
						) : forwards.length === 0 ? (
							<p class="dim nothing">None. A forward lets a port of this host, on 127.0.0.1, lead to a port of the guest; it needs no network device.</p>
						) : (
							<table class="table fits forwards">
								<thead><tr><th scope="col">On the host</th><th scope="col" class="hide-phone">In the guest</th><th scope="col" class="hide-phone">State</th><th scope="col" class="acts"><span class="sr">Actions</span></th></tr></thead>
								<tbody>
									{forwards.map((forward) => (
										<tr key={forward.id}>
											<td>
												<span class="row"><code class="clip" title={addressOf(forward)}>{addressOf(forward)}</code><Copy text={addressOf(forward)} what="address" /></span>
												<span class="only-phone num">to port {insideOf(forward)}<br /><StateBadge look={lookOfForward(forward)} />{forward.problem && <><br />{forward.problem}</>}</span>
											</td>
											<td class="num hide-phone">{insideOf(forward)}</td>
											<td class="hide-phone">
												<span class="row">
													<StateBadge look={lookOfForward(forward)} />
													{forward.connections > 0 && <span class="dim num">{plural(forward.connections, "connection")}</span>}
													{forward.problem && <span class="clip soft" title={forward.problem}>{forward.problem}</span>}
												</span>
											</td>
											<td class="right">
												<span class="row end">
													{forward.listening && <Preview forward={forward} />}
													<Button kind="quiet" class="hide-phone" icon="terminal" title={`The forward of port ${forward.guest_port} as curl and CLI`} onClick={() => showRecipes(`Port ${forward.guest_port} of ${vm.name} from a shell`, [
														{ label: "Forward", request: sketch("post", "/vms/{vm}/forwards", { vm: vm.name }, { guest_port: forward.guest_port, host_port: forward.host_port }), cli: `banger vm forward ${quote(vm.name)} ${forward.host_port}:${forward.guest_port}` },
														takingAway(forward),
													])} />
													{can("forward_delete") && <Button kind="quiet" icon="trash" title={`Take the forward of port ${forward.guest_port} away`} onClick={() => void remove(forward)} />}
												</span>
											</td>
										</tr>
									))}
								</tbody>
							</table>
						)}
						{can("forward_create") && <Add add={add} />}
					</Card>
				)}
			</div>
			<div class="stack">
				<Card title="Network">
					<Details
						rows={[
							["Mode", MODES[vm.network] ?? vm.network],
							["Address", vm.ip ? <span class="row"><code>{vm.ip}</code><Copy text={vm.ip} what="address" /></span> : "–"],
							...(vm.network === "none" ? [["Way out", "none"] as [string, string]] : []),
						]}
					/>
					{vm.network !== "none" && <Nat vm={vm} />}
				</Card>
				<Card title="From a shell">
					<div class="stack">
						<Command text={curl({ method: "GET", path: fillPath("/vms/{vm}/ports", { vm: vm.name }) }, endpoint())} />
						{can("forward_create") && <Command text={curl({ method: "POST", path: fillPath("/vms/{vm}/forwards", { vm: vm.name }), body: { guest_port: ports?.[0]?.port ?? 80, host_port: 8080 } }, endpoint())} />}
						<Command text={`banger vm ports ${quote(vm.name)}`} />
						{can("forward_create") && <Command text={`banger vm forward ${quote(vm.name)} 8080:${ports?.[0]?.port ?? 80}`} />}
					</div>
				</Card>
			</div>
		</div>
	);
}

const insideOf = (forward: Forward): string => (forward.guest_host === "localhost" ? String(forward.guest_port) : `${forward.guest_host}:${forward.guest_port}`);

function lookOfForward(forward: Forward): StateLook {
	if (forward.listening) return { word: "listens", tone: "ok", shape: "disc" };
	return forward.problem ? { word: "does not listen", tone: "bad", shape: "diamond" } : { word: "waits for the VM", tone: "off", shape: "ring" };
}

/** On the bridge the way out opens and closes under a running guest; otherwise it is part of its start. */
function Nat({ vm }: { vm: Vm }) {
	const live = vm.network === "bridge" || !["running", "paused", "suspended", "starting", "stopping"].includes(vm.state);
	const change = async (nat: boolean): Promise<void> => {
		try {
			putVm(await call("patch", "/vms/{vm}", { params: { vm: vm.id }, body: { nat } }));
			toast({ tone: "ok", title: nat ? `${vm.name} may reach the outside` : `${vm.name} reaches nothing outside any more` });
		} catch (error) {
			toast({ tone: "bad", title: "The way out was not changed", body: sentence(error) });
		}
	};
	return (
		<div class="stack tight nat">
			<Switch label="The guest may reach the outside (NAT)" checked={vm.nat} disabled={!can("vm_update") || !live} onChange={(nat) => void change(nat)} />
			{!live && <p class="dim small">It can be changed while the VM is stopped.</p>}
		</div>
	);
}

/** A page of the guest, in a tab of its own: another origin, which can't reach this one. */
function Preview({ forward }: { forward: Forward }) {
	return (
		<a class="button normal" href={openForward(forward)} target="_blank" rel="noopener noreferrer">
			<Icon name="open" />
			<span>Open</span>
		</a>
	);
}

function Add({ add }: { add: (guest: number, host?: number) => Promise<boolean> }) {
	const [guest, setGuest] = useState("");
	const [host, setHost] = useState("");
	const port = (text: string): number | undefined => (/^\d{1,5}$/.test(text.trim()) && Number(text) >= 1 && Number(text) <= 65535 ? Number(text) : undefined);
	const wrong = (guest.trim() !== "" && !port(guest)) || (host.trim() !== "" && !port(host));
	return (
		<form
			class="row wrap add-forward"
			onSubmit={(event) => {
				event.preventDefault();
				const to = port(guest);
				if (to && !wrong) void add(to, port(host)).then((made) => made && (setGuest(""), setHost("")));
			}}
		>
			<label class="row"><span>Port of the guest</span><input class="input num" inputMode="numeric" placeholder="80" value={guest} aria-invalid={wrong} onInput={(e) => setGuest(e.currentTarget.value)} /></label>
			<label class="row"><span>port of the host</span><input class="input num" inputMode="numeric" placeholder="any" value={host} aria-invalid={wrong} onInput={(e) => setHost(e.currentTarget.value)} /></label>
			<Button type="submit" icon="plus" label="Forward" disabled={!port(guest) || wrong} />
			{wrong && <span class="wrong" role="alert">A port is between 1 and 65535.</span>}
		</form>
	);
}
