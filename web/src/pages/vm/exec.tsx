// SPDX-License-Identifier: Apache-2.0
/*
 * Commands in the guest. Each is kept by the server with its output: it goes on when this page is closed, and what was
 * run before stands here for everybody.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { call, fillPath, sketch } from "../../api/client";
import { can, hasField } from "../../api/capabilities";
import { sentence } from "../../actions/actions";
import type { Exec, ExecCreate, Vm } from "../../api/types";
import { bytes, duration, instant } from "../../lib/format";
import { remembered } from "../../lib/storage";
import { curl, quote, split, words } from "../../lib/shell";
import { events } from "../../store/live";
import { now } from "../../store/clock";
import { endpoint } from "../create/example";
import { Button, Command, Empty, Loading } from "../../ui/basics";
import { showDialog } from "../../ui/dialog";
import { JsonButton } from "../../ui/json";
import { LogView } from "../../ui/log";
import { useOutput } from "../../ui/output";
import { StateBadge, type StateLook } from "../../ui/state";
import { At } from "../../ui/time";
import { toast } from "../../ui/toast";
import { WhenUp } from "./when-up";

const SHOWN = 30;
/** The output of this many is read at once; of older ones when asked for. */
const OPEN = 3;
const HISTORY_MAX = 100;
const EXAMPLES = ["uname -a", "cat /proc/meminfo | head -3", "df -h /", "ps", "dmesg | tail -20"];

const history_ = remembered<string[]>("exec-history", []);
const inShell = remembered("exec-shell", true);

const goes = (exec: Exec): boolean => exec.state === "running" || exec.state === "starting";

export function lookOfExec(exec: Exec): StateLook {
	if (goes(exec)) return { word: exec.state, tone: "info", shape: "spin", moving: true };
	if (exec.state !== "exited") return { word: exec.state, tone: "bad", shape: "diamond" };
	if (exec.timed_out) return { word: "timed out", tone: "warn", shape: "triangle" };
	if (exec.signal !== null) return { word: `killed by signal ${exec.signal}`, tone: "bad", shape: "diamond" };
	if (exec.exit_code === 0) return { word: "exit 0", tone: "ok", shape: "check" };
	return { word: `exit ${exec.exit_code}`, tone: "bad", shape: "diamond" };
}

/** As it was typed: the script of `sh -c script`, else the words. */
const lineOf = (exec: Exec): string => (exec.argv[0] === "sh" && exec.argv[1] === "-c" && exec.argv.length === 3 ? (exec.argv[2] ?? "") : words(exec.argv));

function took(exec: Exec): string | undefined {
	const start = instant(exec.started);
	const end = instant(exec.ended) ?? (goes(exec) ? now.value : undefined);
	return start === undefined || end === undefined ? undefined : duration(Math.max(0, end - start));
}

function useExecs(vm: Vm): { list: Exec[] | null; refresh: () => Promise<void> } {
	const [list, setList] = useState<Exec[] | null>(null);
	const refresh = async (): Promise<void> => {
		const { items } = await call("get", "/vms/{vm}/execs", { params: { vm: vm.id } });
		setList(items.filter((e) => !e.temporary));
	};
	const news = events.value.filter((e) => e.kind.startsWith("exec.")).at(-1)?.id;
	useEffect(() => void refresh().catch(() => setList((old) => old ?? [])), [vm.id, vm.state, news]);
	return { list, refresh };
}

export function ExecTab({ vm }: { vm: Vm }) {
	const [line, setLine] = useState("");
	const [wrong, setWrong] = useState("");
	const [more, setMore] = useState(false);
	const [user, setUser] = useState("");
	const [cwd, setCwd] = useState("");
	const [timeout, setTimeout_] = useState("");
	const back = useRef(-1);
	const input = useRef<HTMLInputElement>(null);
	const { list, refresh } = useExecs(vm);
	useEffect(() => input.current?.focus(), []);

	const bodyOf = (text: string): ExecCreate | null => {
		const argv = inShell.value ? ["sh", "-c", text] : split(text);
		if (!argv?.length) return null;
		return {
			argv,
			...(cwd ? { cwd } : {}),
			...(user ? { user } : {}),
			...(Number(timeout) > 0 ? { timeout_s: Number(timeout) } : {}),
		};
	};
	const submit = (text: string): void => {
		const body = bodyOf(text);
		if (!text.trim()) return;
		if (!body) {
			setWrong("A quote is not closed.");
			return;
		}
		setWrong("");
		setLine("");
		back.current = -1;
		history_.value = [text, ...history_.peek().filter((h) => h !== text)].slice(0, HISTORY_MAX);
		call("post", "/vms/{vm}/execs", { params: { vm: vm.id }, body }).then(refresh, (error: unknown) => setWrong(sentence(error)));
	};
	const recall = (by: number): void => {
		const at = Math.max(-1, Math.min(history_.value.length - 1, back.current + by));
		back.current = at;
		setLine(at < 0 ? "" : (history_.value[at] ?? ""));
	};
	return (
		<div class="stack">
			{vm.state !== "running" && <WhenUp vm={vm} icon="terminal">Commands run in a VM that is up, through its agent, without SSH.</WhenUp>}
			{vm.state === "running" && <form
				class="exec-box"
				onSubmit={(event) => {
					event.preventDefault();
					submit(line);
				}}
			>
				<div class="exec-line">
					<span class="prompt" aria-hidden="true">{vm.name} $</span>
					<input
						ref={input}
						class="mono"
						aria-label={`Command to run in ${vm.name}`}
						placeholder="a command to run in the guest"
						autocomplete="off"
						autocapitalize="off"
						spellcheck={false}
						value={line}
						aria-invalid={wrong !== ""}
						onInput={(event) => setLine(event.currentTarget.value)}
						onKeyDown={(event) => {
							if (event.key === "ArrowUp") recall(1);
							else if (event.key === "ArrowDown") recall(-1);
							else return;
							event.preventDefault();
						}}
					/>
					<Button type="submit" kind="primary" label="Run" disabled={!line.trim()} />
				</div>
				<div class="exec-options row wrap">
					<label class="row">
						<input type="checkbox" class="check" checked={inShell.value} onChange={(e) => (inShell.value = e.currentTarget.checked)} />
						in a shell
					</label>
					<button type="button" class="button quiet" aria-expanded={more} onClick={() => setMore(!more)}>
						Options
					</button>
					{line.trim() && (
						<Button
							kind="quiet"
							icon="terminal"
							label="As curl"
							onClick={() => {
								const body = bodyOf(line);
								if (body) showCommand(vm, body);
							}}
						/>
					)}
					{wrong && <span class="wrong" role="alert">{wrong}</span>}
					<span class="grow" />
					<span class="dim small hide-phone">↑ and ↓ bring back earlier commands</span>
				</div>
				{more && (
					<div class="exec-more">
						{hasField("Exec", "user") && (
							<label class="field"><span class="name">User</span>
								<input class="input mono" placeholder="root" value={user} onInput={(e) => setUser(e.currentTarget.value)} /></label>
						)}
						{hasField("Exec", "cwd") && (
							<label class="field"><span class="name">Folder</span>
								<input class="input mono" placeholder="/" value={cwd} onInput={(e) => setCwd(e.currentTarget.value)} /></label>
						)}
						{hasField("Exec", "timeout_s") && (
							<label class="field"><span class="name">Ends after, seconds</span>
								<input class="input num" inputMode="numeric" placeholder="never" value={timeout} onInput={(e) => setTimeout_(e.currentTarget.value)} /></label>
						)}
					</div>
				)}
			</form>}
			{list === null ? (
				<Loading what="earlier commands" />
			) : list.length === 0 ? vm.state === "running" && (
				<Empty icon="terminal" title="Nothing has been run from here yet">
					<p>You see what a command writes as it writes it, and its exit code. It goes on when you close this page.</p>
					<div class="row wrap center">
						{EXAMPLES.map((text) => (
							<button key={text} type="button" class="label mono" onClick={() => submit(text)}>{text}</button>
						))}
					</div>
				</Empty>
			) : (
				list.slice(0, SHOWN).map((exec, i) => <ExecCard key={exec.id} vm={vm} exec={exec} opened={i < OPEN} again={() => submit(lineOf(exec))} refresh={refresh} />)
			)}
		</div>
	);
}

function ExecCard({ vm, exec, opened, again, refresh }: { vm: Vm; exec: Exec; opened: boolean; again: () => void; refresh: () => Promise<void> }) {
	const [open, setOpen] = useState(opened);
	const running = goes(exec);
	const line = lineOf(exec);
	const shown = open || running;
	const { buffer, problem } = useOutput(shown ? `${fillPath("/vms/{vm}/execs/{exec}/output", { vm: vm.id, exec: exec.id })}?follow=true` : "", running);
	const [asked, setAsked] = useState(false);
	const act = async (what: string, work: () => Promise<unknown>): Promise<void> => {
		try {
			await work();
		} catch (error) {
			toast({ tone: "bad", title: `It was not ${what}`, body: sentence(error) });
		}
		await refresh().catch(() => undefined);
	};
	const params = { vm: vm.id, exec: exec.id };
	return (
		<section class="card flush run" aria-label={`Run of ${line}`}>
			<header>
				<code class="clip" title={line}>{line.split("\n")[0]}</code>
				<div class="row">
					<StateBadge look={lookOfExec(exec)} note={took(exec)} />
					<span class="dim hide-phone"><At time={exec.created} /></span>
					{running && can("exec_signal") && (
						<Button icon="stop" label={asked ? "Kill" : "Stop"} title={asked ? "It has not ended by itself: end it at once" : "Ask it to end"} onClick={() => {
							setAsked(true);
							void act("stopped", () => call("post", "/vms/{vm}/execs/{exec}/signal", { params, body: { signal: asked ? "KILL" : "TERM" } }));
						}} />
					)}
					{!running && vm.state === "running" && <Button kind="quiet" icon="restart" title="Run again" onClick={again} />}
					<Button kind="quiet" icon="terminal" title="As curl and CLI" onClick={() => showCommand(vm, exec)} />
					{!running && can("exec_delete") && <Button kind="quiet" icon="trash" title="Forget it and its output" onClick={() => void act("forgotten", () => call("delete", "/vms/{vm}/execs/{exec}", { params }))} />}
				</div>
			</header>
			{problem && <p class="problem">{problem}</p>}
			{exec.reason && <p class="problem">{exec.reason}</p>}
			{shown ? (
				<LogView short buffer={buffer} name={`${vm.name}-${exec.id}`} label={`Output of ${line}`} live={running} />
			) : (
				<button type="button" class="more-output" onClick={() => setOpen(true)}>Show its output, {bytes(exec.output_bytes)}</button>
			)}
		</section>
	);
}

function showCommand(vm: Vm, exec: Pick<Exec, "argv"> & { id?: string }): void {
	const request = { ...sketch("post", "/vms/{vm}/exec", { vm: vm.name }, { argv: exec.argv }), headers: { Accept: "text/plain" } };
	showDialog({
		title: "The same from a shell",
		wide: true,
		body: (
			<div class="stack">
				<Command text={curl(request, endpoint())} />
				<Command text={`banger vm exec ${quote(vm.name)} -- ${words(exec.argv)}`} />
				{exec.id && <Command text={curl({ ...sketch("get", "/vms/{vm}/execs/{exec}/output", { vm: vm.name, exec: exec.id }), headers: { Accept: "text/plain" } }, endpoint())} what="curl command: its output" />}
				{exec.id && <div class="row"><JsonButton quiet what="The command" request={sketch("get", "/vms/{vm}/execs/{exec}", { vm: vm.name, exec: exec.id })} /></div>}
			</div>
		),
	});
}
