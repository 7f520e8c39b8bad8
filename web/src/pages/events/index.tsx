// SPDX-License-Identifier: Apache-2.0
/* Everything that happened, live and from the past, with filters in the address. */
import { sketch } from "../../api/client";
import { route, setQuery } from "../../lib/router";
import { curl } from "../../lib/shell";
import { endpoint } from "../create/example";
import { PhonePreferences } from "../../shell/nav";
import { Button, Command, Empty, Loading } from "../../ui/basics";
import { showDialog } from "../../ui/dialog";
import { EventList, EventTools, matching } from "./list";
import { useEvents } from "./use";

export default function EventsPage() {
	const { list, loading } = useEvents({});
	const query = route.value.query.get("q") ?? "";
	const found = matching(list, query);
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
			<EventTools list={list} found={found} query={query} />
			{loading && list.length === 0 ? (
				<Loading what="events" />
			) : found.length === 0 ? (
				<Empty icon="events" title={list.length ? "No event fits this search" : "Nothing has happened yet"} action={query && <Button label="Clear the search" onClick={() => setQuery({ q: "" })} />}>
					{!list.length && <p>Whatever changes on this server is listed here as it happens: who asked, what it was done to, and how it ended.</p>}
				</Empty>
			) : (
				<EventList list={found} withTarget />
			)}
		</div>
	);
}
