// SPDX-License-Identifier: Apache-2.0
/* Shown when the server does not know us. */
import { useState } from "preact/hooks";
import { setToken } from "../api/client";
import { Button, Command } from "../ui/basics";
import { Mark } from "../ui/mark";

export function Gate() {
	const [text, setText] = useState("");
	const [wrong, setWrong] = useState("");
	const [busy, setBusy] = useState(false);
	const enter = async (): Promise<void> => {
		const given = text.trim();
		setBusy(true);
		setWrong("");
		try {
			const reply = await fetch("/version", { headers: { Authorization: `Bearer ${given}` }, cache: "no-store" });
			if (reply.ok) setToken(given);
			else setWrong(reply.status === 401 ? "The server does not know this token." : `The server answered ${reply.status}.`);
		} catch {
			setWrong("The server can't be reached.");
		} finally {
			setBusy(false);
		}
	};
	return (
		<main class="gate">
			<section class="card">
				<form
					class="body"
					onSubmit={(event) => {
						event.preventDefault();
						void enter();
					}}
				>
					<span class="brand">
						<Mark /> banger
					</span>
					<h1>Sign in</h1>
					<p class="soft">On the machine that runs the server, this opens the dashboard signed in, by a link that works once:</p>
					<Command text="banger open" />
					<p class="soft">Or give a token. It is kept until this tab is closed.</p>
					<label class="field">
						<span class="name">Token</span>
						<input
							class="input mono"
							type="password"
							autocomplete="off"
							value={text}
							aria-invalid={wrong !== ""}
							onInput={(event) => setText(event.currentTarget.value)}
						/>
						{wrong && <span class="wrong" role="alert">{wrong}</span>}
					</label>
					<Button type="submit" kind="primary" label="Sign in" busy={busy} disabled={text.trim() === ""} />
				</form>
			</section>
		</main>
	);
}
