/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels as files: the ELF vmlinux inside a bzImage, and what an ELF kernel says about itself.
 * Booting the ELF file saves the guest its own decompression, which is dear under emulation.
 */
#pragma once

#include <stddef.h>

#include "lib/base/error.h"
#include "server/image/unpacker.h"

/* Bytes of a kernel's file, as it comes and decompressed. */
#define VMLINUX_FILE_MAX (1ULL << 30)
#define VMLINUX_ELF_MAX  (512ULL << 20)

enum vmlinux_kind {
	VMLINUX_UNKNOWN,
	VMLINUX_ELF,     /* 64-bit x86 ELF executable */
	VMLINUX_BZIMAGE, /* has a setup header with a compressed payload */
};

enum vmlinux_kind vmlinux_kind(const void *image, size_t len);

/* A kernel's file, mapped. */
struct vmlinux_file {
	int fd; /* borrowed */
	const void *bytes;
	size_t len;
};
#define VMLINUX_FILE_INIT ((struct vmlinux_file){ .fd = -1 })

/* Maps a regular file; ERR_INVALID: it is none, or empty, ERR_TOO_LARGE: more than a kernel has. */
int vmlinux_map(int fd, struct vmlinux_file *ret_file, struct error *err) MUST_USE;
void vmlinux_unmap(struct vmlinux_file *file);

/* Writes the ELF kernel inside the file (a bzImage, or ELF already) to `fd`. `u` was started with
 * UNPACK_FILES. */
int vmlinux_extract(const struct unpacker *u, const struct vmlinux_file *file, int fd,
		    struct error *err) MUST_USE;

/* "6.1.0-41-cloud-amd64" from a bzImage's setup header, or from the banner in an ELF kernel. */
int vmlinux_version(const void *image, size_t len, char *ret_version, size_t size,
		    struct error *err) MUST_USE;

/* True when the file has all that the ELF kernel's headers speak of. */
bool vmlinux_is_whole(const void *elf, size_t len);

/* True when the ELF kernel carries the note that PVH boot needs. */
bool vmlinux_has_pvh(const void *elf, size_t len);

/*
 * The drivers that are built into the ELF kernel, of those that a guest asks for: a line
 * "kernel/<name>.ko" each, as in a package's modules.builtin. They are found by their names in it.
 * The caller frees; NULL: out of memory.
 */
char *vmlinux_builtin(const void *elf, size_t len) MUST_USE;
