/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine is `microvm`: virtio-mmio devices, no PCI, no BIOS worth the name, so it is close to
 * what Firecracker offers. Under software emulation a stock kernel hangs while it calibrates its
 * timer unless the old timer and interrupt controllers are there and the frequency is told.
 */
#include "server/vmm/qemu_args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "server/vmm/words.h"

enum {
	SERIAL_MAX = 20,
	CMDLINE_MAX = 2048,
	VCPUS_MAX = 64,
	MEMORY_MIN_MIB = 32,
	TB_CACHE_MIB = 256
};

static const char sandbox[] = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
			      "resourcecontrol=deny";

/* Takes `s` over; false when there is no memory or room. */
static bool add_owned(struct qemu_args *args, char *s)
{
	if (!s || args->n == QEMU_ARGS_MAX) {
		free(s);
		return false;
	}
	args->v[args->n++] = s;
	args->v[args->n] = NULL;
	return true;
}

static bool add(struct qemu_args *args, const char *word)
{
	return add_owned(args, strdup(word));
}

static PRINTF_LIKE(3, 4) bool add_option(struct qemu_args *args, const char *option,
					 const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return add(args, option) && add_owned(args, n < 0 ? NULL : s);
}

/* A value inside a comma-separated option: commas are doubled. NULL when out of memory. */
static char *quote(const char *value)
{
	char *out = malloc(2 * strlen(value) + 1);
	char *p = out;

	for (; out && *value; value++) {
		if (*value == ',')
			*p++ = ',';
		*p++ = *value;
	}
	if (out)
		*p = '\0';
	return out;
}

static bool serial_valid(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len <= SERIAL_MAX &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len;
}

static bool mac_valid(const char *s)
{
	for (int i = 0; i < 17; i++) {
		if (i % 3 == 2 ? s[i] != ':' : !strchr("0123456789abcdefABCDEF", s[i]) || !s[i])
			return false;
	}
	return s[17] == '\0';
}

static bool cpu_model_valid(const char *s)
{
	return *s && strlen(s) < 128 && s[0] != '-' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,=+") ==
		       strlen(s);
}

static int check(const struct qemu_launch *launch, struct error *err)
{
	const struct vmm_config *c = launch->config;

	if (c->vcpus < 1 || c->vcpus > VCPUS_MAX)
		return error_set(err, ERR_INVALID, "vcpus must be 1 to %d", VCPUS_MAX);
	if (c->memory_mib < MEMORY_MIN_MIB)
		return error_set(err, ERR_INVALID, "memory must be at least %d MiB",
				 MEMORY_MIN_MIB);
	if (c->accel != VMM_ACCEL_KVM && c->accel != VMM_ACCEL_TCG)
		return error_set(err, ERR_INVALID, "neither KVM nor emulation was chosen");
	if (c->cpu_model && !cpu_model_valid(c->cpu_model))
		return error_set(err, ERR_INVALID, "'%s' is no CPU model", c->cpu_model);
	if (c->n_disks > VMM_DISKS_MAX)
		return error_set(err, ERR_INVALID, "at most %d disks", VMM_DISKS_MAX);
	for (size_t i = 0; i < c->n_disks; i++) {
		if (!serial_valid(c->disks[i].serial))
			return error_set(err, ERR_INVALID, "disk serial '%s' is not usable",
					 c->disks[i].serial);
		if (c->disks[i].path[0] != '/')
			return error_set(err, ERR_INVALID, "disk path '%s' is not absolute",
					 c->disks[i].path);
	}
	if (launch->net != QEMU_NET_NONE && (!c->net.mac || !mac_valid(c->net.mac)))
		return error_set(err, ERR_INVALID, "'%s' is no MAC address",
				 c->net.mac ? c->net.mac : "");
	if (c->kernel[0] != '/' || (c->initrd && c->initrd[0] != '/'))
		return error_set(err, ERR_INVALID, "kernel and initrd must be absolute paths");
	return 0;
}

static bool add_machine(struct qemu_args *args, const struct qemu_launch *launch)
{
	const struct vmm_config *c = launch->config;
	bool kvm = c->accel == VMM_ACCEL_KVM;
	/* "arat": a timer that goes on while the processor sleeps. Without it the kernel keeps its
	 * periodic tick, as there is no other clock event device to wake it. */
	const char *model = c->cpu_model ? c->cpu_model : kvm ? "host" : "Nehalem-v1,+arat";
	const char *timers = kvm ? "pit=off,pic=off" : "pit=on,pic=on";
	bool ok;

	ok = add_option(args, "-name", "guest=%s,debug-threads=on", c->name) &&
	     add_option(args, "-machine",
			"microvm,acpi=on,%s,rtc=on,usb=off,x-option-roms=on,mem-merge=off,"
			"dump-guest-core=off,memory-backend=mem0",
			timers);
	if (ok && kvm)
		ok = add_option(args, "-accel", "kvm");
	else if (ok)
		ok = add_option(args, "-accel", "tcg,thread=multi,tb-size=%d", TB_CACHE_MIB);
	return ok && add_option(args, "-cpu", "%s", model) &&
	       add_option(args, "-smp", "%u", c->vcpus) &&
	       add_option(args, "-m", "%uM", c->memory_mib) &&
	       add_option(args, "-object",
			  "memory-backend-file,id=mem0,size=%uM,mem-path=/proc/self/fd/%d,share=%s",
			  c->memory_mib, QEMU_FD_MEMORY, launch->memory_private ? "off" : "on") &&
	       add(args, "-nodefaults") && add(args, "-no-user-config") &&
	       add(args, "-no-reboot") && add_option(args, "-display", "none") &&
	       add_option(args, "-sandbox", "%s", sandbox);
}

static bool add_kernel(struct qemu_args *args, const struct qemu_launch *launch,
		       const char *cmdline)
{
	const struct vmm_config *c = launch->config;

	return add_option(args, "-kernel", "%s", c->kernel) &&
	       (!c->initrd || add_option(args, "-initrd", "%s", c->initrd)) &&
	       add_option(args, "-append", "%s", cmdline);
}

static bool add_channels(struct qemu_args *args)
{
	static const struct {
		const char *id;
		enum qemu_fd fd;
	} channels[] = { { "qmp", QEMU_FD_QMP },
			 { "console", QEMU_FD_CONSOLE },
			 { "link", QEMU_FD_LINK } };

	for (size_t i = 0; i < ARRAY_SIZE(channels); i++) {
		if (!add_option(args, "-chardev", "socket,id=%s,fd=%d,server=on,wait=off",
				channels[i].id, (int)channels[i].fd))
			return false;
	}
	return add_option(args, "-mon", "chardev=qmp,mode=control") &&
	       add_option(args, "-serial", "chardev:console") &&
	       add_option(args, "-device", "virtio-serial-device,max_ports=2") &&
	       add_option(args, "-device", "virtserialport,chardev=link,name=banger.link") &&
	       add_option(args, "-object", "rng-builtin,id=rng0") &&
	       add_option(args, "-device", "virtio-rng-device,rng=rng0");
}

static bool add_disks(struct qemu_args *args, const struct vmm_config *c)
{
	for (size_t i = 0; i < c->n_disks; i++) {
		autofree char *path = quote(c->disks[i].path);

		if (!path ||
		    !add_option(args, "-blockdev",
				"driver=raw,node-name=disk%zu,read-only=%s,discard=unmap,"
				"file.driver=file,file.filename=%s",
				i, c->disks[i].read_only ? "on" : "off", path) ||
		    !add_option(args, "-device", "virtio-blk-device,drive=disk%zu,serial=%s", i,
				c->disks[i].serial))
			return false;
	}
	return true;
}

static bool add_net(struct qemu_args *args, const struct qemu_launch *launch)
{
	bool ok = true;

	switch (launch->net) {
	case QEMU_NET_NONE:
		return true;
	case QEMU_NET_CLOSED:
		/* A hub without a second port. It keeps no state, so what was captured on it can go
		 * on with any other network. */
		ok = add_option(args, "-netdev", "hubport,id=net0,hubid=0");
		break;
	case QEMU_NET_STREAM:
		/* The device stays on its port of the hub when what is on the other one ends. */
		ok = add_option(args, "-netdev", "hubport,id=net0,hubid=0") &&
		     add_option(args, "-netdev",
				"stream,id=" QEMU_NET_USER ",server=off,addr.type=fd,addr.str=%d",
				QEMU_FD_NET) &&
		     add_option(args, "-netdev",
				"hubport,id=" QEMU_NET_PORT ",hubid=0,netdev=" QEMU_NET_USER);
		break;
	case QEMU_NET_TAP:
		ok = add_option(args, "-netdev", "tap,id=net0,fd=%d", QEMU_FD_NET);
		break;
	}
	return ok && add_option(args, "-device", "virtio-net-device,netdev=net0,mac=%s",
				launch->config->net.mac);
}

static int build_cmdline(const struct qemu_launch *launch, struct buf *out, struct error *err)
{
	const char *mine = launch->config->cmdline ? launch->config->cmdline : "";
	int r;

	r = buf_printf(out, "console=ttyS0 loglevel=4 reboot=t panic=-1");
	if (r == 0 && launch->config->accel == VMM_ACCEL_TCG) {
		/* The lockup detector would measure the host's load, not the guest. */
		r = buf_printf(out, " no_timer_check nowatchdog mitigations=off");
		/* Without "reliable" the kernel waits for a second clock to compare with, finds
		 * none, and stays on jiffies: no high-resolution timers, and 250 ticks a second
		 * from an idle guest. */
		if (r == 0 && launch->tsc_khz)
			r = buf_printf(out, " tsc_early_khz=%u tsc=reliable", launch->tsc_khz);
	}
	if (r == 0 && *mine)
		r = buf_printf(out, " %s", mine);
	if (r == 0)
		r = buf_append(out, "", 1);
	if (r == -ENOBUFS)
		return error_set(err, ERR_INVALID, "the kernel's command line is longer than %d",
				 CMDLINE_MAX);
	return r < 0 ? error_errno(err, r, "kernel command line") : 0;
}

int qemu_args_build(const struct qemu_launch *launch, struct qemu_args *ret_args, struct error *err)
{
	struct qemu_args args CLEANUP(qemu_args_done) = { .n = 0 };
	struct buf cmdline CLEANUP(buf_done) = { .max = CMDLINE_MAX };
	int r;

	r = check(launch, err);
	if (r == 0)
		r = build_cmdline(launch, &cmdline, err);
	if (r < 0)
		return r;
	if (!add(&args, launch->binary) || !add_machine(&args, launch) ||
	    !add_kernel(&args, launch, (const char *)buf_bytes(&cmdline)) || !add_channels(&args) ||
	    !add_disks(&args, launch->config) || !add_net(&args, launch) ||
	    (launch->incoming && (!add(&args, "-S") || !add_option(&args, "-incoming", "defer"))))
		return error_errno(err, -ENOMEM, "command line of QEMU");
	*ret_args = args;
	args = (struct qemu_args){ .n = 0 };
	return 0;
}

void qemu_args_done(struct qemu_args *args)
{
	for (size_t i = 0; i < args->n; i++)
		free(args->v[i]);
	*args = (struct qemu_args){ .n = 0 };
}

int qemu_version_parse(const char *text, struct qemu_version *ret_version)
{
	static const char prefix[] = "QEMU emulator version ";
	const char *p = text + sizeof(prefix) - 1;
	uint64_t v[3] = { 0 };

	if (!str_has_prefix(text, prefix))
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		if (!isdigit((unsigned char)*p) || !word_number(&p, 10, &v[i]) || v[i] > 9999)
			return -EINVAL;
		if (*p != '.' && i >= 1)
			break;
		p++;
	}
	*ret_version = (struct qemu_version){ (unsigned)v[0], (unsigned)v[1], (unsigned)v[2] };
	return 0;
}

bool qemu_version_at_least(const struct qemu_version *v, const struct qemu_version *min)
{
	if (v->major != min->major)
		return v->major > min->major;
	if (v->minor != min->minor)
		return v->minor > min->minor;
	return v->patch >= min->patch;
}
