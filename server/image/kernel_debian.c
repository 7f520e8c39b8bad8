/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels imported from Debian's packages through the host's apt. */
#include <stdio.h>

#include "lib/base/cleanup.h"
#include "server/image/image.h"
#include "server/image/kernel_package.h"
#include "server/image/package.h"

static int import(const struct image_paths *paths, const char *kernel, const char *meta,
		  struct op *op, struct kernel_info *ret_info, struct error *err)
{
	struct staging staging CLEANUP(staging_done) = STAGING_INIT;
	struct kernel_info info = { .cmdline = KERNEL_PACKAGE_CMDLINE };
	struct apt_package package;
	autoclose int deb = -1;
	char name[128];
	int r;

	(void)snprintf(info.name, sizeof(info.name), "%s", kernel);
	op_stage(op, "resolve");
	r = apt_dependency(meta, "linux-image-", name, sizeof(name), op, err);
	if (r == 0)
		r = apt_resolve(name, &package, op, err);
	if (r == 0)
		r = package_fetch(&package, paths->kernels, op, &staging, &deb, info.source, err);
	if (r < 0)
		return r;

	op_stage(op, "unpack");
	made_from_set(&info.from, "package", kernel, NULL);
	r = kernel_from_package(paths, &staging, deb, op, &info, err);
	if (r < 0)
		return error_wrap(err, "import %s", package.name);
	*ret_info = info;
	return 0;
}

int kernel_import_debian_cloud(const struct image_paths *paths, struct op *op,
			       struct kernel_info *ret_info, struct error *err)
{
	return import(paths, "debian-cloud", "linux-image-cloud-amd64", op, ret_info, err);
}

int kernel_import_debian(const struct image_paths *paths, struct op *op,
			 struct kernel_info *ret_info, struct error *err)
{
	return import(paths, "debian", "linux-image-amd64", op, ret_info, err);
}
