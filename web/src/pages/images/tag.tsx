// SPDX-License-Identifier: Apache-2.0
/* Another name for an image. */
import { useState } from "preact/hooks";
import { call, sketch } from "../../api/client";
import { schemaOf } from "../../api/capabilities";
import { problemOf } from "../../api/validate";
import { sentence } from "../../actions/actions";
import type { Image } from "../../api/types";
import { curl, quote } from "../../lib/shell";
import { images, refreshImages } from "../../store/live";
import { Button, Command } from "../../ui/basics";
import { closeDialog, showDialog } from "../../ui/dialog";
import { toast } from "../../ui/toast";
import { endpoint } from "../create/example";

export function nameAgain(image: Image): void {
	showDialog({ title: `Another name for “${image.name}”`, body: <Tag image={image} /> });
}

function Tag({ image }: { image: Image }) {
	const [name, setName] = useState("");
	const schema = schemaOf("ImageTag")?.properties?.["name"];
	const wrong = name && schema ? problemOf(name, schema) : undefined;
	const owner = images.value?.find((other) => other.name === name && other !== image);
	const body = { name: name || "py" };
	const give = async (): Promise<void> => {
		closeDialog();
		try {
			await call("post", "/images/{image}/tag", { params: { image: image.name }, body });
		} catch (error) {
			toast({ tone: "bad", title: `${image.name} was not named ${name}`, body: sentence(error) });
		}
		await refreshImages().catch(() => undefined);
	};
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				void give();
			}}
		>
			<div class="stack">
				<div class="field">
					<label class="name" for="image-name">Name</label>
					<input id="image-name" class="input mono" data-autofocus placeholder="py" value={name} spellcheck={false} autocomplete="off" aria-invalid={Boolean(wrong)} onInput={(e) => setName(e.currentTarget.value)} />
					{wrong ? <span class="wrong" role="alert">{wrong}</span> : <span class="help">{owner ? `“${name}” is an image already: the name goes over to this one. VMs keep what they were made of.` : "Both names are of one file on this host."}</span>}
				</div>
				<Command text={curl(sketch("post", "/images/{image}/tag", { image: image.name }, body), endpoint())} />
				<Command text={`banger image tag ${quote(image.name)} ${quote(body.name)}`} />
			</div>
			<footer>
				<Button label="Cancel" onClick={closeDialog} />
				<Button type="submit" kind="primary" label="Give it this name" disabled={!name || Boolean(wrong)} />
			</footer>
		</form>
	);
}
