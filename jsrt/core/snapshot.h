/* SPDX-License-Identifier: MIT
 *
 * snapshot.h: start-up snapshots.
 */
#ifndef JSRT_SNAPSHOT_H
#define JSRT_SNAPSHOT_H

#include "engine.h"

/* jsrt._jsrt._make_snapshot(code, filename): the blob, as bytes. Once in a process. */
PyObject *jsrt_snapshot_make(PyObject *module, PyObject *given);
/* Has an engine that has not booted come from a jsrt.Snapshot; None: from V8's own blob. Returns 0,
 * or -1 with an exception. Runs Python. */
int jsrt_snapshot_take(EngineObject *engine, PyObject *snapshot);

#endif
