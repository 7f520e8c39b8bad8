// SPDX-License-Identifier: Apache-2.0
/* Who may use the TCP port: tokens with a scope and an end, and the browsers that are signed in. */
import { useEffect, useState } from "preact/hooks";
import { call, sketch, ApiError } from "../../api/client";
import { can, schemaOf } from "../../api/capabilities";
import { problemOf } from "../../api/validate";
import { sentence } from "../../actions/actions";
import type { Scope, Token, TokenSecret } from "../../api/types";
import { plural } from "../../lib/format";
import { curl, quote } from "../../lib/shell";
import { session } from "../../store/live";
import { endpoint } from "../create/example";
import { PhonePreferences } from "../../shell/nav";
import { Button, Command, Empty, Loading } from "../../ui/basics";
import { ask, closeDialog, showDialog } from "../../ui/dialog";
import { JsonButton } from "../../ui/json";
import { AsShell } from "../../ui/recipes";
import { Ago, Until } from "../../ui/time";
import { toast } from "../../ui/toast";
import "../images/images.css";

const SCOPES: Record<Scope, string> = {
	read: "Looks at everything, changes nothing.",
	run: "Also creates, runs, stops and deletes.",
	admin: "Also manages tokens.",
};
const BROWSERS_SHOWN = 12;
const LIVES: [string, number | undefined][] = [["1 day", 86_400], ["1 week", 604_800], ["30 days", 2_592_000], ["No end", undefined]];

const revoking = (token: Token) => ({ label: "Revoke", request: sketch("delete", "/tokens/{token}", { token: token.name }), cli: `banger token delete ${quote(token.name)}` });

/** A browser that signed in by a link has a token, too; its name is the server's. */
const isSession = (token: Token): boolean => /^dashboard-\w+$/.test(token.name);
const isMine = (token: Token): boolean => session.value?.principal === `token:${token.name}`;

export default function TokensPage() {
	const [list, setList] = useState<Token[] | null>(null);
	const [problem, setProblem] = useState("");
	const refresh = async (): Promise<void> => {
		try {
			setList((await call("get", "/tokens")).items);
			setProblem("");
		} catch (error) {
			setProblem(error instanceof ApiError && error.status === 403 ? "Only an admin may see and make tokens. You are signed in with less." : sentence(error));
		}
	};
	useEffect(() => void refresh(), []);
	const remove = async (token: Token): Promise<void> => {
		if (!(await ask({ title: `Revoke “${token.name}”?`, body: "Whoever uses it is locked out at once.", confirm: "Revoke", danger: true, extra: <AsShell recipe={revoking(token)} /> }))) return;
		try {
			await call("delete", "/tokens/{token}", { params: { token: token.name } });
		} catch (error) {
			toast({ tone: "bad", title: "The token was not revoked", body: sentence(error) });
		}
		await refresh();
	};
	const signOut = async (browsers: Token[]): Promise<void> => {
		const [first] = browsers;
		const what = browsers.length > 1 ? plural(browsers.length, "browser") : "this browser";
		if (!first || !(await ask({ title: `Sign ${browsers.length === 1 && !isMine(first) ? "the browser" : what} out?`, body: "It is signed in again by a new link: banger open.", confirm: "Sign out", danger: true, extra: browsers.length === 1 ? <AsShell recipe={revoking(first)} /> : undefined }))) return;
		const results = await Promise.allSettled(browsers.map((token) => call("delete", "/tokens/{token}", { params: { token: token.name } })));
		const failed = results.find((r): r is PromiseRejectedResult => r.status === "rejected");
		if (failed) toast({ tone: "bad", title: "Not all are signed out", body: sentence(failed.reason) });
		await refresh();
	};
	const tokens = list?.filter((token) => !isSession(token)) ?? [];
	const browsers = list?.filter(isSession).sort((a, b) => Number(isMine(b)) - Number(isMine(a)) || (a.created < b.created ? 1 : -1)) ?? [];
	const others = browsers.filter((token) => !isMine(token));
	const add = (): void => showDialog({ title: "New token", body: <Add done={() => void refresh()} /> });
	return (
		<div class="page narrow">
			<header class="page-head">
				<h1>Tokens</h1>
				<div class="actions">
					<PhonePreferences />
					{!problem && <JsonButton what="The list of tokens" request={sketch("get", "/tokens")} />}
					{can("token_create") && !problem && <Button kind="primary" icon="plus" label="New token" onClick={add} />}
				</div>
			</header>
			{problem ? (
				<Empty icon="tokens" title="Tokens can't be shown"><p>{problem}</p></Empty>
			) : list === null ? (
				<Loading what="tokens" />
			) : tokens.length === 0 ? (
				<Empty icon="tokens" title="No tokens" action={can("token_create") && <Button kind="primary" icon="plus" label="New token" onClick={add} />}>
					<p>CI jobs and scripts that use the TCP port need one. On this machine the unix socket needs none: there your user id counts.</p>
					<Command text="banger token create ci --scope run" />
				</Empty>
			) : (
				<section class="card flush scroll">
					<table class="table">
						<thead>
							<tr>
								<th scope="col">Name</th><th scope="col">Scope</th><th scope="col" class="hide-phone">Created</th>
								<th scope="col">Last used</th><th scope="col">Ends in</th><th scope="col"><span class="sr">Actions</span></th>
							</tr>
						</thead>
						<tbody>
							{tokens.map((token) => (
								<tr key={token.name}>
									<td><strong>{token.name}</strong></td>
									<td><span class="label" title={SCOPES[token.scope]}>{token.scope}</span></td>
									<td class="soft hide-phone"><Ago time={token.created} /></td>
									<td class="soft">{token.last_used ? <Ago time={token.last_used} /> : "never"}</td>
									<td>{token.expires ? <Until to={token.expires} /> : <span class="dim">never</span>}</td>
									<td class="right">{can("token_delete") && <Button kind="quiet" icon="trash" title={`Revoke ${token.name}`} onClick={() => void remove(token)} />}</td>
								</tr>
							))}
						</tbody>
					</table>
				</section>
			)}
			{browsers.length > 0 && (
				<>
					<header class="row">
						<h2 class="grow">Signed-in browsers</h2>
						{others.length > 1 && can("token_delete") && <Button icon="power" label={`Sign out ${others.length} others`} onClick={() => void signOut(others)} />}
					</header>
					<section class="card flush scroll">
						<Browsers list={browsers} signOut={(token) => void signOut([token])} />
					</section>
				</>
			)}
		</div>
	);
}

function Browsers({ list, signOut }: { list: Token[]; signOut: (token: Token) => void }) {
	return (
		<table class="table">
			<thead>
				<tr>
					<th scope="col">Browser</th><th scope="col" class="hide-phone">Scope</th><th scope="col">Signed in</th>
					<th scope="col" class="hide-phone">Last used</th><th scope="col">Ends in</th><th scope="col"><span class="sr">Actions</span></th>
				</tr>
			</thead>
			<tbody>
				{list.slice(0, BROWSERS_SHOWN).map((token) => (
					<tr key={token.name}>
						<td title={token.name}>{isMine(token) ? <strong>this one</strong> : <code class="soft">{token.name.replace("dashboard-", "")}</code>}</td>
						<td class="hide-phone"><span class="label" title={SCOPES[token.scope]}>{token.scope}</span></td>
						<td class="soft"><Ago time={token.created} /></td>
						<td class="soft hide-phone">{token.last_used ? <Ago time={token.last_used} /> : "never"}</td>
						<td>{token.expires ? <Until to={token.expires} /> : <span class="dim">never</span>}</td>
						<td class="right">{can("token_delete") && <Button kind="quiet" icon="power" title={`Sign ${isMine(token) ? "this browser" : token.name} out`} onClick={() => signOut(token)} />}</td>
					</tr>
				))}
				{list.length > BROWSERS_SHOWN && <tr><td colSpan={6} class="dim">and {list.length - BROWSERS_SHOWN} more, which signed in before</td></tr>}
			</tbody>
		</table>
	);
}

function Add({ done }: { done: () => void }) {
	const [name, setName] = useState("");
	const [scope, setScope] = useState<Scope>("run");
	const [life, setLife] = useState<number | undefined>(LIVES[2]?.[1]);
	const [secret, setSecret] = useState<TokenSecret | null>(null);
	const [wrong, setWrong] = useState("");
	const schema = schemaOf("TokenCreate")?.properties?.["name"];
	const local = name && schema ? problemOf(name, schema) : undefined;
	const body = { name, scope, ...(life ? { ttl_s: life } : {}) };
	if (secret) {
		return (
			<>
				<div class="stack">
					<p class="soft">This is shown once. Keep it where your scripts find it; the server keeps only its hash.</p>
					<Command text={secret.token} what="token" />
					<Command text={`export BANGER_TOKEN=${secret.token}\n${curl(sketch("get", "/vms"), endpoint())}`} what="example" />
				</div>
				<footer><Button kind="primary" label="I have it" onClick={closeDialog} /></footer>
			</>
		);
	}
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				call("post", "/tokens", { body })
					.then((reply) => {
						setSecret(reply);
						done();
					})
					.catch((error: unknown) => setWrong(sentence(error)));
			}}
		>
			<div class="stack">
				<div class="field">
					<label class="name" for="token-name">Name</label>
					<input id="token-name" class="input mono" data-autofocus placeholder="ci" value={name} spellcheck={false} aria-invalid={Boolean(local || wrong)} onInput={(e) => { setWrong(""); setName(e.currentTarget.value); }} />
					{(local || wrong) && <span class="wrong" role="alert">{local || wrong}</span>}
				</div>
				<fieldset class="field">
					<legend class="name">Scope</legend>
					<div class="choice-list">
						{(Object.keys(SCOPES) as Scope[]).map((id) => (
							<label key={id} class={scope === id ? "on" : ""}>
								<input type="radio" name="scope" checked={scope === id} onChange={() => setScope(id)} />
								<span><strong>{id}</strong><br /><span class="soft">{SCOPES[id]}</span></span>
							</label>
						))}
					</div>
				</fieldset>
				<label class="field">
					<span class="name">Ends after</span>
					<select class="select" value={String(life ?? "")} onChange={(e) => setLife(Number(e.currentTarget.value) || undefined)}>
						{LIVES.map(([text, s]) => <option key={text} value={String(s ?? "")}>{text}</option>)}
					</select>
				</label>
				<AsShell recipe={{ label: "New token", request: sketch("post", "/tokens", {}, { ...body, name: name || "ci" }), cli: `banger token create ${quote(name || "ci")} --scope ${scope}${life ? ` --ttl ${life}s` : ""}` }} />
			</div>
			<footer>
				<Button label="Cancel" onClick={closeDialog} />
				<Button type="submit" kind="primary" label="Create" disabled={!name || Boolean(local)} />
			</footer>
		</form>
	);
}
