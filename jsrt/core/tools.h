/* SPDX-License-Identifier: MIT
 *
 * tools.h: methods of jsrt.Context, in its table (context.c), that look at V8. Each enters an
 * engine, and returns new references or NULL with an exception.
 */
#ifndef JSRT_TOOLS_H
#define JSRT_TOOLS_H

#include "context.h"

PyObject *jsrt_tools_heap_statistics(ContextObject *context, PyObject *unused);
/* The same figures and more, under V8's own names. */
PyObject *jsrt_tools_v8_statistics(ContextObject *context, PyObject *unused);
PyObject *jsrt_tools_heap_snapshot(ContextObject *context, PyObject *path);
PyObject *jsrt_tools_profile_start(ContextObject *context, PyObject *args);
PyObject *jsrt_tools_profile_stop(ContextObject *context, PyObject *path);
PyObject *jsrt_tools_collect(ContextObject *context, PyObject *unused);
PyObject *jsrt_tools_collect_once(ContextObject *context, PyObject *unused);
PyObject *jsrt_tools_pool_stats(ContextObject *context, PyObject *unused);
/* seconds: a number; frees the engines that were idle so long. */
PyObject *jsrt_tools_pool_shrink(ContextObject *context, PyObject *seconds);

#endif
