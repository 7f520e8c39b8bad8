// SPDX-License-Identifier: Apache-2.0
/* What a page shows, as the API gives it at this moment, and how to ask for it. */
import { useEffect, useState } from "preact/hooks";
import { send } from "../api/client";
import { sentence } from "../actions/actions";
import { curl, type RequestSketch } from "../lib/shell";
import { endpoint } from "../pages/create/example";
import { Button, Command, Copy, Loading } from "./basics";
import { showDialog } from "./dialog";

/** One text node, whatever its length. */
export function JsonText({ text }: { text: string }) {
	return (
		<div class="command json">
			<pre tabIndex={0} aria-label="JSON"><code>{text}</code></pre>
			<Copy text={text} what="JSON" />
		</div>
	);
}

function Json({ request }: { request: RequestSketch }) {
	const [text, setText] = useState("");
	const [problem, setProblem] = useState("");
	useEffect(() => {
		let gone = false;
		send("get", request.path)
			.then((response) => response.json())
			.then((value: unknown) => !gone && setText(JSON.stringify(value, null, 2)), (error: unknown) => !gone && setProblem(sentence(error)));
		return () => {
			gone = true;
		};
	}, [request.path]);
	return (
		<div class="stack">
			<Command text={curl(request, endpoint())} what="curl command" />
			{problem ? <p class="problem" role="alert">{problem}</p> : text ? <JsonText text={text} /> : <Loading what="the JSON" />}
		</div>
	);
}

/** `request`: what to GET. */
export function showJson(what: string, request: RequestSketch): void {
	showDialog({ title: `${what} as JSON`, wide: true, body: <Json request={request} /> });
}

export function JsonButton({ what, request, quiet }: { what: string; request: RequestSketch; quiet?: boolean }) {
	return <Button kind={quiet ? "quiet" : "normal"} icon="json" label={quiet ? "JSON" : ""} title={`${what} as JSON`} onClick={() => showJson(what, request)} />;
}
