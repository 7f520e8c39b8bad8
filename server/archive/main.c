/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banger-archive: the folder of a snapshot, given as descriptor 3, as a tar stream ("pack", to
 * standard output) or from one ("unpack", from standard input). Started by the server for one
 * stream and confined to that folder: an archive comes from anywhere, and a client may take hours
 * over it. With "root" it packs the root file system whose folder is its standard input, with
 * owners and attributes. What went wrong is one line on standard error.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/tar/tar.h"

enum { FOLDER_FD = 3 };

/* The manifest first, so that whoever reads the stream knows what comes. */
static const char names[] = "manifest.json\0state\0memory\0work.ext4";

int main(int argc, char **argv)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	const struct rlimit none = { 0, 0 };
	struct error err = ERROR_INIT;
	int r;

	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)setrlimit(RLIMIT_CORE, &none);
	if (argc == 2 && streq(argv[1], "pack")) {
		r = tar_write_names(STDOUT_FILENO, FOLDER_FD, names, sizeof(names), TAR_DROP_OWNER,
				    &err);
	} else if (argc == 2 && streq(argv[1], "unpack")) {
		r = tar_read(STDIN_FILENO, FOLDER_FD, TAR_DROP_OWNER, &err);
	} else if (argc == 2 && streq(argv[1], "root")) {
		r = tar_write_root(STDOUT_FILENO, STDIN_FILENO, &err);
	} else {
		(void)fputs("banger-archive is started by banger-server\n", stderr);
		return 2;
	}
	if (r < 0)
		(void)fprintf(stderr, "%s\n", err.msg);
	/* Past the exit handlers: LeakSanitizer's traces us, which the confinement forbids. */
	_exit(r < 0 ? 1 : 0);
}
