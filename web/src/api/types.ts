// SPDX-License-Identifier: Apache-2.0
/* Names for what the OpenAPI document describes. The shapes themselves are generated from it. */
import type { components, operations, paths } from "./schema";

type Schemas = components["schemas"];

export type Vm = Schemas["Vm"];
export type VmState = Schemas["VmState"];
export type VmCreate = Schemas["VmCreate"];
export type ImageCreate = Schemas["ImageCreate"];
export type KernelCreate = Schemas["KernelCreate"];
export type Image = Schemas["Image"];
export type Kernel = Schemas["Kernel"];
export type Operation = Schemas["Operation"];
export type Stage = Schemas["Stage"];
export type ApiEvent = Schemas["Event"];
export type Doctor = Schemas["Doctor"];
export type Check = Doctor["checks"][number];
export type CheckStatus = Schemas["CheckStatus"];
export type Token = Schemas["Token"];
export type TokenSecret = Schemas["TokenSecret"];
export type Run = Schemas["Run"];
export type RunState = Schemas["RunState"];
export type RunCreate = Schemas["RunCreate"];
export type RunLine = Schemas["RunLine"];
export type Scope = Schemas["Scope"];
export type Session = Schemas["Session"];
export type Snapshot = Schemas["Snapshot"];
export type Template = Schemas["Template"];
export type VmActionBody = Schemas["VmAction"];
export type VmUpdate = Schemas["VmUpdate"];
export type Diagnosis = Schemas["Diagnosis"];
export type Hold = Schemas["Hold"];
export type Problem = Schemas["Problem"];
export type Exec = Schemas["ExecRecord"];
export type ExecCreate = Schemas["ExecCreate"];
export type ExecFrame = Schemas["ExecFrame"];

export type StatsSample = Schemas["StatsSample"];
export type VmStats = Schemas["VmStats"];
/** What a guest says of itself. */
export type GuestStats = Schemas["GuestStats"];
export type Workspace = Schemas["Workspace"];
/** What a VM uses now. */
export type Usage = Schemas["StatsList"]["items"][number];
export type Port = Schemas["Port"];
export type Forward = Schemas["Forward"];
export type Host = Schemas["Host"];

export type OperationId = keyof operations;
export type Path = keyof paths;
export type Method = "get" | "post" | "put" | "patch" | "delete";
export type MethodsOf<P extends Path> = {
	[M in Method]: paths[P][M] extends undefined ? never : M;
}[Method];

type Json<T> = T extends { content: { "application/json": infer B } } ? B : never;
type Responses<T> = T extends { responses: infer R } ? R : never;
/** The JSON of every successful reply of an operation. */
export type Reply<P extends Path, M extends Method> = {
	[S in keyof Responses<paths[P][M]>]: S extends 200 | 201 | 202 ? Json<Responses<paths[P][M]>[S]> : never;
}[keyof Responses<paths[P][M]>];
export type Body<P extends Path, M extends Method> = paths[P][M] extends { requestBody?: infer B }
	? Json<NonNullable<B>>
	: never;
