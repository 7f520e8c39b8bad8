/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels as files: the ELF vmlinux inside a bzImage, and what an ELF kernel says about itself.
 * Booting the ELF file saves the guest its own decompression, which is dear under emulation.
 */
#pragma once

#include "lib/base/error.h"

enum vmlinux_kind {
	VMLINUX_UNKNOWN,
	VMLINUX_ELF,     /* 64-bit x86 ELF executable */
	VMLINUX_BZIMAGE, /* has a setup header with a compressed payload */
};

enum vmlinux_kind vmlinux_kind(const void *image, size_t len);

/* Writes the ELF kernel inside `image` (a bzImage, or ELF already) to `fd`. */
int vmlinux_extract(const void *image, size_t len, int fd, struct error *err) MUST_USE;

/* "6.1.0-41-cloud-amd64" from a bzImage's setup header, or from the banner in an ELF kernel. */
int vmlinux_version(const void *image, size_t len, char *ret_version, size_t size,
		    struct error *err) MUST_USE;

/* True when the ELF kernel carries the note that PVH boot needs. */
bool vmlinux_has_pvh(const void *elf, size_t len);

/*
 * The drivers that are built into the ELF kernel, of those that a guest asks for: a line
 * "kernel/<name>.ko" each, as in a package's modules.builtin. They are found by their names in it.
 * The caller frees; NULL: out of memory.
 */
char *vmlinux_builtin(const void *elf, size_t len) MUST_USE;
