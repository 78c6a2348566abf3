/* SPDX-License-Identifier: MIT
 *
 * node_env.hh: Node's environment inside an isolate, and the isolate's own loop.
 */
#ifndef JSRT_V8_NODE_ENV_HH
#define JSRT_V8_NODE_ENV_HH

#include "scope.hh"

namespace jsv8
{

/* Inside the isolate, no context entered: makes context, environment and globals. */
jsv8_status_t start_node(jsv8_isolate *iso, jsv8_error_t *error);
/* Inside the isolate and its context: closes all of the environment's handles, frees it. */
void stop_node(jsv8_isolate *iso);
/* After a termination: what Node's interrupted JavaScript has left behind. */
void unwind_node(jsv8_isolate *iso);
/* Microtasks and process.nextTick as Node orders them. */
void drain_node(jsv8_isolate *iso);

}   // namespace jsv8
#endif
