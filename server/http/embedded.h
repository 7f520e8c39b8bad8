/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are part of the program: the OpenAPI document in three forms, and as a page to read.
 */
#pragma once

#include <stddef.h>

struct embedded {
	const char *data;
	size_t len;
};

struct embedded embedded_openapi_json(void);
struct embedded embedded_openapi_json_gz(void);
struct embedded embedded_openapi_yaml(void);
struct embedded embedded_docs_html(void);
struct embedded embedded_docs_html_gz(void);
