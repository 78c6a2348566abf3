/* SPDX-License-Identifier: MIT
 *
 * dates.h: CPython's datetime.h, whose static pointer to its C API is not used here: the module's
 * state holds one.
 */
#ifndef JSRT_DATES_H
#define JSRT_DATES_H

#include "state.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-variable"
#include <datetime.h>
#pragma GCC diagnostic pop

#endif
