/* SPDX-License-Identifier: MIT
 *
 * error.c: builds the exceptions of errors.py from a jsv8_error_t.
 *
 * Called by engine.c and promise.c, inside the engine (the error's texts lie in the isolate's
 * buffer) with the GIL held.
 */
#include "error.h"

#include "object.h"

static PyObject *
class_for(jsrt_state_t *state, jsv8_status_t status, const jsv8_error_t *error)
{
    switch (status) {
    case JSV8_EXCEPTION:
        if (error != NULL && strcmp(error->name, "SyntaxError") == 0) {
            return state->JSSyntaxError;
        }
        return state->JSError;
    case JSV8_HEAP_LIMIT:
        return state->HeapLimit;
    case JSV8_CONVERSION:
        return state->ConversionError;
    case JSV8_NOT_FOUND:
        return state->JSError;
    case JSV8_TERMINATED:
        return state->JSError;
    case JSV8_NO_MEMORY:
        return PyExc_MemoryError;
    default:
        return state->Error;
    }
}

static const char *
default_message(jsv8_status_t status)
{
    switch (status) {
    case JSV8_HEAP_LIMIT:
        return "JavaScript hit the heap limit";
    case JSV8_CONVERSION:
        return "the value has no plain-data form in Python";
    case JSV8_NOT_FOUND:
        return "no such function";
    case JSV8_TERMINATED:
        return "JavaScript was stopped";
    case JSV8_NO_MEMORY:
        return "out of memory";
    case JSV8_UNSUPPORTED:
        return "V8 could not be started";
    default:
        return "JavaScript failed";
    }
}

/* Sets a text attribute given as UTF-8 in the keyword dict. */
static int
put_text(PyObject *keywords, const char *name, const char *text)
{
    PyObject *value = jsrt_utf8_to_py(text);
    int code = value ? PyDict_SetItemString(keywords, name, value) : -1;
    Py_XDECREF(value);
    return code;
}

static int
put_number(PyObject *keywords, const char *name, int number)
{
    PyObject *value = PyLong_FromLong(number);
    int code = value ? PyDict_SetItemString(keywords, name, value) : -1;
    Py_XDECREF(value);
    return code;
}

static PyObject *
details(jsrt_state_t *state, jsv8_status_t status, const jsv8_error_t *error)
{
    PyObject *keywords = PyDict_New();
    if (keywords == NULL || error == NULL) {
        return keywords;
    }
    const char *name = status == JSV8_NOT_FOUND && !error->name[0] ? "ReferenceError" : error->name;
    PyObject *value = error->value.tag == JSV8_REF ? NULL : jsrt_to_py_any(state, &error->value);
    if (value == NULL) {
        PyErr_Clear();
        value = Py_NewRef(Py_None);
    }
    int code = PyDict_SetItemString(keywords, "value", value);
    Py_DECREF(value);
    if (code < 0 || put_text(keywords, "name", name) < 0
        || put_text(keywords, "stack", error->stack) < 0
        || put_text(keywords, "filename", error->filename) < 0
        || put_text(keywords, "source_line", error->source_line) < 0
        || put_number(keywords, "line", error->line) < 0
        || put_number(keywords, "column", error->column) < 0
        || put_number(keywords, "end_column", error->end_column) < 0) {
        Py_CLEAR(keywords);
    }
    return keywords;
}

PyObject *
jsrt_error_new(jsrt_state_t *state, jsv8_status_t status, const jsv8_error_t *error)
{
    /* An exception of Python's own that has crossed JavaScript. */
    if (error != NULL && error->host != NULL
        && PyExceptionInstance_Check((PyObject *)error->host)) {
        return Py_NewRef((PyObject *)error->host);
    }
    PyObject *cause = error != NULL ? error->cause : NULL;
    Py_XINCREF(cause);
    PyObject *class_ = class_for(state, status, error);
    int detailed = PyObject_IsSubclass(class_, state->JSError);
    const char *text = error && error->message && error->message[0] ? error->message : "";
    PyObject *message =
        jsrt_utf8_to_py(text[0] || status == JSV8_EXCEPTION ? text : default_message(status));
    PyObject *arguments = message ? PyTuple_Pack(1, message) : NULL;
    Py_XDECREF(message);
    if (detailed < 0 || arguments == NULL) {
        Py_XDECREF(arguments);
        Py_XDECREF(cause);
        return NULL;
    }
    PyObject *keywords = NULL, *out = NULL;
    if (!detailed || (keywords = details(state, status, error)) != NULL) {
        out = PyObject_Call(class_, arguments, keywords);
    }
    Py_XDECREF(keywords);
    Py_DECREF(arguments);
    if (out != NULL && cause != NULL && PyExceptionInstance_Check(cause)) {
        PyException_SetCause(out, Py_NewRef(cause));
    }
    Py_XDECREF(cause);
    return out;
}

void
jsrt_error_raise(jsrt_state_t *state, jsv8_status_t status, const jsv8_error_t *error)
{
    PyObject *exception = jsrt_error_new(state, status, error);
    if (exception != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
        Py_DECREF(exception);
    }
}

PyObject *
jsrt_error_fetch(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL && value != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

void
jsrt_error_carry(EngineObject *engine, jsv8_ref_t *thrown)
{
    PyObject *type, *value, *traceback;
    jsv8_value_t result = {.tag = JSV8_REF, .u.ref = thrown};
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *handle = jsrt_object_from(engine, &result);
    if (handle != NULL && value != NULL
        && PyObject_TypeCheck(value, (PyTypeObject *)engine->state->JSError)) {
        PyObject_SetAttrString(value, "_thrown", handle);
    }
    Py_XDECREF(handle);
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

void
jsrt_error_raise_timeout(jsrt_state_t *state, double seconds)
{
    char *text = PyOS_double_to_string(seconds, 'r', 0, 0, NULL);
    if (text == NULL) {
        return;
    }
    PyObject *message =
        PyUnicode_FromFormat("JavaScript ran longer than the timeout of %s s", text);
    PyMem_Free(text);
    PyObject *exception = message ? PyObject_CallOneArg(state->Timeout, message) : NULL;
    Py_XDECREF(message);
    if (exception != NULL) {
        PyErr_SetObject(state->Timeout, exception);
        Py_DECREF(exception);
    }
}

int
jsrt_error_init(jsrt_state_t *state)
{
    const struct {
        const char *name;
        PyObject **slot;
    } classes[] = {
        {"Error", &state->Error},
        {"JSError", &state->JSError},
        {"JSSyntaxError", &state->JSSyntaxError},
        {"Timeout", &state->Timeout},
        {"HeapLimit", &state->HeapLimit},
        {"ConversionError", &state->ConversionError},
        {"ContextClosed", &state->ContextClosed},
        {"PendingPromiseError", &state->PendingPromiseError},
    };
    PyObject *module = PyImport_ImportModule("jsrt.errors");
    if (module == NULL) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        *classes[i].slot = PyObject_GetAttrString(module, classes[i].name);
        if (*classes[i].slot == NULL) {
            Py_DECREF(module);
            return -1;
        }
    }
    Py_DECREF(module);
    return 0;
}
