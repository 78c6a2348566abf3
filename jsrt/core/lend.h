/* SPDX-License-Identifier: MIT
 *
 * lend.h: buffers of Python's as typed arrays, shared with JavaScript where it may write to them.
 *
 * What is shared is kept by a memoryview of our own, which V8 owns: its exporter cannot be resized
 * or freed meanwhile. V8 gives it back on any thread; it is released by the next thread that leaves
 * an engine, or by Python's main thread (a pending call), whichever comes first.
 */
#ifndef JSRT_LEND_H
#define JSRT_LEND_H

#include "to_js.h"

/* object, which has the buffer protocol, as a value: JSV8_LENT_BYTES, or JSV8_BYTES for a copy as
 * Uint8Array. Returns 1, 0 where it is no array (a scalar of numpy's), or -1 with an exception. May
 * run Python. */
int jsrt_lend_to_js(jsrt_args_t *args, PyObject *object, jsv8_value_t *out);

/* Releases what was given back. Not inside of V8. May run Python; leaves the exception set as it
 * is. */
void jsrt_lend_release(void);

/* V8 has started; it is about to stop, and Python with it. */
void jsrt_lend_start(void);
void jsrt_lend_stop(void);

#endif
