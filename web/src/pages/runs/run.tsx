// SPDX-License-Identifier: Apache-2.0
/* One run: its output as it comes, where the time went, what it left, how its like fared. */
import { useEffect, useState } from "preact/hooks";
import { call, fillPath, sketch, ApiError } from "../../api/client";
import { can } from "../../api/capabilities";
import { save } from "../../api/files";
import { sentence } from "../../actions/actions";
import type { Run } from "../../api/types";
import { bytes, duration, plural } from "../../lib/format";
import { go, href } from "../../lib/router";
import { curl } from "../../lib/shell";
import { putRun, runs, vms } from "../../store/live";
import { endpoint } from "../create/example";
import { PhonePreferences } from "../../shell/nav";
import { Button, Card, Command, Copy, Details, Empty, Label, LinkButton, Loading } from "../../ui/basics";
import { ask } from "../../ui/dialog";
import { Icon } from "../../ui/icon";
import { JsonButton } from "../../ui/json";
import { LogView } from "../../ui/log";
import { useOutput } from "../../ui/output";
import { AsShell } from "../../ui/recipes";
import { StateBadge } from "../../ui/state";
import { At } from "../../ui/time";
import { Who } from "../../ui/who";
import { toast } from "../../ui/toast";
import { Waterfall } from "../../ui/waterfall";
import { visible } from "../../lib/visible";
import { alike, commandOf, lookOfRun, over, requestOf } from "./about";
import { newRun } from "./form";
import { took } from "./index";
import "../../style/log.css";

export function RunPage({ id }: { id: string }) {
	const [missing, setMissing] = useState(false);
	const run = runs.value?.find((r) => r.id === id);
	useEffect(() => {
		if (run || runs.value === null) return;
		call("get", "/runs/{run}", { params: { run: id } }).then(putRun, (error: unknown) => error instanceof ApiError && setMissing(true));
	}, [id, runs.value === null, run === undefined]);
	if (missing) {
		return (
			<Empty page icon="runs" title="There is no such run" action={<LinkButton kind="primary" label="To all runs" href={href(["runs"])} />}>
				<p>Old runs are forgotten after a while.</p>
			</Empty>
		);
	}
	return run ? <Shown run={run} /> : <Loading what="the run" />;
}

function Shown({ run }: { run: Run }) {
	const { buffer, problem } = useOutput(fillPath("/runs/{run}/output", { run: run.id }), !over(run));
	const command = commandOf(run);
	const family = alike(run, runs.value ?? []);
	return (
		<div class="page">
			<header class="page-head">
				<nav class="crumbs" aria-label="You are here">
					<a href={href(["runs"])} class="soft">Runs</a>
					<Icon name="right" size={12} />
					<h1 class="clip mono run-title" title={visible(command)}>{visible(command.split("\n")[0] ?? "")}</h1>
				</nav>
				<StateBadge look={lookOfRun(run)} note={took(run)} pill />
				<Verbs run={run} />
			</header>
			{run.error && <p class="problem" role="alert"><strong>{run.error.title}.</strong> {run.error.detail} {run.error.remedy}</p>}
			{problem && !run.error && <p class="problem">{problem}</p>}
			<div class="columns">
				<div class="stack">
					<LogView short buffer={buffer} name={`run-${run.id}`} label="Output of the run" live={!over(run)} />
					{run.output_truncated && <p class="dim">More was written than is kept.</p>}
					<Card title="Where the time went" actions={run.duration_ms !== undefined && <span class="dim num">{duration(run.duration_ms)}</span>}>
						{run.stages.length ? <Waterfall stages={run.stages} total={run.duration_ms} /> : <p class="dim">It waits for its turn{run.position ? `, number ${run.position} in the queue` : ""}.</p>}
					</Card>
					{family.length > 1 && <Trend list={family} current={run} />}
				</div>
				<div class="stack">
					{run.artifacts.length > 0 && <Artifacts run={run} />}
					<Card title="Details" actions={<JsonButton quiet what="The run" request={sketch("get", "/runs/{run}", { run: run.id })} />}>
						<Details
							rows={[
								["Id", <span class="row"><code>{run.id}</code><Copy text={run.id} what="id" /></span>],
								["Image", run.image ?? "the default"],
								["VM", run.vm && vms.value.has(run.vm) ? <a href={href(["vms", vms.value.get(run.vm)?.name ?? run.vm])}>{vms.value.get(run.vm)?.name}</a> : over(run) ? "deleted" : "–"],
								["Asked for", <At time={run.created} />],
								["Started", <At time={run.started} />],
								["Ended", <At time={run.ended} />],
								["By", <Who by={run.requested_by} />],
							]}
						/>
						{Object.keys(run.labels).length > 0 && <div class="row wrap run-labels">{Object.entries(run.labels).map(([k, v]) => <Label key={k} name={k} value={v} />)}</div>}
					</Card>
					{command.includes("\n") && <Card title="Script"><Command text={command} what="script" /></Card>}
					<Card title="From a shell">
						<Command text={curl({ ...sketch("post", "/runs", {}, requestOf(run)), headers: { Accept: "text/plain" } }, endpoint())} what="curl command: run it again" />
					</Card>
				</div>
			</div>
		</div>
	);
}

function Verbs({ run }: { run: Run }) {
	const cancel = async (): Promise<void> => {
		if (!(await ask({ title: "Cancel this run?", body: "The command is ended and its VM deleted, with everything in it.", confirm: "Cancel the run", danger: true, extra: <AsShell recipe={{ label: "Cancel", request: sketch("delete", "/runs/{run}", { run: run.id }), cli: `banger run cancel ${run.id}` }} /> }))) return;
		try {
			putRun(await call("delete", "/runs/{run}", { params: { run: run.id } }));
		} catch (error) {
			toast({ tone: "bad", title: "The run was not cancelled", body: sentence(error) });
		}
	};
	return (
		<div class="actions">
			{run.kept && run.vm && vms.value.has(run.vm) && <LinkButton icon="vms" label="Look into its VM" href={href(["vms", vms.value.get(run.vm)?.name ?? run.vm])} />}
			{!over(run) && can("run_cancel") && <Button icon="stop" label="Cancel" onClick={() => void cancel()} />}
			{over(run) && can("run_create") && <Button icon="restart" kind="primary" label="Run again" onClick={() => newRun(requestOf(run))} />}
			<PhonePreferences />
		</div>
	);
}

function Artifacts({ run }: { run: Run }) {
	const fetch_ = (path: string): void => {
		const name = `${path.split("/").filter(Boolean).pop() ?? "files"}.tar`;
		save(`/runs/${run.id}/artifacts?path=${encodeURIComponent(path)}`, name).catch((error: unknown) => toast({ tone: "bad", title: "It could not be downloaded", body: sentence(error) }));
	};
	return (
		<Card title="What it left">
			<ul class="results">
				{run.artifacts.map((a) => (
					<li key={a.path}>
						<code class="grow clip" title={a.path}>{a.path}</code>
						{a.problem ? <span class="wrong clip" title={a.problem}>{a.problem}</span> : <span class="num soft">{bytes(a.size_bytes)}</span>}
						{!a.problem && over(run) && <Button kind="quiet" icon="download" title={`Download ${a.path} as tar`} onClick={() => fetch_(a.path)} />}
					</li>
				))}
			</ul>
		</Card>
	);
}

const BARS = 30;

/** The same command over time: height is how long it took, colour how it ended. */
function Trend({ list, current }: { list: Run[]; current: Run }) {
	const ended = list.filter((r) => over(r) && r.duration_ms !== undefined).slice(-BARS);
	const most = Math.max(...ended.map((r) => r.duration_ms ?? 0), 1);
	const middle = ended.map((r) => r.duration_ms ?? 0).sort((a, b) => a - b)[Math.floor(ended.length / 2)] ?? 0;
	const good = ended.filter((r) => r.state === "succeeded").length;
	if (ended.length < 2) return null;
	return (
		<Card title="The same command before" actions={<span class="dim num">{good} of {plural(ended.length, "run")} good, median {duration(middle)}</span>}>
			<ol class="trend">
				{ended.map((r) => (
					<li key={r.id}>
						<a class={`bar tone-${lookOfRun(r).tone}`} style={{ height: `${Math.max(6, ((r.duration_ms ?? 0) / most) * 100)}%` }} aria-current={r.id === current.id ? "page" : undefined}
							href={href(["runs", r.id])} title={`${lookOfRun(r).word}, ${duration(r.duration_ms ?? 0)}`} onClick={() => go(["runs", r.id])}>
							<span class="sr">{lookOfRun(r).word}, {duration(r.duration_ms ?? 0)}</span>
						</a>
					</li>
				))}
			</ol>
		</Card>
	);
}
