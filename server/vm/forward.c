/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "server/vm/forward_internal.h"
#include "server/vm/splice.h"
#include "server/vm/vm_internal.h"

struct vm_forward {
	struct vm_forward *next;
	struct vm *vm;
	struct forward_row row;
	int fd; /* -1: does not listen */
	struct loop_fd *source;
	char problem[200]; /* why it does not listen though its VM runs; "" for none */
	struct splice *splices;
	size_t n_splices;
};

/* --- listening --- */

/* Loopback only: who may connect to it is whoever has an account on this host. */
static int listen_on(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(*port) };
	socklen_t len = sizeof(address);
	static const int one = 1;
	autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0 || getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return -errno;
	*port = ntohs(address.sin_port);
	return take_fd(&fd);
}

static size_t connections(const struct vm *vm)
{
	size_t n = 0;

	for (const struct vm_forward *f = vm->forwards; f; f = f->next)
		n += f->n_splices;
	return n;
}

static void on_splice_end(void *data, struct splice *splice)
{
	struct vm_forward *f = data;

	splice_unlink(&f->splices, splice);
	f->n_splices--;
}

static void on_connection(void *data, uint32_t events)
{
	struct vm_forward *f = data;
	struct error err = ERROR_INIT;
	struct splice *splice = NULL;
	static const int one = 1;
	int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connections(f->vm) >= VM_FORWARD_CONNECTIONS_MAX) {
		close_keep_errno(fd);
		return;
	}
	/* Takes over the descriptor, whatever comes of it. */
	if (splice_new(f->vm, fd, f->row.guest_host, (uint16_t)f->row.guest_port, on_splice_end, f,
		       &splice, &err) < 0) {
		log_fields(LOG_DEBUG, "forwarded connection refused", "vm", f->vm->row.id, "error",
			   err.msg, NULL);
		return;
	}
	splice_link(&f->splices, splice);
	f->n_splices++;
}

static int accept_now(struct vm_forward *f)
{
	int r = 0;

	if (!f->source)
		r = loop_fd_add(f->vm->vms->c.loop, f->fd, EPOLLIN, on_connection, f, &f->source);
	if (r < 0)
		close_keep_errno(take_fd(&f->fd));
	return r;
}

/* Until the agent can be spoken to connections wait in the kernel's queue. */
static int open_forward(struct vm_forward *f)
{
	uint16_t port = (uint16_t)f->row.host_port;

	if (f->fd >= 0)
		return 0;
	f->fd = listen_on(&port);
	if (f->fd < 0)
		return f->fd;
	f->row.host_port = port;
	return f->vm->agent_up ? accept_now(f) : 0;
}

static void close_forward(struct vm_forward *f)
{
	while (f->splices)
		splice_free(f->splices);
	loop_fd_remove(TAKE_PTR(f->source));
	close_keep_errno(take_fd(&f->fd));
	f->problem[0] = '\0';
}

static void forward_free(struct vm_forward *f)
{
	for (struct vm_forward **p = &f->vm->forwards; *p; p = &(*p)->next) {
		if (*p == f) {
			*p = f->next;
			break;
		}
	}
	close_forward(f);
	free(f);
}

/* --- with the VM --- */

void vm_forwards_attach(struct vm *vm)
{
	for (struct vm_forward *f = vm->forwards; f; f = f->next) {
		int r = open_forward(f);

		if (r == 0)
			continue;
		(void)snprintf(f->problem, sizeof(f->problem), "port %d of this host: %s",
			       (int)f->row.host_port, strerrordesc_np(-r));
		log_fields(LOG_WARN, "forward does not listen", "vm", vm->row.id, "problem",
			   f->problem, NULL);
	}
}

void vm_forwards_serve(struct vm *vm)
{
	for (struct vm_forward *f = vm->forwards; f; f = f->next)
		if (f->fd >= 0 && accept_now(f) < 0)
			log_fields(LOG_WARN, "forward does not serve", "vm", vm->row.id, NULL);
}

void vm_forwards_detach(struct vm *vm)
{
	for (struct vm_forward *f = vm->forwards; f; f = f->next)
		close_forward(f);
}

void vm_forwards_free(struct vm *vm)
{
	while (vm->forwards)
		forward_free(vm->forwards);
}

static struct vm_forward *forward_new(struct vm *vm, const struct forward_row *row)
{
	struct vm_forward *f = calloc(1, sizeof(*f));
	struct vm_forward **p = &vm->forwards;

	if (!f)
		return NULL;
	*f = (struct vm_forward){ .vm = vm, .row = *row, .fd = -1 };
	while (*p)
		p = &(*p)->next;
	*p = f;
	return f;
}

static int load(const struct forward_row *row, void *data, struct error *err)
{
	struct vm *vm = vms_find(data, row->vm_id);

	if (vm && !forward_new(vm, row))
		return error_errno(err, -ENOMEM, "forwards");
	return 0;
}

int vm_forwards_load(struct vms *vms, struct error *err)
{
	return forwards_each(vms->c.store, load, vms, err);
}

/* --- for the API --- */

static int check_room(const struct vm *vm, struct error *err)
{
	size_t n = 0;

	for (const struct vm_forward *f = vm->forwards; f; f = f->next)
		n++;
	if (n >= VM_FORWARDS_MAX)
		return error_set(err, ERR_NO_ROOM, "VM '%s' has %zu forwards; at most %d are kept",
				 vm->row.name, n, VM_FORWARDS_MAX);
	return 0;
}

int vm_forward_add(struct vm *vm, const char *id, uint16_t host_port, const char *guest_host,
		   uint16_t guest_port, struct vm_forward **ret_forward, struct error *err)
{
	struct forward_row row = { .host_port = host_port, .guest_port = guest_port };
	struct vm_forward *f;
	int r = check_room(vm, err);

	if (r < 0)
		return r;
	(void)snprintf(row.id, sizeof(row.id), "%s", id);
	(void)snprintf(row.vm_id, sizeof(row.vm_id), "%s", vm->row.id);
	(void)snprintf(row.guest_host, sizeof(row.guest_host), "%s", guest_host);
	f = forward_new(vm, &row);
	if (!f)
		return error_errno(err, -ENOMEM, "forward");
	r = open_forward(f);
	if (r == -EADDRINUSE)
		r = error_set(err, ERR_EXISTS, "/host_port: port %u of this host is in use",
			      host_port);
	else if (r < 0)
		r = error_errno(err, r, "listen on port %u of this host", host_port);
	if (r == 0)
		r = forwards_insert(vm->vms->c.store, &f->row, err);
	if (r < 0) {
		forward_free(f);
		return r;
	}
	if (!vm->guest)
		close_forward(f);
	*ret_forward = f;
	return 0;
}

int vm_forward_get(struct vm *vm, const char *id, struct vm_forward **ret_forward,
		   struct error *err)
{
	for (struct vm_forward *f = vm->forwards; f; f = f->next) {
		if (streq(f->row.id, id)) {
			*ret_forward = f;
			return 0;
		}
	}
	return error_set(err, ERR_NOT_FOUND, "VM '%s' has no forward %s", vm->row.name, id);
}

void vm_forward_remove(struct vm_forward *f)
{
	struct error err;

	if (forwards_delete(f->vm->vms->c.store, f->row.id, &err) < 0)
		log_fields(LOG_ERROR, "row of a forward not removed", "forward", f->row.id, "error",
			   err.msg, NULL);
	forward_free(f);
}

struct vm_forward *vm_forward_next(struct vm *vm, struct vm_forward *after)
{
	return after ? after->next : vm->forwards;
}

json_t *vm_forward_to_json(const struct vm_forward *f)
{
	json_t *o =
		json_pack("{s:s, s:s, s:I, s:s, s:I, s:b, s:I}", "id", f->row.id, "host_address",
			  "127.0.0.1", "host_port", (json_int_t)f->row.host_port, "guest_host",
			  f->row.guest_host, "guest_port", (json_int_t)f->row.guest_port,
			  "listening", f->fd >= 0, "connections", (json_int_t)f->n_splices);

	if (f->problem[0])
		(void)json_object_set_new(o, "problem", json_string(f->problem));
	return o;
}
