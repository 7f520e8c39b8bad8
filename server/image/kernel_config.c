/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/kernel_config.h"

#include <stdio.h>
#include <string.h>

/* The assembler reads the file; a NUL follows the bytes. */
__asm__(".pushsection .rodata\n"
	".global kernel_config_begin\nkernel_config_begin:\n"
	".incbin \"" KERNEL_CONFIG "\"\n"
	".global kernel_config_end\nkernel_config_end:\n"
	".byte 0\n"
	".popsection\n");
extern const char kernel_config_begin[];
extern const char kernel_config_end[];

const char *kernel_config_text(void)
{
	return kernel_config_begin;
}

size_t kernel_config_size(void)
{
	return (size_t)(kernel_config_end - kernel_config_begin);
}

static const struct {
	const char *symbol;
	const char *why;
} needs[] = {
	{ "CONFIG_64BIT", "64-bit guests" },
	{ "CONFIG_PVH", "started as an ELF file" },
	{ "CONFIG_BLK_DEV_INITRD", "starts the agent" },
	{ "CONFIG_DEVTMPFS", "device nodes" },
	{ "CONFIG_VIRTIO_MMIO", "finds the virtual devices" },
	{ "CONFIG_VIRTIO_BLK", "disks" },
	{ "CONFIG_VIRTIO_CONSOLE", "link to the server" },
	{ "CONFIG_VIRTIO_NET", "network" },
	{ "CONFIG_SQUASHFS", "reads images" },
	{ "CONFIG_SQUASHFS_LZ4", "reads images" },
	{ "CONFIG_OVERLAY_FS", "makes images writable" },
	{ "CONFIG_EXT4_FS", "work disks" },
	{ "CONFIG_TMPFS", "/run and /tmp" },
	{ "CONFIG_UNIX98_PTYS", "terminals" },
};

/* "CONFIG_X=y" or "=m" at the start of a line. */
static bool config_has(const char *config, const char *symbol)
{
	size_t len = strlen(symbol);

	for (const char *at = strstr(config, symbol); at; at = strstr(at + len, symbol))
		if ((at == config || at[-1] == '\n') && at[len] == '=' &&
		    (at[len + 1] == 'y' || at[len + 1] == 'm'))
			return true;
	return false;
}

int kernel_config_check(const char *config, struct error *err)
{
	char missing[400] = "";
	size_t used = 0;

	for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
		if (!config_has(config, needs[i].symbol) && used < sizeof(missing))
			used += (size_t)snprintf(missing + used, sizeof(missing) - used,
						 "%s%s (%s)", used ? ", " : "", needs[i].symbol,
						 needs[i].why);
	return used ? error_set(err, ERR_INVALID, "the kernel lacks %s", missing) : 0;
}
