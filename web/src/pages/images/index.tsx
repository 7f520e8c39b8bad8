// SPDX-License-Identifier: Apache-2.0
/* What VMs are made of: root file systems and kernels, and the work of getting them. */
import { useEffect, useState } from "preact/hooks";
import { call, sketch } from "../../api/client";
import { can, hasField, schemaOf } from "../../api/capabilities";
import { catalog, type CatalogName } from "../../api/catalog";
import { problemOf } from "../../api/validate";
import { sentence } from "../../actions/actions";
import type { Image, ImageCreate, Kernel, KernelCreate, Operation } from "../../api/types";
import { bytes, percent, plural, shortDigest, duration } from "../../lib/format";
import { href } from "../../lib/router";
import { curl, quote } from "../../lib/shell";
import { activeOperations, images, kernels, need, putOperation, refreshImages, refreshKernels, vms } from "../../store/live";
import { now } from "../../store/clock";
import { endpoint } from "../create/example";
import { cancel, taken, title } from "../../shell/dock";
import { PhonePreferences } from "../../shell/nav";
import { Button, Command, Copy, Empty, Loading, Progress } from "../../ui/basics";
import { ask, closeDialog, showDialog } from "../../ui/dialog";
import { Icon } from "../../ui/icon";
import { showJson } from "../../ui/json";
import { Menu } from "../../ui/menu";
import { Parts } from "../../ui/parts";
import { AsShell, showRecipes, type Recipe } from "../../ui/recipes";
import { amount } from "../../ui/progress";
import { Ago } from "../../ui/time";
import { toast } from "../../ui/toast";
import { cleanCache } from "./cache";
import { nameAgain } from "./tag";
import "./images.css";

export default function ImagesPage() {
	useEffect(() => {
		need(images, refreshImages);
		need(kernels, refreshKernels);
	}, []);
	return (
		<div class="page">
			<header class="page-head">
				<h1>Images & kernels</h1>
				<div class="actions">
					<PhonePreferences />
					<Menu
						title="More"
						kind="normal"
						items={() => [
							{ label: "Images as JSON…", icon: "json", run: () => showJson("The list of images", sketch("get", "/images")) },
							{ label: "Kernels as JSON…", icon: "json", run: () => showJson("The list of kernels", sketch("get", "/kernels")) },
							...(can("cache_prune") ? ["line" as const, { label: "Remove downloaded layers…", icon: "trash" as const, run: cleanCache }] : []),
						]}
					/>
					{can("kernel_create") && <Button icon="kernel" label="New kernel" onClick={addKernel} />}
					{can("image_create") && <Button kind="primary" icon="plus" label="New image" onClick={addImage} />}
				</div>
			</header>
			<Work />
			<section class="stack tight">
				<h2>Images</h2>
				{images.value === null ? <Loading what="images" /> : images.value.length ? <Images list={images.value} /> : <NoImages />}
			</section>
			<section class="stack tight">
				<h2>Kernels</h2>
				{kernels.value === null ? <Loading what="kernels" /> : kernels.value.length ? <Kernels list={kernels.value} /> : <NoKernels />}
			</section>
		</div>
	);
}

/* --- work under way --- */

function Work() {
	const list = activeOperations.value.filter((op) => /^(image|kernel)\./.test(op.kind));
	if (list.length === 0) return null;
	return (
		<section class="stack tight" aria-label="Under way">
			{list.map((op) => (
				<WorkCard key={op.id} op={op} />
			))}
		</section>
	);
}

function WorkCard({ op }: { op: Operation }) {
	const part = op.progress?.total ? percent(op.progress.done, op.progress.total) : undefined;
	const ms = taken(op, now.value);
	return (
		<div class="card work">
			<Icon name={op.kind.startsWith("kernel") ? "kernel" : "image"} />
			<div class="grow">
				<div class="row">
					<strong>{title(op)}</strong>
					<span class="soft">{op.stages[op.stages.length - 1]?.name.replace(/_/g, " ") ?? "waiting for its turn"}</span>
					<span class="grow" />
					<span class="soft num">{amount(op)}</span>
					<span class="dim num">{ms !== undefined && duration(ms)}</span>
				</div>
				<Progress value={part} label={title(op)} />
				<Parts op={op} />
			</div>
			{can("operation_cancel") && <Button kind="quiet" icon="close" title={`Cancel ${title(op)}`} onClick={() => void cancel(op)} />}
		</div>
	);
}

/* --- lists --- */

function UsedBy({ ids }: { ids: string[] | undefined }) {
	if (!ids?.length) return <span class="dim">nothing</span>;
	const names = ids.map((id) => vms.value.get(id)?.name ?? id);
	return (
		<span class="clip" title={names.join(", ")}>
			<a href={href(["vms", names[0] ?? ""])}>{names[0]}</a>
			{names.length > 1 && <span class="soft"> and {names.length - 1} more</span>}
		</span>
	);
}

function Images({ list }: { list: Image[] }) {
	/* names of one content share its file */
	const total = [...new Map(list.map((image) => [image.digest, image.size_bytes])).values()].reduce((sum, size) => sum + size, 0);
	const shared = (image: Image): Image[] => list.filter((other) => other !== image && other.digest === image.digest);
	return (
		<div class="card flush scroll">
			<table class="table">
				<thead>
					<tr>
						<th scope="col">Name</th>
						<th scope="col" class="hide-phone">Source</th>
						<th scope="col" class="right">Size</th>
						<th scope="col">Used by</th>
						<th scope="col" class="hide-phone">Digest</th>
						<th scope="col" class="hide-phone">Made</th>
						<th scope="col"><span class="sr">Actions</span></th>
					</tr>
				</thead>
				<tbody>
					{list.map((image) => (
						<tr key={image.name}>
							<td><strong>{image.name}</strong>{image.arch && <span class="dim small"> {image.arch}</span>}</td>
							<td class="soft clip hide-phone">{image.source}</td>
							<td class="right num">{bytes(image.size_bytes)}{shared(image).length > 0 && <span class="dim small" title="Both names are of one file on this host"> shared with {shared(image).map((i) => i.name).join(", ")}</span>}</td>
							<td><UsedBy ids={image.used_by} /></td>
							<td class="hide-phone"><span class="row"><code class="soft" title={image.digest}>{shortDigest(image.digest)}</code><Copy text={image.digest} what="digest" /></span></td>
							<td class="soft hide-phone"><Ago time={image.created} /></td>
							<td class="right">
								<Menu
									title={`Actions for ${image.name}`}
									items={() => [
										...(can("vm_create") ? [{ label: "New VM from it", icon: "plus" as const, href: href(["create"], { image: image.name }) }] : []),
										...(can("image_verify") ? [{ label: "Check against its digest", icon: "check" as const, run: () => void verify(image) }] : []),
										...(can("image_tag") ? [{ label: "Another name…", icon: "tokens" as const, run: () => nameAgain(image) }] : []),
										{ label: "As curl and CLI…", icon: "terminal", run: () => commands(image.name, "image") },
										{ label: "JSON…", icon: "json", run: () => showJson(`“${image.name}”`, sketch("get", "/images/{image}", { image: image.name })) },
										...(can("image_delete")
											? ["line" as const, { label: "Delete", icon: "trash" as const, danger: true, disabled: Boolean(image.used_by?.length), hint: image.used_by?.length ? "is in use" : undefined, run: () => void removeImage(image) }]
											: []),
									]}
								/>
							</td>
						</tr>
					))}
				</tbody>
			</table>
			<p class="foot-note dim">{plural(list.length, "image")}, <span class="num">{bytes(total)}</span> on this host. VMs share an image's pages: ten of one image cost it once.</p>
		</div>
	);
}

function Kernels({ list }: { list: Kernel[] }) {
	return (
		<div class="card flush scroll">
			<table class="table">
				<thead>
					<tr>
						<th scope="col">Name</th>
						<th scope="col">Version</th>
						<th scope="col" class="right hide-phone">Size</th>
						<th scope="col" class="hide-phone">Used by</th>
						<th scope="col" class="hide-phone">Source</th>
						<th scope="col" class="hide-phone">Imported</th>
						<th scope="col"><span class="sr">Actions</span></th>
					</tr>
				</thead>
				<tbody>
					{list.map((kernel) => (
						<tr key={kernel.name}>
							<td><span class="row"><strong class="nowrap">{kernel.name}</strong>{kernel.default && <span class="label">default</span>}</span></td>
							<td><code class="soft">{kernel.version}</code></td>
							<td class="right num hide-phone">{bytes(kernel.size_bytes)}</td>
							<td class="hide-phone"><UsedBy ids={kernel.used_by} /></td>
							<td class="soft clip hide-phone">{kernel.source ?? "–"}</td>
							<td class="soft hide-phone"><Ago time={kernel.created} /></td>
							<td class="right">
								<Menu
									title={`Actions for ${kernel.name}`}
									items={() => [
										{ label: "As curl and CLI…", icon: "terminal", run: () => commands(kernel.name, "kernel") },
										{ label: "JSON…", icon: "json", run: () => showJson(`“${kernel.name}”`, sketch("get", "/kernels/{kernel}", { kernel: kernel.name })) },
										...(can("kernel_delete")
											? ["line" as const, { label: "Delete", icon: "trash" as const, danger: true, disabled: Boolean(kernel.used_by?.length), hint: kernel.used_by?.length ? "is in use" : undefined, run: () => void removeKernel(kernel) }]
											: []),
									]}
								/>
							</td>
						</tr>
					))}
				</tbody>
			</table>
		</div>
	);
}

function NoImages() {
	return (
		<Empty icon="image" title="No image yet" action={can("image_create") && <Button kind="primary" icon="plus" label="Build mini, in seconds" onClick={() => void createImage({ build: "mini" })} />}>
			<p>An image is a read-only root file system that any number of VMs share. From a shell:</p>
			<Command text={curl(sketch("post", "/images", {}, { build: "mini" }), endpoint())} />
		</Empty>
	);
}

function NoKernels() {
	return (
		<Empty icon="kernel" title="No kernel yet" action={can("kernel_create") && <Button kind="primary" icon="plus" label="Import Debian's cloud kernel" onClick={() => void createKernel({ import: "debian-cloud" })} />}>
			<p>VMs start from a kernel of this list. From a shell:</p>
			<Command text={curl(sketch("post", "/kernels", {}, { import: "debian-cloud" }), endpoint())} />
		</Empty>
	);
}

/* --- doing --- */

async function createImage(body: ImageCreate): Promise<void> {
	try {
		const reply = await call("post", "/images", { body });
		if ("stages" in reply) putOperation(reply as Operation);
		else toast({ tone: "ok", title: `Image ${body.name ?? body.pull ?? body.build} is ready` });
		await refreshImages();
	} catch (error) {
		toast({ tone: "bad", title: "The image was not made", body: sentence(error) });
	}
}

async function createKernel(body: KernelCreate): Promise<void> {
	try {
		const reply = await call("post", "/kernels", { body });
		if ("stages" in reply) putOperation(reply as Operation);
		else toast({ tone: "ok", title: `Kernel ${body.name ?? body.import ?? body.build} is ready` });
		await refreshKernels();
	} catch (error) {
		toast({ tone: "bad", title: "There is no new kernel", body: sentence(error) });
	}
}

async function verify(image: Image): Promise<void> {
	try {
		await call("post", "/images/{image}/verify", { params: { image: image.name }, wait: 60 });
		toast({ tone: "ok", title: `${image.name} is what its digest says` });
	} catch (error) {
		toast({ tone: "bad", title: `${image.name} could not be verified`, body: sentence(error) });
	}
}

/** Another name, a VM or a snapshot may need the same file. */
async function freedBy(image: Image): Promise<string> {
	const freed = can("image_size") ? (await call("get", "/images/{image}/size", { params: { image: image.name } }).catch(() => undefined))?.freed_bytes : undefined;
	return freed === 0 ? "Nothing is freed: its file has another name, or a VM or snapshot needs it." : `${bytes(freed ?? image.size_bytes)} are freed.`;
}

async function removeImage(image: Image): Promise<void> {
	if (!(await ask({ title: `Delete image “${image.name}”?`, body: `${await freedBy(image)} It came from ${image.source}; it can be made again from there.`, confirm: "Delete image", danger: true, extra: <AsShell recipe={deleting("image", image.name)} /> }))) return;
	try {
		await call("delete", "/images/{image}", { params: { image: image.name } });
	} catch (error) {
		toast({ tone: "bad", title: `Image ${image.name} was not deleted`, body: sentence(error) });
	}
	await refreshImages().catch(() => undefined);
}

async function removeKernel(kernel: Kernel): Promise<void> {
	if (!(await ask({ title: `Delete kernel “${kernel.name}”?`, body: `${bytes(kernel.size_bytes)} are freed.`, confirm: "Delete kernel", danger: true, extra: <AsShell recipe={deleting("kernel", kernel.name)} /> }))) return;
	try {
		await call("delete", "/kernels/{kernel}", { params: { kernel: kernel.name } });
	} catch (error) {
		toast({ tone: "bad", title: `Kernel ${kernel.name} was not deleted`, body: sentence(error) });
	}
	await refreshKernels().catch(() => undefined);
}

function deleting(what: "image" | "kernel", name: string): Recipe {
	return {
		label: "Delete",
		request: what === "image" ? sketch("delete", "/images/{image}", { image: name }) : sketch("delete", "/kernels/{kernel}", { kernel: name }),
		cli: `banger ${what} delete ${quote(name)}`,
	};
}

function commands(name: string, what: "image" | "kernel"): void {
	showRecipes(`“${name}” from a shell`, [
		{ label: "Show", request: what === "image" ? sketch("get", "/images/{image}", { image: name }) : sketch("get", "/kernels/{kernel}", { kernel: name }), cli: `banger ${what} show ${quote(name)}` },
		...(what === "image" && can("image_verify") ? [{ label: "Check against its digest", request: sketch("post", "/images/{image}/verify", { image: name }), cli: `banger image verify ${quote(name)}` }] : []),
		deleting(what, name),
	]);
}

const BUILDS: Record<string, [string, string]> = {
	mini: ["mini", "Busybox from Debian's package. Ready in seconds, a few MiB."],
	debian: ["debian", "Debian with systemd, ssh and git, from the host's package sources. About a minute."],
};

const PULL = "pull";

function addImage(): void {
	showDialog({ title: "New image", body: <AddImage /> });
}

function AddImage() {
	const builds = schemaOf("ImageCreate")?.properties?.["build"]?.enum ?? Object.keys(BUILDS);
	const [build, setBuild] = useState(builds[0] ?? "mini");
	const [reference, setReference] = useState("");
	const [name, setName] = useState("");
	const [known, setKnown] = useState<CatalogName[]>([]);
	useEffect(() => {
		if (can("catalog_list")) void catalog("image").then(setKnown, () => undefined);
	}, []);
	const pulls = hasField("ImageCreate", "pull");
	const pull = pulls && build === PULL;
	const schema = schemaOf("ImageCreate")?.properties?.["pull"];
	const wrong = pull && reference && schema ? problemOf(reference, schema) : undefined;
	const body = { ...(pull ? { pull: reference || "python:3.12" } : { build }), ...(name ? { name } : {}) } as ImageCreate;
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				closeDialog();
				void createImage(body);
			}}
		>
			<div class="stack">
				<fieldset class="field">
					<legend class="name">From</legend>
					<div class="choice-list">
						{builds.map((id) => (
							<label key={id} class={build === id ? "on" : ""}>
								<input type="radio" name="build" checked={build === id} onChange={() => setBuild(id)} />
								<span><strong>{BUILDS[id]?.[0] ?? id}</strong><br /><span class="soft">{BUILDS[id]?.[1]}</span></span>
							</label>
						))}
						{pulls && (
							<label class={pull ? "on" : ""}>
								<input type="radio" name="build" checked={pull} onChange={() => setBuild(PULL)} />
								<span><strong>From a registry</strong><br /><span class="soft">An OCI or Docker image, as it is: its layers become one read-only root.</span></span>
							</label>
						)}
					</div>
				</fieldset>
				{pull && (
					<div class="field">
						<label class="name" for="image-reference">Image</label>
						<input id="image-reference" class="input mono" list="image-references" placeholder="python:3.12" value={reference} spellcheck={false} autocomplete="off" aria-invalid={Boolean(wrong)} onInput={(e) => setReference(e.currentTarget.value)} />
						<datalist id="image-references">{known.filter((entry) => entry.source.includes("/")).map((entry) => <option key={entry.name} value={entry.source} />)}</datalist>
						{wrong ? <span class="wrong" role="alert">{wrong}</span> : <span class="help">A name without a host is Docker Hub's. Credentials are those of the server owner's <code>~/.docker/config.json</code>.</span>}
					</div>
				)}
				<label class="field">
					<span class="name">Name</span>
					<input class="input mono" placeholder={pull ? reference || "python:3.12" : build} value={name} onInput={(e) => setName(e.currentTarget.value)} spellcheck={false} />
				</label>
				<Command text={curl(sketch("post", "/images", {}, body), endpoint())} />
				<Command text={`banger image ${pull ? `pull ${quote(reference || "python:3.12")}` : `build ${quote(build)}`}${name ? ` --name ${quote(name)}` : ""}`} />
			</div>
			<footer>
				<Button label="Cancel" onClick={closeDialog} />
				<Button type="submit" kind="primary" label={pull ? "Pull" : "Build"} disabled={pull && (!reference || Boolean(wrong))} />
			</footer>
		</form>
	);
}

const KERNELS: Record<string, string> = {
	"debian-cloud": "Debian's kernel for clouds, from the host's package sources; nothing is installed.",
	debian: "Debian's kernel for all machines, with all its modules.",
	microvm: "Debian's kernel sources with a small configuration: boots fastest. Minutes of all processors, at the lowest priority.",
};
const IMPORTS = ["debian-cloud", "debian"];

interface KernelSource {
	id: string;
	body: KernelCreate;
	cli: string;
}

function kernelSources(): KernelSource[] {
	const builds = schemaOf("KernelCreate")?.properties?.["build"]?.enum ?? [];
	return [
		...IMPORTS.map((id) => ({ id, body: { import: id } as KernelCreate, cli: `banger kernel import ${quote(id)}` })),
		...builds.map((id) => ({ id, body: { build: id } as KernelCreate, cli: `banger kernel build ${quote(id)}` })),
	];
}

function addKernel(): void {
	showDialog({ title: "New kernel", body: <AddKernel /> });
}

function AddKernel() {
	const sources = kernelSources();
	const [id, setId] = useState(sources[0]?.id ?? "");
	const source = sources.find((one) => one.id === id);
	if (!source) return null;
	const build = "build" in source.body;
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				closeDialog();
				void createKernel(source.body);
			}}
		>
			<div class="stack">
				<fieldset class="field">
					<legend class="name">From</legend>
					<div class="choice-list">
						{sources.map((one) => (
							<label key={one.id} class={id === one.id ? "on" : ""}>
								<input type="radio" name="source" checked={id === one.id} onChange={() => setId(one.id)} />
								<span><strong>{"build" in one.body ? `Build ${one.id}` : one.id}</strong><br /><span class="soft">{KERNELS[one.id] ?? ""}</span></span>
							</label>
						))}
					</div>
				</fieldset>
				<Command text={curl(sketch("post", "/kernels", {}, source.body), endpoint())} />
				<Command text={source.cli} />
			</div>
			<footer>
				<Button label="Cancel" onClick={closeDialog} />
				<Button type="submit" kind="primary" label={build ? "Build" : "Import"} />
			</footer>
		</form>
	);
}
