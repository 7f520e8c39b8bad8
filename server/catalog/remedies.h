/* SPDX-License-Identifier: Apache-2.0 */
/* What to do when an image or a kernel does not come. */
#pragma once

#include "lib/base/error.h"

enum remedy_subject {
	REMEDY_PULL,         /* an image of a registry */
	REMEDY_IMPORT,       /* an image of this machine's files */
	REMEDY_IMAGE_BUILD,  /* by a builder of ours */
	REMEDY_KERNEL,       /* from wherever it comes */
	REMEDY_KERNEL_BUILD, /* of sources */
};

/* Gives the error its remedy, where there is a better one than its code's. Returns the negative
 * errno of the error. */
int remedies_advise(enum remedy_subject subject, struct error *err);
