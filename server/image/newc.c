/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/newc.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "lib/base/fs.h"

/* Magic and 13 numbers of eight hexadecimal digits. */
enum { HEADER = 6 + 13 * 8, ALIGN = 4 };

static int pad(const struct newc *ar, size_t len)
{
	static const char zeros[ALIGN];

	return write_all(ar->fd, zeros, (ALIGN - len % ALIGN) % ALIGN);
}

static int put(struct newc *ar, const char *name, uint32_t inode, mode_t mode, dev_t device,
	       const void *data, size_t len)
{
	char header[HEADER + 1];
	size_t name_size = strlen(name) + 1;
	int r;

	if (len > UINT32_MAX || name_size > UINT16_MAX)
		return -EFBIG;
	/* inode, mode, owner, group, links, time, size, its device, device, name's size, sum */
	(void)snprintf(header, sizeof(header),
		       "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", inode,
		       (unsigned int)mode, 0U, 0U, 1U, 0U, (unsigned int)len, 0U, 0U, major(device),
		       minor(device), (unsigned int)name_size, 0U);
	r = write_all(ar->fd, header, HEADER);
	if (r == 0)
		r = write_all(ar->fd, name, name_size);
	if (r == 0)
		r = pad(ar, HEADER + name_size);
	if (r == 0)
		r = write_all(ar->fd, data, len);
	return r < 0 ? r : pad(ar, len);
}

int newc_put(struct newc *ar, const char *name, mode_t mode, dev_t device, const void *data,
	     size_t len)
{
	return put(ar, name, ++ar->inode, mode, device, data, len);
}

int newc_end(struct newc *ar)
{
	return put(ar, NEWC_END, 0, 0, 0, NULL, 0);
}
