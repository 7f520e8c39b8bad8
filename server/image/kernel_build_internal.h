/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the kernel's build share: its folder and what lies there. */
#pragma once

#include "lib/digest/digest.h"
#include "server/image/apt.h"
#include "server/image/image.h"
#include "server/image/kernel_build.h"

/* Names in the folder. */
#define BUILD_PACKAGE    "package.deb"
#define BUILD_SOURCE     "source"
/* Marks of steps that are done. */
#define BUILD_UNPACKED   "unpacked"
#define BUILD_CONFIGURED "configured"

enum { BUILD_SMALL_TIMEOUT_S = 1800 };

struct build {
	const struct image_paths *paths;
	struct op *op;
	struct apt_package package;
	struct digest key;
	char *folder; /* absolute */
	int dir;
	int lock;
};

/* What the programs of a build are told of the world: the same bytes whoever builds, and when. */
extern const char *const build_env[];

bool build_marked(const struct build *b, const char *mark);
int build_set_mark(struct build *b, const char *mark, struct error *err) MUST_USE;
/* Absolute path of a file in the folder; the caller frees. */
char *build_path(const struct build *b, const char *name) MUST_USE;

/* Stages "download" and "unpack": the package's sources in BUILD_SOURCE. */
int build_sources(struct build *b, struct error *err) MUST_USE;
/* Stage "configure": our configuration, held against what make(1) has made of it. */
int build_configure(struct build *b, struct error *err) MUST_USE;
/* Stages "plan" and "compile": BUILD_SOURCE/vmlinux. */
int build_compile(struct build *b, struct error *err) MUST_USE;
