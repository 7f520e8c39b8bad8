/* SPDX-License-Identifier: Apache-2.0 */
#include "server/vmm/kvm.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/test.h"

static void flags_are_whole_words_of_the_first_processor(void **state)
{
	static const char cpuinfo[] = "processor\t: 0\nmodel name\t: svm in the name\n"
				      "flags\t\t: fpu svm_lock constant_tsc vmx2 avx\n"
				      "bugs\t\t: svm\n\nprocessor\t: 1\nflags\t\t: vmx svm\n";

	(void)state;
	assert_false(cpuinfo_has_flag(cpuinfo, "svm"));
	assert_false(cpuinfo_has_flag(cpuinfo, "vmx"));
	assert_true(cpuinfo_has_flag(cpuinfo, "fpu"));
	assert_true(cpuinfo_has_flag(cpuinfo, "avx"));
	assert_true(cpuinfo_has_flag(cpuinfo, "constant_tsc"));
	assert_true(cpuinfo_has_flag("flags\t: vmx", "vmx"));
	assert_false(cpuinfo_has_flag("", "vmx"));
}

static void only_all_three_make_kvm_usable(void **state)
{
	static const struct {
		struct kvm_facts facts;
		bool usable;
		const char *says;
		const char *remedy;
	} cases[] = {
		{ { .api_version = 12, .cpu_has_vmx = true },
		  true,
		  "hardware KVM works (vmx)",
		  "" },
		{ { .api_version = 12, .cpu_has_svm = true },
		  true,
		  "hardware KVM works (svm)",
		  "" },
		{ { .api_version = 12 }, false, "neither vmx nor svm", "nested" },
		{ { .open_error = ENOENT }, false, "there is no /dev/kvm", "firmware" },
		{ { .open_error = ENOENT, .cpu_has_svm = true }, false, "could do it", "module" },
		{ { .open_error = EACCES, .cpu_has_svm = true }, false, "may not", "kvm group" },
		{ { .open_error = EBUSY }, false, "can't be opened", "kernel log" },
		{ { .api_version = 12, .create_error = EBUSY, .cpu_has_vmx = true },
		  false,
		  "makes no virtual machine",
		  "other hypervisor" },
		{ { .api_version = 11, .cpu_has_vmx = true }, false, "version 11", "kernel" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kvm_verdict verdict;

		kvm_judge(&cases[i].facts, &verdict);
		assert_int_equal(verdict.usable, cases[i].usable);
		assert_non_null(strstr(verdict.detail, cases[i].says));
		assert_non_null(strstr(verdict.remedy, cases[i].remedy));
		assert_int_equal(verdict.remedy[0] == '\0', cases[i].usable);
	}
}

/* Whatever this host is: what is found must fit together. */
static void the_host_can_be_looked_at(void **state)
{
	struct kvm_facts facts;
	struct kvm_verdict verdict;

	(void)state;
	kvm_look(&facts);
	kvm_judge(&facts, &verdict);
	assert_true(verdict.detail[0] != '\0');
	if (verdict.usable)
		assert_true(facts.cpu_has_svm || facts.cpu_has_vmx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_are_whole_words_of_the_first_processor),
		cmocka_unit_test(only_all_three_make_kvm_usable),
		cmocka_unit_test(the_host_can_be_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
