/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/macro.h"

enum { CPUINFO_MAX = 4 * 1024 * 1024, KVM_API = 12 };

bool cpuinfo_has_flag(const char *cpuinfo, const char *flag)
{
	size_t len = strlen(flag);
	const char *line = cpuinfo;

	while (line && !str_has_prefix(line, "flags\t") && !str_has_prefix(line, "flags ")) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line)
		return false;
	const char *end = line + strcspn(line, "\n");

	for (const char *p = strstr(line, flag); p && p < end; p = strstr(p + 1, flag)) {
		if ((p[-1] == ' ' || p[-1] == '\t') &&
		    (p[len] == ' ' || p[len] == '\n' || p[len] == '\0'))
			return true;
	}
	return false;
}

void kvm_look(struct kvm_facts *ret_facts)
{
	struct kvm_facts facts = { 0 };
	autofree char *cpuinfo = NULL;
	autoclose int fd = -1;

	if (read_file("/proc/cpuinfo", CPUINFO_MAX, &cpuinfo, NULL) == 0) {
		facts.cpu_has_vmx = cpuinfo_has_flag(cpuinfo, "vmx");
		facts.cpu_has_svm = cpuinfo_has_flag(cpuinfo, "svm");
	}
	fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		facts.open_error = errno;
	} else {
		facts.api_version = ioctl(fd, KVM_GET_API_VERSION, 0);

		autoclose int vm = ioctl(fd, KVM_CREATE_VM, 0);

		if (vm < 0)
			facts.create_error = errno;
	}
	*ret_facts = facts;
}

static void say(struct kvm_verdict *verdict, const char *remedy)
{
	(void)snprintf(verdict->remedy, sizeof(verdict->remedy), "%s", remedy);
}

void kvm_judge(const struct kvm_facts *facts, struct kvm_verdict *ret_verdict)
{
	struct kvm_verdict v = { 0 };
	bool cpu = facts->cpu_has_vmx || facts->cpu_has_svm;
	size_t size = sizeof(v.detail);

	if (facts->open_error == ENOENT || facts->open_error == ENXIO ||
	    facts->open_error == ENODEV) {
		(void)snprintf(v.detail, size, "there is no /dev/kvm%s",
			       cpu ? ", although the processor could do it" : "");
		say(&v, cpu ? "load the kvm_intel or kvm_amd module"
			    : "enable virtualisation in the firmware, or nested virtualisation of "
			      "the machine that hosts this one");
	} else if (facts->open_error == EACCES || facts->open_error == EPERM) {
		(void)snprintf(v.detail, size, "/dev/kvm is there, but this user may not open it");
		say(&v, "add the user to the kvm group and log in again");
	} else if (facts->open_error) {
		(void)snprintf(v.detail, size, "/dev/kvm can't be opened: %s",
			       strerrordesc_np(facts->open_error));
		say(&v, "look at the kernel log for messages of kvm");
	} else if (facts->create_error) {
		(void)snprintf(v.detail, size, "/dev/kvm opens, but makes no virtual machine: %s",
			       strerrordesc_np(facts->create_error));
		say(&v, facts->create_error == EBUSY
				? "end the other hypervisor that holds the processor's extension"
				: "look at the kernel log for messages of kvm");
	} else if (facts->api_version != KVM_API) {
		(void)snprintf(v.detail, size,
			       "/dev/kvm speaks version %d of its interface, not %d",
			       facts->api_version, KVM_API);
		say(&v, "use a newer kernel");
	} else if (!cpu) {
		(void)snprintf(v.detail, size,
			       "/dev/kvm opens, but the processor has neither vmx nor svm: guests "
			       "would hang, so it is not used");
		say(&v, "enable nested virtualisation of the machine that hosts this one");
	} else {
		(void)snprintf(v.detail, size, "hardware KVM works (%s)",
			       facts->cpu_has_vmx ? "vmx" : "svm");
		v.usable = true;
	}
	*ret_verdict = v;
}

bool kvm_usable(struct kvm_verdict *ret_verdict)
{
	struct kvm_facts facts;

	kvm_look(&facts);
	kvm_judge(&facts, ret_verdict);
	return ret_verdict->usable;
}
