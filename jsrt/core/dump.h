/* SPDX-License-Identifier: MIT
 *
 * dump.h: at a signal, the JavaScript stacks of all calls that are running, as text.
 *
 * The signal's handler sets a flag and nothing else. The watchdog's thread, which is awake while any
 * call runs, sees it at its next look and asks each running call's thread for an interrupt; the
 * thread writes its stack between two steps of its JavaScript. So nothing is taken from another
 * thread's stack, and no lock is needed where a signal may come. A call that is in C++ (or in
 * Python) all the time writes nothing.
 */
#ifndef JSRT_DUMP_H
#define JSRT_DUMP_H

#include "state.h"

/* _jsrt.dump_stacks_on(signum, fd). */
PyObject *jsrt_dump_register(PyObject *module, PyObject *args);

/* Whether stacks were asked for since the last time. Thread: watchdog. */
int jsrt_dump_wanted(void);
/* Has the running call of an isolate write its stack. Under the watchdog's mutex. */
void jsrt_dump_ask(jsv8_isolate_t *isolate);

#endif
