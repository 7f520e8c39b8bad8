/* SPDX-License-Identifier: Apache-2.0 */
/* From the bytes of a query to the bytes of its reply, with ldns for the wire format. */
#include <arpa/inet.h>
#include <ctype.h>
/* rbtree.h first: host2wire.h does not bring what it needs. */
#include <ldns/rbtree.h>

#include <ldns/dname.h>
#include <ldns/host2wire.h>
#include <ldns/packet.h>
#include <ldns/rdata.h>
#include <ldns/rr.h>
#include <ldns/wire2host.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/hex.h"
#include "lib/base/id.h"
#include "server/net/dns.h"

enum { HEADER_BYTES = 12, V4_LABELS = 4, V6_LABELS = 32 };

static void pkt_free_p(ldns_pkt **pkt)
{
	ldns_pkt_free(*pkt);
}

/* A query and nothing else: one question, opcode QUERY. Looked at before anything is parsed. */
static bool is_query(const uint8_t *q, size_t len)
{
	return len >= HEADER_BYTES && len <= DNS_MESSAGE_MAX && (q[2] & 0xf8) == 0 && q[4] == 0 &&
	       q[5] == 1;
}

/* Label `i` of a name in lower case; false when it is longer than DNS_NAME_MAX or absent. */
static bool label_of(const ldns_rdf *name, unsigned int i, char *buf)
{
	ldns_rdf *label = ldns_dname_label(name, (uint8_t)i);
	size_t n;
	bool ok;

	if (!label)
		return false;
	n = ldns_rdf_data(label)[0];
	ok = n > 0 && n < DNS_NAME_MAX;
	for (size_t k = 0; ok && k < n; k++)
		buf[k] = (char)tolower(ldns_rdf_data(label)[1 + k]);
	if (ok)
		buf[n] = '\0';
	ldns_rdf_deep_free(label);
	return ok && strlen(buf) == n;
}

static bool label_is(const ldns_rdf *name, uint8_t i, const char *text)
{
	char label[DNS_NAME_MAX];

	return label_of(name, i, label) && streq(label, text);
}

/* "5.0.209.10" in front of in-addr.arpa. */
static bool reverse_v4(const ldns_rdf *name, uint32_t *ret_v4)
{
	uint32_t v4 = 0;

	for (uint8_t i = V4_LABELS; i-- > 0;) {
		char label[DNS_NAME_MAX];
		unsigned long byte;
		char *end;

		if (!label_of(name, i, label) || !isdigit((unsigned char)label[0]) ||
		    strlen(label) > 3)
			return false;
		byte = strtoul(label, &end, 10);
		if (*end || byte > 255)
			return false;
		v4 = v4 << 8 | (uint32_t)byte;
	}
	*ret_v4 = v4;
	return true;
}

/* 32 digits in front of ip6.arpa, the last one first. */
static bool reverse_v6(const ldns_rdf *name, uint8_t v6[16])
{
	for (unsigned int i = 0; i < V6_LABELS; i++) {
		size_t at = 15U - i / 2U;
		char label[DNS_NAME_MAX];
		int digit;

		if (!label_of(name, i, label) || label[1])
			return false;
		digit = hex_digit(label[0]);
		if (digit < 0)
			return false;
		v6[at] = (uint8_t)(i % 2 ? v6[at] | digit << 4 : digit);
	}
	return true;
}

/* What is asked for, and what is known about it. */
struct question {
	ldns_pkt_rcode rcode;
	bool found;
	bool reverse;
	struct dns_host host;
};

static void look_up(const struct dns_config *config, const ldns_rdf *name, struct question *q)
{
	uint8_t labels = ldns_dname_label_count(name);
	char label[DNS_NAME_MAX];
	uint8_t v6[16] = { 0 };
	uint32_t v4;

	q->rcode = LDNS_RCODE_NXDOMAIN;
	if (labels >= 1 && label_is(name, (uint8_t)(labels - 1), "vm")) {
		/* The zone's own name exists, without any record. */
		if (labels == 1)
			q->rcode = LDNS_RCODE_NOERROR;
		else if (labels == 2 && label_of(name, 0, label) && dns_label_valid(label))
			q->found = config->by_name(config->data, label, &q->host);
	} else if (labels == V4_LABELS + 2 && label_is(name, V4_LABELS, "in-addr") &&
		   label_is(name, V4_LABELS + 1, "arpa")) {
		q->reverse = true;
		q->found = reverse_v4(name, &v4) && config->by_v4(config->data, v4, &q->host);
	} else if (labels == V6_LABELS + 2 && label_is(name, V6_LABELS, "ip6") &&
		   label_is(name, V6_LABELS + 1, "arpa")) {
		q->reverse = true;
		q->found = reverse_v6(name, v6) && config->by_v6(config->data, v6, &q->host);
	} else {
		q->rcode = LDNS_RCODE_REFUSED;
	}
	if (q->found)
		q->rcode = LDNS_RCODE_NOERROR;
}

/* The record's data, or NULL when the host has none of that type. */
static ldns_rdf *data_of(const struct question *q, ldns_rr_type type)
{
	static const uint8_t none[16];
	uint32_t v4 = htonl(q->host.v4);
	ldns_rdf *rdf = NULL;
	char name[DNS_NAME_MAX + 4];

	if (!q->found)
		return NULL;
	if (q->reverse) {
		if (type != LDNS_RR_TYPE_PTR)
			return NULL;
		(void)snprintf(name, sizeof(name), "%s.vm.", q->host.name);
		return ldns_dname_new_frm_str(name);
	}
	if (type == LDNS_RR_TYPE_A && q->host.v4)
		rdf = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_A, sizeof(v4), &v4);
	else if (type == LDNS_RR_TYPE_AAAA && memcmp(q->host.v6, none, sizeof(none)) != 0)
		rdf = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_AAAA, sizeof(q->host.v6), q->host.v6);
	return rdf;
}

/* Adds the answer to the reply. */
static void add_record(ldns_pkt *reply, const ldns_rr *asked, ldns_rdf *data)
{
	ldns_rr *rr = ldns_rr_new();

	if (!rr) {
		ldns_rdf_deep_free(data);
		return;
	}
	ldns_rr_set_owner(rr, ldns_rdf_clone(ldns_rr_owner(asked)));
	ldns_rr_set_type(rr, ldns_rr_get_type(asked));
	ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
	ldns_rr_set_ttl(rr, DNS_TTL_S);
	if (!ldns_rr_push_rdf(rr, data)) {
		ldns_rdf_deep_free(data);
		ldns_rr_free(rr);
		return;
	}
	if (!ldns_pkt_push_rr(reply, LDNS_SECTION_ANSWER, rr))
		ldns_rr_free(rr);
}

size_t dns_answer(const struct dns_config *config, const uint8_t *query, size_t len,
		  uint8_t reply[DNS_MESSAGE_MAX])
{
	ldns_pkt *in CLEANUP(pkt_free_p)
	= NULL;
	ldns_pkt *out CLEANUP(pkt_free_p)
	= NULL;
	struct question q = { .rcode = LDNS_RCODE_REFUSED };
	const ldns_rr *asked;
	ldns_rdf *data = NULL;
	autofree uint8_t *wire = NULL;
	size_t size = 0;
	ldns_rr *copy;

	if (!is_query(query, len) || ldns_wire2pkt(&in, query, len) != LDNS_STATUS_OK)
		return 0;
	asked = ldns_rr_list_rr(ldns_pkt_question(in), 0);
	out = ldns_pkt_new();
	copy = asked ? ldns_rr_clone(asked) : NULL;
	if (!out || !copy)
		return 0;
	if (ldns_rr_get_class(asked) == LDNS_RR_CLASS_IN)
		look_up(config, ldns_rr_owner(asked), &q);
	ldns_pkt_set_id(out, ldns_pkt_id(in));
	ldns_pkt_set_qr(out, true);
	ldns_pkt_set_aa(out, q.rcode != LDNS_RCODE_REFUSED);
	ldns_pkt_set_rd(out, ldns_pkt_rd(in));
	ldns_pkt_set_rcode(out, (uint8_t)q.rcode);
	if (!ldns_pkt_push_rr(out, LDNS_SECTION_QUESTION, copy)) {
		ldns_rr_free(copy);
		return 0;
	}
	data = data_of(&q, ldns_rr_get_type(asked));
	if (data)
		add_record(out, asked, data);
	if (ldns_pkt2wire(&wire, out, &size) != LDNS_STATUS_OK || size > DNS_MESSAGE_MAX)
		return 0;
	memcpy(reply, wire, size);
	return size;
}
