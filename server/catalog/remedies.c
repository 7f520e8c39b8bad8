/* SPDX-License-Identifier: Apache-2.0 */
#include "server/catalog/remedies.h"

#include <stddef.h>

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
#define OTHER_MACHINE                                                                     \
	"Take one that is made for this machine, or install the program that the detail " \
	"names."
#define TOOLS "Install what the detail names on the server's machine, then do it again."

static const struct {
	enum remedy_subject subject;
	enum error_code code;
	const char *remedy;
} remedies[] = {
	{ REMEDY_PULL, ERR_UNAUTHENTICATED, LOG_IN },
	{ REMEDY_PULL, ERR_FORBIDDEN, LOG_IN },
	{ REMEDY_PULL, ERR_NOT_FOUND,
	  "Look for the name and its tags at the registry; banger catalog list "
	  "has names that are known." },
	{ REMEDY_PULL, ERR_INVALID,
	  "Take another tag, or tell who makes the image: the detail says what "
	  "is wrong with it." },
	{ REMEDY_PULL, ERR_TOO_LARGE,
	  "Take a smaller image: all its layers together may unpack to 64 GiB "
	  "and a million names." },
	{ REMEDY_PULL, ERR_RATE, ASK_LESS },
	{ REMEDY_PULL, ERR_NO_ROOM, ROOM },
	{ REMEDY_PULL, ERR_UNSUPPORTED, OTHER_MACHINE },
	{ REMEDY_PULL, ERR_UPSTREAM, AGAIN },
	{ REMEDY_PULL, ERR_TIMEOUT, SLOW },
	{ REMEDY_IMPORT, ERR_INVALID,
	  "Bring a root file system as tar, squashfs or folder, an OCI image "
	  "layout, or what docker save writes; the path is one of the server's "
	  "machine." },
	{ REMEDY_IMPORT, ERR_TOO_LARGE,
	  "Bring a smaller one: all its layers together may unpack to 64 GiB and "
	  "a million names." },
	{ REMEDY_IMPORT, ERR_NO_ROOM, ROOM },
	{ REMEDY_IMPORT, ERR_UNSUPPORTED, OTHER_MACHINE },
	{ REMEDY_IMAGE_BUILD, ERR_INVALID,
	  "Run apt-get update on the server's machine, then do it again." },
	{ REMEDY_IMAGE_BUILD, ERR_NO_ROOM, ROOM },
	{ REMEDY_IMAGE_BUILD, ERR_UNSUPPORTED, TOOLS },
	{ REMEDY_IMAGE_BUILD, ERR_UPSTREAM,
	  "Check the apt sources and the network of the server's machine, then "
	  "do it again." },
	{ REMEDY_KERNEL, ERR_UNAUTHENTICATED, LOG_IN },
	{ REMEDY_KERNEL, ERR_FORBIDDEN, LOG_IN },
	{ REMEDY_KERNEL, ERR_NOT_FOUND,
	  "Look for the file at its registry or address; banger catalog list has "
	  "names that are known." },
	{ REMEDY_KERNEL, ERR_INVALID,
	  "Bring an ELF vmlinux, a bzImage or a Debian package that has what the "
	  "detail misses; banger kernel import debian-cloud brings one that has "
	  "it all." },
	{ REMEDY_KERNEL, ERR_TOO_LARGE,
	  "Bring the kernel alone, with no more than its modules: no kernel is "
	  "as large as this." },
	{ REMEDY_KERNEL, ERR_RATE, ASK_LESS },
	{ REMEDY_KERNEL, ERR_NO_ROOM, ROOM },
	{ REMEDY_KERNEL, ERR_UNSUPPORTED, TOOLS },
	{ REMEDY_KERNEL, ERR_UPSTREAM, AGAIN },
	{ REMEDY_KERNEL, ERR_TIMEOUT, SLOW },
	{ REMEDY_KERNEL_BUILD, ERR_INTERNAL,
	  "Look into the log that the detail names, then build again: it goes on "
	  "where it was." },
	{ REMEDY_KERNEL_BUILD, ERR_INVALID,
	  "Run apt-get update on the server's machine, then build again." },
	{ REMEDY_KERNEL_BUILD, ERR_NO_ROOM,
	  "Free some on the disk of the server's cache, or move that "
	  "(XDG_CACHE_HOME, BANGER_HOME); then build again: it goes on where it "
	  "was." },
	{ REMEDY_KERNEL_BUILD, ERR_UNSUPPORTED,
	  "Do what the detail says on the server's machine, then build again: it "
	  "goes on where it was." },
	{ REMEDY_KERNEL_BUILD, ERR_UPSTREAM,
	  "Check the apt sources and the network of the server's machine, then "
	  "build again." },
	{ REMEDY_KERNEL_BUILD, ERR_TIMEOUT, "Build again: it goes on where it was." },
	{ REMEDY_KERNEL_BUILD, ERR_CANCELLED,
	  "Build again if it is still wanted: it goes on where it was." },
};

int remedies_advise(enum remedy_subject subject, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
		if (remedies[i].subject == subject && remedies[i].code == err->code)
			return error_advise(err, remedies[i].remedy);
	return error_to_errno(err);
}
