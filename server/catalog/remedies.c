/* SPDX-License-Identifier: Apache-2.0 */
#include "server/catalog/remedies.h"

#define LOG_IN                                                                               \
	"Log in with docker login as the owner of the server, then do it again. Registries " \
	"answer so for names that do not exist, too."
#define AGAIN                                                                                   \
	"Check the name, the network and the proxy of the server's machine, then do it again: " \
	"what has come is kept."
#define SLOW                                                                                 \
	"Do it again: what has come is kept. images.stall_s of banger.conf says how long a " \
	"slow registry is waited for."
#define ROOM                                                                                    \
	"Free some with banger cache prune and banger image delete, or move the server's home " \
	"to a larger disk (BANGER_HOME); then do it again."
#define ASK_LESS                                                                                \
	"Wait a while, or log in with docker login as the owner of the server: registries let " \
	"those that they know ask more often."
#define TOOLS "Install what the detail names on the server's machine, then do it again."

static const char *const remedies[REMEDY_SUBJECT_MAX_][ERROR_CODE_MAX_] = {
	[REMEDY_PULL] = {
		[ERR_UNAUTHENTICATED] = LOG_IN,
		[ERR_FORBIDDEN] = LOG_IN,
		[ERR_NOT_FOUND] =
			"Look for the name and its tags at the registry; banger catalog list "
			"has names that are known.",
		[ERR_INVALID] =
			"Take another tag, or tell who makes the image: the detail says what "
			"is wrong with it.",
		[ERR_TOO_LARGE] =
			"Take a smaller image: all its layers together may unpack to 64 GiB "
			"and a million names.",
		[ERR_RATE] = ASK_LESS,
		[ERR_NO_ROOM] = ROOM,
		[ERR_UNSUPPORTED] = TOOLS,
		[ERR_UPSTREAM] = AGAIN,
		[ERR_TIMEOUT] = SLOW,
	},
	[REMEDY_IMPORT] = {
		[ERR_INVALID] =
			"Bring a root file system as tar, squashfs or folder, an OCI image "
			"layout, or what docker save writes; the path is one of the server's "
			"machine.",
		[ERR_TOO_LARGE] =
			"Bring a smaller one: all its layers together may unpack to 64 GiB and "
			"a million names.",
		[ERR_NO_ROOM] = ROOM,
		[ERR_UNSUPPORTED] = TOOLS,
	},
	[REMEDY_IMAGE_BUILD] = {
		[ERR_INVALID] =
			"Run apt-get update on the server's machine, then do it again.",
		[ERR_NO_ROOM] = ROOM,
		[ERR_UNSUPPORTED] = TOOLS,
		[ERR_UPSTREAM] =
			"Check the apt sources and the network of the server's machine, then "
			"do it again.",
	},
	[REMEDY_KERNEL] = {
		[ERR_UNAUTHENTICATED] = LOG_IN,
		[ERR_FORBIDDEN] = LOG_IN,
		[ERR_NOT_FOUND] =
			"Look for the file at its registry or address; banger catalog list has "
			"names that are known.",
		[ERR_INVALID] =
			"Bring an ELF vmlinux, a bzImage or a Debian package that has what the "
			"detail misses; banger kernel import debian-cloud brings one that has "
			"it all.",
		[ERR_TOO_LARGE] =
			"Bring the kernel alone, with no more than its modules: no kernel is "
			"as large as this.",
		[ERR_RATE] = ASK_LESS,
		[ERR_NO_ROOM] = ROOM,
		[ERR_UNSUPPORTED] = TOOLS,
		[ERR_UPSTREAM] = AGAIN,
		[ERR_TIMEOUT] = SLOW,
	},
	[REMEDY_KERNEL_BUILD] = {
		[ERR_INTERNAL] =
			"Look into the log that the detail names, then build again: it goes on "
			"where it was.",
		[ERR_INVALID] =
			"Run apt-get update on the server's machine, then build again.",
		[ERR_NO_ROOM] =
			"Free some on the disk of the server's cache, or move that "
			"(XDG_CACHE_HOME, BANGER_HOME); then build again: it goes on where it "
			"was.",
		[ERR_UNSUPPORTED] =
			"Do what the detail says on the server's machine, then build again: it "
			"goes on where it was.",
		[ERR_UPSTREAM] =
			"Check the apt sources and the network of the server's machine, then "
			"build again.",
		[ERR_TIMEOUT] = "Build again: it goes on where it was.",
		[ERR_CANCELLED] = "Build again if it is still wanted: it goes on where it was.",
	},
};

int remedies_advise(enum remedy_subject subject, struct error *err)
{
	return remedies[subject][err->code] ? error_advise(err, remedies[subject][err->code])
					    : error_to_errno(err);
}
