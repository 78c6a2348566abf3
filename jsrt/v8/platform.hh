/* SPDX-License-Identifier: MIT
 *
 * platform.hh: the process's V8 platform, for the files that register isolates with it.
 */
#ifndef JSRT_V8_PLATFORM_HH
#define JSRT_V8_PLATFORM_HH

#include "isolate.hh"

namespace jsv8
{

/* NULL before jsv8_process_start and after jsv8_process_stop. Borrowed. */
node::MultiIsolatePlatform *platform();
/* Between the two. [any] */
bool is_running();

}   // namespace jsv8
#endif
