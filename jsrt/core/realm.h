/* SPDX-License-Identifier: MIT
 *
 * realm.h: several contexts in one engine.
 *
 * A Context made by Context.realm() has its parent's engine and a global scope of its own there. An
 * engine remembers whose scope is current (`scope`); a call of another context changes it first.
 *
 * Invariants
 *   1. engine->applied counts the sources of the current scope; those of the others are in their
 *      contexts (`applied`).
 *   2. A realm belongs to one boot of the engine. After a heap limit it is made again, and its
 *      sources are run again.
 */
#ifndef JSRT_REALM_H
#define JSRT_REALM_H

#include "context.h"

/* Makes the context's scope the current one of its engine, which is entered. Returns 0, or -1 with
 * an exception. */
int jsrt_realm_switch(ContextObject *context, EngineObject *engine);
/* Context.realm(*, timeout). Returns: new, or NULL. */
PyObject *jsrt_realm_new(ContextObject *parent, PyObject *const *args, Py_ssize_t count,
                         PyObject *keywords);
/* The scope is not needed any more. Any thread. */
void jsrt_realm_drop(ContextObject *context);

#endif
