/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the doctor share: setting a row, and the groups of checks. */
#pragma once

#include "server/doctor/doctor.h"

/* Sets the status and the detail of a row. */
void row_set(struct doctor_row *row, enum doctor_status status, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/* Sets the remedy. */
void row_remedy(struct doctor_row *row, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A new row at the end of the report; never NULL (the last row is reused when it is full). */
struct doctor_row *report_add(struct doctor_report *report, const char *name, const char *group);

/* One check: fills the row, whose remedy is the table's when the row did not pass. */
struct doctor_check {
	const char *name;
	const char *group;
	void (*fn)(const struct doctor_context *ctx, struct doctor_row *row);
	const char *remedy;
	struct doctor_fix fix;
};

/* The rows about the security of a system install; one WARN row where there is none. */
void doctor_security(const struct doctor_context *ctx, struct doctor_report *report);

/* Rows about how far the host keeps guests apart. */
void doctor_isolation(const struct doctor_context *ctx, struct doctor_report *report);

/* The helper, DNS and NAT. */
void check_helper(const struct doctor_context *ctx, struct doctor_row *row);
void check_dns(const struct doctor_context *ctx, struct doctor_row *row);
void check_nat(const struct doctor_context *ctx, struct doctor_row *row);
