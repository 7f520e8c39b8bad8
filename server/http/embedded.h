/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are part of the program: the OpenAPI document in four forms, and as a page to read. */
#pragma once

#include <stddef.h>

struct embedded {
	const char *data;
	size_t len;
};

struct embedded embedded_openapi_json(void);
struct embedded embedded_openapi_json_gz(void);
/* As JSON without its prose: what the router and the validator keep in memory. */
struct embedded embedded_openapi_rules(void);
struct embedded embedded_openapi_yaml(void);
struct embedded embedded_docs_html(void);
struct embedded embedded_docs_html_gz(void);
