/* SPDX-License-Identifier: MIT
 *
 * snapshot.c: start-up snapshots: making one, for jsrt/snapshots.py in a process of its own, and
 * taking one from what a context is given.
 */
#include "snapshot.h"

#include "error.h"
#include "to_js.h"

static int
take(void *user, const char *data, size_t size)
{
    PyObject **out = user;
    *out = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    return *out != NULL ? 0 : -1;
}

PyObject *
jsrt_snapshot_make(PyObject *module, PyObject *given)
{
    jsrt_state_t *state = jsrt_state_of(module);
    PyObject *code, *out = NULL;
    const char *filename;
    jsrt_args_t args;
    jsv8_value_t source;
    jsv8_error_t error = {0};
    if (!PyArg_ParseTuple(given, "Us:_make_snapshot", &code, &filename)
        || jsrt_engine_process_start(state) < 0) {
        return NULL;
    }
    jsrt_args_init(&args, state);
    if (jsrt_text_to_js(&args, code, &source) == 0) {
        jsv8_status_t status = jsrt_v8.snapshot(&source, filename, take, &out, &error);
        if (status != JSV8_OK && !PyErr_Occurred()) {
            jsrt_error_raise(state, status, &error);
        }
    }
    jsrt_args_release(&args);
    return out;
}

int
jsrt_snapshot_take(EngineObject *engine, PyObject *snapshot)
{
    if (snapshot == Py_None) {
        return 0;
    }
    if (engine->profile != JSV8_PROFILE_BARE) {
        PyErr_SetString(PyExc_ValueError,
                        "a snapshot is for profile='bare': Node's environment has its own");
        return -1;
    }
    PyObject *blob = PyObject_CallMethod(snapshot, "_checked", NULL);
    if (blob != NULL && !PyBytes_Check(blob)) {
        Py_CLEAR(blob);
        PyErr_SetString(PyExc_TypeError, "snapshot must be a jsrt.Snapshot");
    }
    engine->snapshot = blob;
    return blob != NULL ? 0 : -1;
}
