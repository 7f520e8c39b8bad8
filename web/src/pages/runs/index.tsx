// SPDX-License-Identifier: Apache-2.0
/* CI jobs: what waits, what runs, what ran. */
import { useEffect } from "preact/hooks";
import { can } from "../../api/capabilities";
import { sketch } from "../../api/client";
import type { Run } from "../../api/types";
import { duration, instant, plural } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { href, route, setQuery } from "../../lib/router";
import { hasTerm, matcher, parse, toggleTerm, type Fields } from "../../lib/search";
import { curl } from "../../lib/shell";
import { visible } from "../../lib/visible";
import { need, refreshRuns, runs } from "../../store/live";
import { now } from "../../store/clock";
import { endpoint } from "../create/example";
import { PhonePreferences } from "../../shell/nav";
import { Button, Command, Empty, Label, Loading } from "../../ui/basics";
import { JsonButton } from "../../ui/json";
import { SearchBar } from "../../ui/search";
import { Shape, StateBadge, lookOf, opLook } from "../../ui/state";
import { Ago } from "../../ui/time";
import { Who } from "../../ui/who";
import { commandOf, lookOfRun, over } from "./about";
import { newRun } from "./form";
import { RunPage } from "./run";
import "./runs.css";

const FIELDS: Fields<Run> = {
	state: (r) => r.state,
	phase: (r) => r.phase,
	command: (r) => commandOf(r),
	image: (r) => r.image,
	by: (r) => r.requested_by,
	id: (r) => r.id,
	label: (r) => Object.entries(r.labels).map(([k, v]) => `${k}=${v}`),
	kept: (r) => String(r.kept),
};
const SHOWN = 200;

export default function RunsPage({ parts: [id] }: { parts: string[] }) {
	useEffect(() => need(runs, refreshRuns), []);
	return id ? <RunPage id={id} key={id} /> : <List />;
}

function List() {
	const query = route.value.query.get("q") ?? "";
	const all = runs.value;
	const terms = parse(query);
	const found = all && terms.length ? all.filter(matcher(terms, FIELDS, ["command", "label", "image", "id", "by"])) : all;
	useKeys([{ keys: "n", label: "New run", group: "List", run: () => can("run_create") && newRun() }]);
	return (
		<div class="page">
			<header class="page-head">
				<h1>Runs</h1>
				<div class="actions">
					<PhonePreferences />
					<JsonButton what="The list of runs" request={sketch("get", "/runs")} />
					{can("run_create") && <Button kind="primary" icon="plus" label="New run" onClick={() => newRun()} />}
				</div>
			</header>
			{all === null || !found ? (
				<Loading what="runs" />
			) : all.length === 0 ? (
				<Empty icon="runs" title="Nothing has been run yet" action={can("run_create") && <Button kind="primary" icon="plus" label="New run" onClick={() => newRun()} />}>
					<p>One call makes a VM, runs a command in it, streams what it writes, hands back its exit code and leaves nothing behind.</p>
					<Command text={curl({ ...sketch("post", "/runs", {}, { image: "mini", script: "echo hello from a VM; exit 3" }), headers: { Accept: "text/plain" } }, endpoint())} />
				</Empty>
			) : (
				<>
					<States list={all} query={query} />
					<div class="row wrap">
						<SearchBar value={query} onChange={(q) => setQuery({ q })} placeholder="Search: make test, state:failed, label:queue=ci" label="Search runs" />
						<span class="dim num small" role="status">{plural(found.length, "run")}</span>
					</div>
					{found.length === 0 ? (
						<Empty icon="search" title="No run fits this search" action={<Button label="Clear the search" onClick={() => setQuery({ q: "" })} />} />
					) : (
						<Table list={found.slice(0, SHOWN)} query={query} />
					)}
				</>
			)}
		</div>
	);
}

function States({ list, query }: { list: Run[]; query: string }) {
	return (
		<ul class="states" aria-label="States">
			{(["running", "queued", "failed", "succeeded", "cancelled"] as const).map((state) => {
				const n = list.filter((r) => r.state === state).length;
				return (
					n > 0 && (
						<li key={state}>
							<button type="button" class="state-chip" aria-pressed={hasTerm(query, "state", state)} onClick={() => setQuery({ q: toggleTerm(query, "state", state) })} title={`Show only runs that are ${state}`}>
								<Shape {...(state === "running" ? opLook(state) : lookOf(state))} />
								<strong class="num">{n}</strong>
								<span>{state}</span>
							</button>
						</li>
					)
				);
			})}
		</ul>
	);
}

/** How long it has been at work, or was. */
export function took(run: Run): string {
	if (run.duration_ms !== undefined) return duration(run.duration_ms);
	const start = instant(run.started);
	return start === undefined || over(run) ? "–" : duration(Math.max(0, now.value - start));
}

function Table({ list, query }: { list: Run[]; query: string }) {
	return (
		<section class="card flush scroll">
			<table class="table fits runs-table">
				<thead>
					<tr>
						<th scope="col" class="result">Result</th>
						<th scope="col">Command</th>
						<th scope="col" class="hide-phone">Image</th>
						<th scope="col" class="hide-phone">Labels</th>
						<th scope="col" class="right took">Took</th>
						<th scope="col" class="right hide-phone">Asked for</th>
						<th scope="col" class="hide-phone">By</th>
					</tr>
				</thead>
				<tbody>
					{list.map((run) => (
						<tr key={run.id}>
							<td><StateBadge look={lookOfRun(run)} note={run.position ? `no. ${run.position}` : undefined} /></td>
							<td>
								<span class="row">
									<a class="clip mono run-name" href={href(["runs", run.id])} title={visible(commandOf(run))}>{visible(commandOf(run).split("\n")[0] ?? "")}</a>
									{run.kept && <span class="label">VM kept</span>}
								</span>
							</td>
							<td class="soft hide-phone">{run.image ?? "–"}</td>
							<td class="hide-phone">
								<span class="labels">
									{Object.entries(run.labels).slice(0, 3).map(([k, v]) => <Label key={k} name={k} value={v} onClick={() => setQuery({ q: toggleTerm(query, "label", `${k}=${v}`) })} />)}
								</span>
							</td>
							<td class="right num">{took(run)}</td>
							<td class="right soft hide-phone"><Ago time={run.created} /></td>
							<td class="soft clip hide-phone"><Who by={run.requested_by} /></td>
						</tr>
					))}
				</tbody>
			</table>
		</section>
	);
}
