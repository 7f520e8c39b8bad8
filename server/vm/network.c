/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vm/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/helper/wire.h"
#include "lib/link/protocol.h"
#include "server/net/bridge.h"
#include "server/net/dns.h"
#include "server/net/resolvers.h"
#include "server/vm/jail.h"
#include "server/vm/vm_internal.h"
#include "server/vmm/net_stats.h"

enum { ROUTES_MAX = 1 << 20, WORD_MAX = 256 };

static bool on_bridge(const struct vm_row *row)
{
	return streq(row->network, "bridge");
}

int vm_network_check(const struct vms *vms, struct error *err)
{
	if (helper_present(&vms->c.helper))
		return 0;
	return error_set(
		err, ERR_UNAVAILABLE,
		"/network: 'bridge' needs the root helper, and none listens at %s: install "
		"it with deploy/install --owner $USER, or use network 'user'",
		vms->c.helper.socket);
}

/* --- addresses; on the loop's thread --- */

static bool in_plan(const struct address_plan *plan, int64_t address)
{
	return plan->prefix && address > (int64_t)address_gateway(plan) &&
	       address < (int64_t)(plan->subnet | UINT32_MAX >> plan->prefix);
}

static int pick(struct vm *vm, const struct address_plan *plan, struct error *err)
{
	struct vms *vms = vm->vms;
	autofree uint32_t *used = calloc(vms->count, sizeof(*used));
	struct vm_row row = vm->row;
	uint32_t address;
	size_t n = 0;
	int r;

	if (!used)
		return error_errno(err, -ENOMEM, "addresses");
	for (const struct vm *other = vms->first; other; other = other->next)
		if (other->row.address)
			used[n++] = (uint32_t)other->row.address;
	r = address_pick(plan, used, n, vms->last_address, &address);
	if (r < 0)
		return error_set(err, ERR_NO_ROOM, "every address of the bridge is in use");
	row.address = address;
	r = vms_set_spec(vms->c.store, &row, err);
	if (r < 0)
		return r;
	vm->row.address = address;
	vms->last_address = address;
	return 0;
}

struct place {
	struct address_plan plan;
	struct bridge_vm vm;
	bool isolated;
	char word[WORD_MAX];
};

/* An address that a network of another size has left behind is given back. */
static int take_place(struct vm *vm, void *data, struct error *err)
{
	struct place *p = data;

	vm->vms->plan = p->plan;
	vm->vms->untold++;
	if (!in_plan(&p->plan, vm->row.address)) {
		int r = pick(vm, &p->plan, err);

		if (r < 0)
			return r;
	}
	p->vm.address = (uint32_t)vm->row.address;
	p->vm.nat = vm->row.nat;
	p->isolated = vm->row.isolated;
	vm_network_word(vm, p->word, sizeof(p->word));
	return 0;
}

void vm_network_word(const struct vm *vm, char *buf, size_t size)
{
	const struct address_plan *plan = &vm->vms->plan;
	uint32_t address = (uint32_t)vm->row.address;
	char resolvers[RESOLVERS_MAX][RESOLVER_TEXT];
	char text[3][ADDRESS_TEXT];
	char mac_text[ADDRESS_MAC_TEXT];
	uint8_t v6[2][16];
	uint8_t mac[6];
	size_t n_resolvers = resolvers_read(resolvers);
	int n;

	buf[0] = '\0';
	if (!on_bridge(&vm->row) || !in_plan(plan, address))
		return;
	helper_guest_mac(address, mac);
	address_v6(plan, address, v6[0]);
	address_v6(plan, address_gateway(plan), v6[1]);
	n = snprintf(buf, size, "%s/%u,gw=%s,mac=%s", address_format(address, text[0]),
		     plan->prefix, address_format(address_gateway(plan), text[1]),
		     address_format_mac(mac, mac_text));
	for (size_t i = 0; i < n_resolvers && n > 0 && (size_t)n < size; i++)
		n += snprintf(buf + n, size - (size_t)n, ",dns=%s", resolvers[i]);
	if (n > 0 && (size_t)n < size)
		n += snprintf(buf + n, size - (size_t)n, ",ip6=%s/64,gw6=%s",
			      address_format_v6(v6[0], text[0]), address_format_v6(v6[1], text[2]));
	if (n < 0 || (size_t)n >= size)
		buf[0] = '\0';
}

/* --- open and close; worker --- */

static void warn_of_collision(const struct address_plan *plan)
{
	autofree char *routes = NULL;
	char name[16];

	if (read_file("/proc/net/route", ROUTES_MAX, &routes, NULL) == 0 &&
	    address_collides(plan, routes, name))
		log_fields(LOG_WARN,
			   "the host has a route into the bridge's network; install with another "
			   "--subnet",
			   "interface", name, NULL);
}

/*
 * Once a network: the resolver's link to the bridge is made when the bridge is. Where no name is
 * answered, one from before is taken away: anybody may have the port now.
 */
static void welcome(struct vms *vms, const struct address_plan *plan)
{
	uint16_t port = __atomic_load_n(&vms->c.dns_port, __ATOMIC_ACQUIRE);
	struct error err;
	int r;

	if (__atomic_exchange_n(&vms->bridge_seen, true, __ATOMIC_ACQ_REL))
		return;
	warn_of_collision(plan);
	r = port ? helper_dns_route(&vms->c.helper, port, &err)
		 : helper_dns_clear(&vms->c.helper, &err);
	if (r < 0)
		log_fields(LOG_INFO, "the system's resolver is not told of <name>.vm", "why",
			   err.msg, NULL);
}

void vms_forget_names(const struct vms *vms, int deadline_ms)
{
	struct helper_client helper = vms->c.helper;
	struct error err;

	if (!__atomic_load_n(&vms->bridge_seen, __ATOMIC_ACQUIRE) ||
	    !__atomic_load_n(&vms->c.dns_port, __ATOMIC_ACQUIRE) || !helper_present(&helper))
		return;
	helper.timeout_ms = deadline_ms;
	if (helper_dns_clear(&helper, &err) < 0)
		log_fields(LOG_INFO, "the system's resolver still asks for <name>.vm", "why",
			   err.msg, NULL);
}

static int add_word(struct vm_boot *boot, const char *word)
{
	char *longer = NULL;

	if (asprintf(&longer, "%s " LINK_WORD_NET "%s", boot->cmdline, word) < 0)
		return -ENOMEM;
	free(boot->cmdline);
	boot->cmdline = longer;
	boot->config.cmdline = longer;
	return 0;
}

static int fill_boot(struct vm_boot *boot, const struct place *p, struct bridge_port *port,
		     struct error *err)
{
	uint8_t mac[6];
	int r = add_word(boot, p->word);

	if (r < 0)
		return error_errno(err, r, "kernel command line");
	helper_guest_mac(p->vm.address, mac);
	(void)address_format_mac(mac, boot->mac);
	(void)snprintf(boot->tap_name, sizeof(boot->tap_name), "%s", port->tap_name);
	boot->config.net.tap_name = boot->tap_name;
	boot->config.net.tap_fd = take_fd(&port->tap_fd);
	return 0;
}

static void note_tap(const struct verb_job *job, const struct vm_boot *boot)
{
	autoclose int run = open_beneath(job->vms->run_fd, job->id, O_RDONLY | O_DIRECTORY, 0);
	int r = run < 0 ? run : net_stats_set_tap(run, boot->tap_name);

	if (r < 0)
		log_fields(LOG_WARN, "network not measured", "vm", job->id, "error",
			   strerrordesc_np(-r), NULL);
}

int vm_network_open(struct verb_job *job, struct vm_boot *boot, struct error *err)
{
	const struct helper_client *helper = &job->vms->c.helper;
	struct place p = { .vm = { .id = job->id } };
	struct bridge_port port = BRIDGE_PORT_INIT;
	bool by_name = !(job->vms->c.driver->caps & VMM_CAP_TAP_FD);
	int r;

	if (boot->config.net.mode != VMM_NET_TAP)
		return 0;
	r = vm_network_check(job->vms, err);
	if (r == 0)
		r = bridge_plan(helper, &p.plan, err);
	if (r == 0)
		r = vm_on_loop(job, take_place, &p, err);
	if (r == 0)
		r = bridge_attach(helper, &p.vm, !p.isolated, by_name, &port, err);
	if (r == 0)
		r = fill_boot(boot, &p, &port, err);
	close_keep_errno(port.tap_fd);
	if (r == 0)
		note_tap(job, boot);
	if (r == 0)
		welcome(job->vms, &p.plan);
	return r;
}

void vm_network_drop_tap(struct vm_boot *boot)
{
	close_keep_errno(boot->config.net.tap_fd);
	boot->config.net.tap_fd = -1;
}

struct look {
	struct bridge_vm vm;
	char driver[sizeof(((struct vm_row *)NULL)->vmm)];
};

static int where(struct vm *vm, void *data, struct error *err)
{
	struct look *l = data;

	(void)err;
	l->vm.address = on_bridge(&vm->row) ? (uint32_t)vm->row.address : 0;
	l->vm.nat = vm->row.nat;
	l->vm.alive = vm->proc.pidfd >= 0;
	(void)snprintf(l->driver, sizeof(l->driver), "%s", vm->row.vmm);
	return 0;
}

int vm_network_close(const struct verb_job *job, struct error *err)
{
	struct look l = { .vm.id = job->id };
	int r = vm_on_loop(job, where, &l, err);

	if (r < 0)
		return r;
	vm_jail_remove(job, l.driver);
	if (l.vm.address == 0)
		return 0;
	if (!helper_present(&job->vms->c.helper)) {
		/* deploy/uninstall has taken the bridge away with everything on it. */
		log_fields(LOG_WARN, "no helper to take the VM's network away", "vm", job->id,
			   NULL);
		return 0;
	}
	r = bridge_detach(&job->vms->c.helper, &l.vm, err);
	return r < 0 ? error_wrap(err, "network of VM %s", job->id) : 0;
}

static int run_close(struct op *op, void *data, struct error *err)
{
	(void)op;
	return vm_network_close(data, err);
}

void vm_network_close_later(struct vm *vm)
{
	struct verb_job job = { .verb = VM_VERB_MAX_ };
	struct error err;
	struct op *op;

	if (!vm->boot.config.jail && (!on_bridge(&vm->row) || !vm->row.address))
		return;
	(void)snprintf(job.who, sizeof(job.who), "server");
	if (vm_submit(vm, "vm.network", run_close, &job, &op, &err) < 0)
		log_fields(LOG_ERROR, "network not taken away", "vm", vm->row.id, "error", err.msg,
			   NULL);
}

/* --- start of the server --- */

struct begin {
	struct vms *vms;
	struct address_plan plan;
};

static void take_plan(void *data)
{
	struct begin *b = data;

	b->vms->plan = b->plan;
	b->vms->untold++;
}

static int run_begin(struct op *op, void *data, struct error *err)
{
	struct begin *b = data;
	int r = bridge_plan(&b->vms->c.helper, &b->plan, err);

	(void)op;
	if (r < 0)
		return r;
	if (loop_call(b->vms->c.loop, take_plan, b) < 0)
		return error_set(err, ERR_CANCELLED, "the server is ending");
	welcome(b->vms, &b->plan);
	return 0;
}

void vms_network_start(struct vms *vms)
{
	struct begin *b;
	struct op_spec spec = { .kind = "network.start",
				.target = "",
				.request_by = "server",
				.run = run_begin,
				.free_data = free };
	struct error err;
	struct op *op;
	bool any = false;

	for (const struct vm *vm = vms->first; vm; vm = vm->next)
		any = any || vm->row.address;
	if (!any || !helper_present(&vms->c.helper))
		return;
	b = calloc(1, sizeof(*b));
	if (!b)
		return;
	b->vms = vms;
	spec.data = b;
	if (ops_submit(vms->c.ops, &spec, &op, &err) < 0)
		log_fields(LOG_ERROR, "bridge not looked at", "error", err.msg, NULL);
}

/* --- NAT --- */

static int write_nat(struct vm *vm, void *data, struct error *err)
{
	const struct verb_job *job = data;
	struct vm_row row = vm->row;
	int r;

	row.nat = job->nat;
	r = vms_set_spec(vm->vms->c.store, &row, err);
	if (r == 0)
		vm->row.nat = job->nat;
	return r;
}

static int run_nat(struct op *op, void *data, struct error *err)
{
	struct verb_job *job = data;
	struct look l = { .vm.id = job->id };
	int r = vm_on_loop(job, where, &l, err);

	op_stage(op, "nat");
	if (r == 0)
		r = bridge_set_nat(&job->vms->c.helper, &l.vm, job->nat, err);
	return r < 0 ? r : vm_on_loop(job, write_nat, job, err);
}

int vm_network_set_nat(struct vm *vm, bool nat, const char *who, struct op **ret_op,
		       struct error *err)
{
	struct verb_job job = { .verb = VM_VERB_MAX_, .nat = nat };

	*ret_op = NULL;
	if (!on_bridge(&vm->row) || vm->row.nat == nat || vm->proc.pidfd < 0)
		return 0;
	(void)snprintf(job.who, sizeof(job.who), "%s", who);
	return vm_submit(vm, "vm.nat", run_nat, &job, ret_op, err);
}

/* --- names --- */

static bool host_of(const struct vm *vm, struct dns_host *ret_host)
{
	if (!vm)
		return false;
	*ret_host = (struct dns_host){ .v4 = 0 };
	(void)snprintf(ret_host->name, sizeof(ret_host->name), "%s", vm->row.name);
	if (on_bridge(&vm->row) && in_plan(&vm->vms->plan, vm->row.address)) {
		ret_host->v4 = (uint32_t)vm->row.address;
		address_v6(&vm->vms->plan, ret_host->v4, ret_host->v6);
	}
	return true;
}

bool vms_dns_by_name(void *data, const char *name, struct dns_host *ret_host)
{
	const struct vm *vm = vms_find(data, name);

	/* An id is no name. */
	return vm && streq(vm->row.name, name) && host_of(vm, ret_host);
}

bool vms_dns_by_v4(void *data, uint32_t v4, struct dns_host *ret_host)
{
	const struct vms *vms = data;

	for (const struct vm *vm = vms->first; v4 && vm; vm = vm->next)
		if ((uint32_t)vm->row.address == v4)
			return host_of(vm, ret_host) && ret_host->v4 == v4;
	return false;
}

bool vms_dns_by_v6(void *data, const uint8_t v6[16], struct dns_host *ret_host)
{
	const struct vms *vms = data;
	uint32_t v4 = (uint32_t)v6[12] << 24 | (uint32_t)v6[13] << 16 | (uint32_t)v6[14] << 8 |
		      (uint32_t)v6[15];

	return vms->plan.prefix && memcmp(v6, vms->plan.ula, 12) == 0 &&
	       vms_dns_by_v4(data, v4, ret_host);
}
