/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What OpenSSH needs to know on this host: a key of ours, host keys of guests that were read over
 * the guest link (so there is nothing to trust on first use), and the options that make both
 * count. All of it lies in folders of ours; the user's own files are touched by
 * ssh_include_change() alone.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "lib/base/error.h"

enum { SSH_OPTIONS = 9 };

struct ssh_home {
	char *dir;         /* <state>/ssh */
	char *key;         /* in it: private key, its public half beside it with ".pub" */
	char *known_hosts; /* in it */
	char *config;      /* <config>/ssh_config */
	char *proxy;       /* the command for ProxyCommand, as ssh wants it quoted */
};

/*
 * The folder and key are made where they are missing. `home` and `server`: where the proxy finds
 * the server (--home, --server or the environment); NULL: as the proxy itself finds it.
 * ssh_home_done() in any case.
 */
int ssh_home_open(const char *home, const char *server, struct ssh_home *ret,
		  struct error *err) MUST_USE;
void ssh_home_done(struct ssh_home *home);

/* "IdentityFile …", one an entry; the caller frees each. */
int ssh_home_options(const struct ssh_home *home, char *ret_options[SSH_OPTIONS],
		     struct error *err) MUST_USE;

/*
 * Replaces the host keys of the host `name` by those in `keys`, lines as in *.pub. They come from a
 * guest: what has not the form of a key is left out. How many were taken, or negative.
 */
int ssh_home_pin(const struct ssh_home *home, const char *name, const char *keys,
		 struct error *err) MUST_USE;
/* Names of the hosts whose keys are kept, as a list of strings. New reference; empty where nothing
 * can be read. */
json_t *ssh_home_known(const struct ssh_home *home);
/* The host keys of these hosts go: a list as of ssh_home_known(). */
int ssh_home_drop(const struct ssh_home *home, const json_t *hosts, struct error *err) MUST_USE;
/* The host keys of the VM `vm` go; makes nothing. `home` as above. */
int ssh_home_forget(const char *home, const char *vm, struct error *err) MUST_USE;

/* Writes <config>/ssh_config. */
int ssh_home_write_config(const struct ssh_home *home, struct error *err) MUST_USE;
/* Puts the marked Include block into ~/.ssh/config, or takes it out; the rest stays as it is.
 * *ret_changed: whether anything had to be done. */
int ssh_include_change(const struct ssh_home *home, bool install, bool *ret_changed,
		       struct error *err) MUST_USE;
