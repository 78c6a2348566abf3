/* SPDX-License-Identifier: MIT
 *
 * source.h: a source that compile() keeps, and V8's code cache of it.
 *
 * Invariants
 *   1. A source is hashed once; the digest stays with it.
 *   2. A cache is made when its script has run, and once more when the engine goes, if calls have
 *      made V8 compile more since: the next process then compiles nothing.
 *   3. Failing to find, make or keep a cache is never an error of the caller's.
 */
#ifndef JSRT_SOURCE_H
#define JSRT_SOURCE_H

#include "engine.h"

typedef struct {
    PyObject *code;     /* owned: str */
    PyObject *filename; /* owned: str */
    PyObject *key;      /* owned: bytes, the store's name for it; NULL: not asked yet, or small */
} jsrt_source_t;

/* A script of an engine whose cache may be renewed when the engine goes. */
typedef struct jsrt_script {
    PyObject *key; /* owned */
    size_t script, size;
    struct jsrt_script *next; /* owned */
} jsrt_script_t;

/* Runs a source as a global script, by way of the code cache where it is large enough. Inside.
 * An error of Python's is set where the status is JSV8_NO_MEMORY. May run Python. */
jsv8_status_t jsrt_source_run(EngineObject *engine, jsrt_source_t *source, jsv8_error_t *error);
void jsrt_source_dispose(jsrt_source_t *source);
/* Makes the caches again that have grown by use. The engine is not entered, and may be by this
 * thread. Runs Python. */
void jsrt_source_renew(EngineObject *engine);
/* The isolate goes. */
void jsrt_source_forget(EngineObject *engine);

#endif
