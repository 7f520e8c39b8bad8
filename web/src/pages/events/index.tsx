// SPDX-License-Identifier: Apache-2.0
/* Everything that happened, live and from the past, with filters in the address. */
import { sketch } from "../../api/client";
import type { ApiEvent } from "../../api/types";
import { plural } from "../../lib/format";
import { route, setQuery } from "../../lib/router";
import { matcher, parse, toggleTerm, hasTerm, type Fields } from "../../lib/search";
import { curl } from "../../lib/shell";
import { endpoint } from "../create/example";
import { PhonePreferences } from "../../shell/nav";
import { Button, Command, Empty, Loading } from "../../ui/basics";
import { showDialog } from "../../ui/dialog";
import { SearchBar } from "../../ui/search";
import { gist } from "./gist";
import { EventTable } from "./table";
import { useEvents } from "./use";

const FIELDS: Fields<ApiEvent> = {
	kind: (e) => e.kind,
	on: (e) => [e.target_name ?? "", e.target ?? ""],
	by: (e) => e.by,
	state: (e) => gist(e).state,
	operation: (e) => e.operation,
	text: (e) => gist(e).text,
};
const SHOWN = 300;

export default function EventsPage() {
	const { list, loading } = useEvents({});
	const query = route.value.query.get("q") ?? "";
	const terms = parse(query);
	const found = terms.length ? list.filter(matcher(terms, FIELDS, ["kind", "on", "by", "text", "operation"])) : list;
	const areas = [...new Set(list.map((e) => e.kind.split(".")[0] ?? ""))].sort();
	const save = (): void => {
		const link = document.createElement("a");
		link.href = URL.createObjectURL(new Blob(found.map((e) => `${JSON.stringify(e)}\n`), { type: "application/x-ndjson" }));
		link.download = "events.ndjson";
		link.click();
		URL.revokeObjectURL(link.href);
	};
	return (
		<div class="page">
			<header class="page-head">
				<h1>Events</h1>
				<div class="actions">
					<PhonePreferences />
					<Button icon="terminal" label="As curl" onClick={() => showDialog({ title: "Follow events from a shell", wide: true, body: <div class="stack"><Command text={curl({ ...sketch("get", "/events"), headers: { Accept: "application/x-ndjson" } }, endpoint())} /><Command text="banger events" /></div> })} />
					<Button icon="download" label="Export" disabled={found.length === 0} onClick={save} />
				</div>
			</header>
			<div class="row wrap">
				<SearchBar value={query} onChange={(q) => setQuery({ q })} placeholder="Search: name, kind:vm.*, by:uid:1000, state:failed" label="Search events" />
				<span class="group">
					{areas.length > 1 && areas.map((area) => (
						<Button key={area} label={area} aria-pressed={hasTerm(query, "kind", `${area}.*`)} onClick={() => setQuery({ q: toggleTerm(query, "kind", `${area}.*`) })} />
					))}
				</span>
				<span class="dim num small" role="status">{plural(found.length, "event")}</span>
			</div>
			{loading && list.length === 0 ? (
				<Loading what="events" />
			) : found.length === 0 ? (
				<Empty icon="events" title={list.length ? "No event fits this search" : "Nothing has happened yet"} action={query && <Button label="Clear the search" onClick={() => setQuery({ q: "" })} />}>
					{!list.length && <p>Whatever changes on this server is listed here as it happens: who asked, what it was done to, and how it ended.</p>}
				</Empty>
			) : (
				<section class="card flush scroll">
					<EventTable list={found.slice(0, SHOWN)} withTarget />
					{found.length > SHOWN && <p class="foot-note dim">The newest {SHOWN} of {found.length}. Search to narrow them down, or export all.</p>}
				</section>
			)}
		</div>
	);
}
