/* SPDX-License-Identifier: Apache-2.0 */
#include "server/image/package.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"

#define PACKAGE_FILE "package.deb"

int package_fetch(const struct apt_package *package, const char *parent, struct op *op,
		  struct staging *ret_staging, int *ret_fd, char source[512], struct error *err)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	autofree char *path = NULL;
	int fd, r;

	r = staging_open(parent, &staging, err);
	if (r < 0)
		return r;
	path = staging_path(&staging, PACKAGE_FILE);
	if (!path)
		return error_errno(err, -ENOMEM, "download %s", package->name);
	op_stage(op, "download");
	r = apt_download(package, path, op, err);
	if (r < 0)
		return r;
	fd = open_regular_beneath(staging.fd, PACKAGE_FILE, O_RDONLY, 0);
	if (fd < 0)
		return error_errno(err, fd, "open %s", path);
	(void)unlinkat(staging.fd, PACKAGE_FILE, 0);
	(void)snprintf(source, 512, "%s %s from the host's apt sources", package->name,
		       package->version);
	*ret_staging = staging;
	*ret_fd = fd;
	staging = STAGING_INIT;
	return 0;
}
