/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/vmlinux.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "server/image/inflate.h"

/* Offsets of the x86 boot protocol, in bytes from the start of the image. */
enum {
	SETUP_SECTS = 0x1f1,
	SETUP_MAGIC = 0x202, /* "HdrS" */
	SETUP_PROTOCOL = 0x206,
	SETUP_VERSION = 0x20e, /* from 0x200: the version's text */
	PAYLOAD_OFFSET = 0x248,
	PAYLOAD_LENGTH = 0x24c,
	SETUP_MIN = 0x250,
	SECTOR = 512,
	PROTOCOL_MIN = 0x0208,
	PVH_NOTE = 18,
};

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static bool is_elf(const uint8_t *image, size_t len)
{
	Elf64_Ehdr eh;

	if (len < sizeof(eh))
		return false;
	memcpy(&eh, image, sizeof(eh));
	return memcmp(eh.e_ident, ELFMAG, SELFMAG) == 0 && eh.e_ident[EI_CLASS] == ELFCLASS64 &&
	       eh.e_ident[EI_DATA] == ELFDATA2LSB && eh.e_machine == EM_X86_64;
}

enum vmlinux_kind vmlinux_kind(const void *image, size_t len)
{
	const uint8_t *p = image;

	if (is_elf(p, len))
		return VMLINUX_ELF;
	if (len >= SETUP_MIN && memcmp(p + SETUP_MAGIC, "HdrS", 4) == 0 &&
	    get16(p + SETUP_PROTOCOL) >= PROTOCOL_MIN)
		return VMLINUX_BZIMAGE;
	return VMLINUX_UNKNOWN;
}

/*
 * The payload's last four bytes are its size when decompressed. gzip has them there by itself; for
 * every other format they were added, and the decompressor must not see them.
 */
static int find_payload(const struct vmlinux_file *file, struct inflate *ret_payload,
			struct error *err)
{
	const uint8_t *image = file->bytes;
	size_t len = file->len;
	size_t sects = image[SETUP_SECTS] ? image[SETUP_SECTS] : 4;
	uint64_t at = (sects + 1) * SECTOR + (uint64_t)get32(image + PAYLOAD_OFFSET);
	uint64_t size = get32(image + PAYLOAD_LENGTH);
	bool gzip;

	if (size < 8 || at > len || size > len - at)
		return error_set(err, ERR_INVALID,
				 "the kernel's setup header points outside of the file");
	gzip = image[at] == 0x1f && image[at + 1] == 0x8b;
	*ret_payload = (struct inflate){ .fd = file->fd,
					 .at = at,
					 .len = size - (gzip ? 0 : 4),
					 .out_len = get32(image + at + size - 4),
					 .out_max = VMLINUX_ELF_MAX };
	return 0;
}

/* A sink that also keeps the first bytes, to see what came out. */
struct extract {
	int fd;
	uint8_t head[sizeof(Elf64_Ehdr)];
	size_t head_len;
};

static int extract_sink(void *data, const void *bytes, size_t len, struct error *err)
{
	struct extract *x = data;
	size_t room = sizeof(x->head) - x->head_len;
	size_t n = len < room ? len : room;

	memcpy(x->head + x->head_len, bytes, n);
	x->head_len += n;
	return inflate_to_fd(&x->fd, bytes, len, err);
}

int vmlinux_map(int fd, struct vmlinux_file *ret_file, struct error *err)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return error_errno(err, -errno, "stat the kernel");
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return error_set(err, ERR_INVALID, "it is no file, or an empty one");
	if ((uint64_t)st.st_size > VMLINUX_FILE_MAX)
		return error_set(err, ERR_TOO_LARGE, "more than %llu bytes are no kernel",
				 (unsigned long long)VMLINUX_FILE_MAX);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return error_errno(err, -errno, "map the kernel");
	*ret_file = (struct vmlinux_file){ .fd = fd, .bytes = p, .len = (size_t)st.st_size };
	return 0;
}

void vmlinux_unmap(struct vmlinux_file *file)
{
	if (file->bytes)
		(void)munmap((void *)(uintptr_t)file->bytes, file->len);
	*file = VMLINUX_FILE_INIT;
}

int vmlinux_extract(const struct unpacker *u, const struct vmlinux_file *file, int fd,
		    struct error *err)
{
	struct extract x = { .fd = fd };
	struct inflate payload;
	int r;

	switch (vmlinux_kind(file->bytes, file->len)) {
	case VMLINUX_ELF:
		return inflate_to_fd(&x.fd, file->bytes, file->len, err);
	case VMLINUX_BZIMAGE:
		break;
	case VMLINUX_UNKNOWN:
	default:
		return error_set(err, ERR_INVALID, "neither a bzImage nor a 64-bit x86 ELF kernel");
	}
	r = find_payload(file, &payload, err);
	if (r < 0)
		return r;
	r = inflate(u, &payload, extract_sink, &x, err);
	if (r < 0)
		return error_wrap(err, "the kernel's compressed payload");
	if (!is_elf(x.head, x.head_len))
		return error_set(err, ERR_INVALID,
				 "the kernel's payload is not a 64-bit x86 ELF file");
	return 0;
}

/* The banner that a kernel prints first. */
static int elf_version(const uint8_t *image, size_t len, char *ret_version, size_t size,
		       struct error *err)
{
	static const char banner[] = "Linux version ";
	const uint8_t *p = image, *end = image + len;

	while ((p = memmem(p, (size_t)(end - p), banner, sizeof(banner) - 1)) != NULL) {
		size_t n = 0;

		p += sizeof(banner) - 1;
		while (p + n < end && p[n] > ' ' && p[n] < 0x7f && n < size)
			n++;
		/* The format of the same banner is in there too. */
		if (n == 0 || n >= size || p[0] < '0' || p[0] > '9')
			continue;
		memcpy(ret_version, p, n);
		ret_version[n] = '\0';
		return 0;
	}
	return error_set(err, ERR_INVALID, "the ELF file has no kernel's banner in it");
}

int vmlinux_version(const void *image, size_t len, char *ret_version, size_t size,
		    struct error *err)
{
	const uint8_t *p = image;
	size_t at;
	size_t n = 0;

	if (vmlinux_kind(image, len) == VMLINUX_ELF)
		return elf_version(image, len, ret_version, size, err);
	if (vmlinux_kind(image, len) != VMLINUX_BZIMAGE)
		return error_set(err, ERR_INVALID, "neither a bzImage nor an ELF kernel");
	at = (size_t)get16(p + SETUP_VERSION) + 0x200;
	while (at + n < len && p[at + n] > ' ' && p[at + n] < 0x7f && n < size)
		n++;
	if (n == 0 || n >= size)
		return error_set(err, ERR_INVALID, "the kernel's setup header has no version");
	memcpy(ret_version, p + at, n);
	ret_version[n] = '\0';
	return 0;
}

static bool in_file(uint64_t at, uint64_t size, size_t len)
{
	return at <= len && size <= len - at;
}

bool vmlinux_is_whole(const void *elf, size_t len)
{
	const uint8_t *p = elf;
	size_t loaded = 0;
	Elf64_Ehdr eh;

	if (!is_elf(p, len))
		return false;
	memcpy(&eh, p, sizeof(eh));
	if (!in_file(eh.e_phoff, eh.e_phnum * sizeof(Elf64_Phdr), len) ||
	    !in_file(eh.e_shoff, eh.e_shnum * sizeof(Elf64_Shdr), len))
		return false;
	for (size_t i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, p + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (!in_file(ph.p_offset, ph.p_filesz, len))
			return false;
		loaded += ph.p_type == PT_LOAD;
	}
	return loaded > 0;
}

static uint64_t round4(uint64_t v)
{
	return (v + 3) & ~(uint64_t)3;
}

static bool notes_have_pvh(const uint8_t *p, size_t len)
{
	size_t at = 0;

	while (len - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr nh;
		uint64_t size;

		memcpy(&nh, p + at, sizeof(nh));
		size = sizeof(nh) + round4(nh.n_namesz) + round4(nh.n_descsz);
		if (size > len - at)
			return false;
		if (nh.n_type == PVH_NOTE && nh.n_namesz == 4 &&
		    memcmp(p + at + sizeof(nh), "Xen", 4) == 0)
			return true;
		at += (size_t)size;
	}
	return false;
}

bool vmlinux_has_pvh(const void *elf, size_t len)
{
	const uint8_t *p = elf;
	Elf64_Ehdr eh;

	if (!is_elf(p, len))
		return false;
	memcpy(&eh, p, sizeof(eh));
	for (size_t i = 0; i < eh.e_phnum; i++) {
		uint64_t at = eh.e_phoff + i * sizeof(Elf64_Phdr);
		Elf64_Phdr ph;

		if (at > len || len - at < sizeof(ph))
			return false;
		memcpy(&ph, p + at, sizeof(ph));
		if (ph.p_type != PT_NOTE || ph.p_offset > len || ph.p_filesz > len - ph.p_offset)
			continue;
		if (notes_have_pvh(p + ph.p_offset, (size_t)ph.p_filesz))
			return true;
	}
	return false;
}

/* A text of its own in the kernel's data: where a driver is, its name is. */
static bool has_text(const uint8_t *p, size_t len, const char *text)
{
	char framed[64];
	int n = snprintf(framed, sizeof(framed), "%c%s", '\0', text);

	return n > 0 && (size_t)n < sizeof(framed) && memmem(p, len, framed, (size_t)n + 1);
}

char *vmlinux_builtin(const void *elf, size_t len)
{
	static const struct {
		const char *module;
		const char *text;
	} drivers[] = {
		{ "virtio_mmio", "virtio-mmio" },
		{ "virtio_blk", "virtio_blk" },
		{ "virtio_console", "virtio_console" },
		{ "squashfs", "squashfs" },
		{ "overlay", "overlay" },
		{ "ext4", "ext4" },
		{ "virtio_net", "virtio_net" },
		{ "vmw_vsock_virtio_transport", "virtio_vsock" },
		{ "virtio_rng", "virtio_rng" },
		{ "virtio_balloon", "virtio_balloon" },
	};
	enum { LINE_MAX_ = 64 };
	char *text = calloc(ARRAY_SIZE(drivers), LINE_MAX_);
	size_t used = 0;

	for (size_t i = 0; text && i < ARRAY_SIZE(drivers); i++)
		if (has_text(elf, len, drivers[i].text))
			used += (size_t)snprintf(text + used, LINE_MAX_, "kernel/%s.ko\n",
						 drivers[i].module);
	return text;
}
