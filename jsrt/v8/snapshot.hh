/* SPDX-License-Identifier: MIT
 *
 * snapshot.hh: the start-up blob that the isolates of this process come from.
 */
#ifndef JSRT_V8_SNAPSHOT_HH
#define JSRT_V8_SNAPSHOT_HH

#include "v8-snapshot.h"

#include "exception.hh"

namespace jsv8
{

/* The blob for an isolate of this config, NULL: V8's own; or the status of a refusal. */
jsv8_status_t choose_blob(const jsv8_isolate_config_t *config, v8::StartupData **out,
                          jsv8_error_t *error);
/* Tells code that was compiled beside one blob from code that was beside another. */
uint32_t blob_tag();

}   // namespace jsv8
#endif
