// SPDX-License-Identifier: Apache-2.0
import { curl, type RequestSketch } from "../lib/shell";
import { endpoint } from "../pages/create/example";
import { Command } from "./basics";

/** The thing as the API gives it, and how to ask for it. */
export function Json({ value, request }: { value: unknown; request: RequestSketch }) {
	return (
		<div class="stack">
			<Command text={curl(request, endpoint())} />
			<Command text={JSON.stringify(value, null, 2)} what="JSON" />
		</div>
	);
}
