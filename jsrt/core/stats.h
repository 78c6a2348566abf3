/* SPDX-License-Identifier: MIT
 *
 * stats.h: what JavaScript costs this process: calls, isolates, heap.
 *
 * Calls are counted without a counter of their own: the watch of an engine numbers its entries and
 * exits anyway. What an engine has counted when its isolate is freed moves to the module's state.
 */
#ifndef JSRT_STATS_H
#define JSRT_STATS_H

#include "engine.h"

/* _jsrt.statistics(). */
PyObject *jsrt_stats(PyObject *module, PyObject *unused);

/* The engine leaves state->engines: keeps its number of calls. */
void jsrt_stats_keep(EngineObject *engine);

#endif
