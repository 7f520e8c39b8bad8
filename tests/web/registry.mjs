// SPDX-License-Identifier: Apache-2.0
/* An image registry on loopback with one image: busybox as its only layer. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { gunzipSync } from "node:zlib";

const sha256 = (data) => `sha256:${createHash("sha256").update(data).digest("hex")}`;
const ARCH = process.arch === "arm64" ? "arm64" : "amd64";

function busyboxLayer() {
	const folder = mkdtempSync(`${tmpdir()}/bgr-`);
	mkdirSync(`${folder}/bin`);
	copyFileSync("/bin/busybox", `${folder}/bin/busybox`);
	for (const name of ["sh", "cat", "echo", "ls"]) symlinkSync("busybox", `${folder}/bin/${name}`);
	const layer = execFileSync("tar", ["-C", folder, "--owner=0", "--group=0", "--numeric-owner", "-czf", "-", "bin"], { maxBuffer: 1 << 26 });
	rmSync(folder, { recursive: true });
	return layer;
}

/** Serves `name`:`tag`; the reference to pull, and how to end it. */
export async function startRegistry(name, tag) {
	const blobs = new Map();
	const blob = (data) => (blobs.set(sha256(data), data), { digest: sha256(data), size: data.length });
	const layer = busyboxLayer();
	const config = Buffer.from(JSON.stringify({ architecture: ARCH, os: "linux", config: { Cmd: ["sh"] }, rootfs: { type: "layers", diff_ids: [sha256(gunzipSync(layer))] } }));
	const manifest = Buffer.from(JSON.stringify({
		schemaVersion: 2,
		mediaType: "application/vnd.oci.image.manifest.v1+json",
		config: { mediaType: "application/vnd.oci.image.config.v1+json", ...blob(config) },
		layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...blob(layer) }],
	}));
	const server = createServer((req, res) => {
		const [, kind, what] = /\/(manifests|blobs)\/([^/?]+)/.exec(req.url) ?? [];
		const data = kind === "manifests" && [tag, sha256(manifest)].includes(what) ? manifest : kind === "blobs" ? blobs.get(what) : req.url === "/v2/" ? Buffer.from("{}") : undefined;
		if (!data) return res.writeHead(404).end();
		res.writeHead(200, { "Content-Type": kind === "manifests" ? "application/vnd.oci.image.manifest.v1+json" : "application/octet-stream", "Content-Length": data.length, "Docker-Content-Digest": sha256(data) });
		return res.end(req.method === "HEAD" ? undefined : data);
	});
	await new Promise((done) => server.listen(0, "127.0.0.1", done));
	return { reference: `127.0.0.1:${server.address().port}/${name}:${tag}`, stop: () => server.close() };
}
