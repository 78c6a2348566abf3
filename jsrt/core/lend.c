/* SPDX-License-Identifier: MIT
 *
 * lend.c: buffers of Python's on their way in, and back.
 *
 * Called by to_js.c and tree.c for all that has the buffer protocol, bytes excepted. A writable,
 * contiguous buffer is shared, if the context shares; everything else is copied. An exporter's
 * format picks the typed array; a memoryview is always bytes.
 */
#include "lend.h"

#include <pthread.h>

#include "engine.h"

atomic_int jsrt_returned;

static pthread_mutex_t pending_mutex = PTHREAD_MUTEX_INITIALIZER;
static int may_be_pending; /* under pending_mutex: Python takes pending calls */

/* ---- In --------------------------------------------------------------------------------------- */

/* The element that a format of the struct module's stands for here; -1: none. */
static int
element_of(const Py_buffer *view)
{
    static const jsv8_element_t by_size[2][9] = {
        {[1] = JSV8_UINT8, [2] = JSV8_UINT16, [4] = JSV8_UINT32, [8] = JSV8_UINT64},
        {[1] = JSV8_INT8, [2] = JSV8_INT16, [4] = JSV8_INT32, [8] = JSV8_INT64},
    };
    const char *format = view->format != NULL ? view->format : "B";
    Py_ssize_t size = view->itemsize;
    if (*format == '@' || *format == '=' || (PY_LITTLE_ENDIAN && *format == '<')) {
        format++;
    }
    if (*format == '\0' || format[1] != '\0') {
        return -1;
    }
    if (strchr("?cBHILQN", *format) != NULL && (size == 1 || size == 2 || size == 4 || size == 8)) {
        return (int)by_size[0][size];
    }
    if (strchr("bhilqn", *format) != NULL && (size == 1 || size == 2 || size == 4 || size == 8)) {
        return (int)by_size[1][size];
    }
    return *format == 'f' && size == 4   ? JSV8_FLOAT32
           : *format == 'd' && size == 8 ? JSV8_FLOAT64
                                         : -1;
}

/* What is read during the call and copied. */
static int
copied(jsrt_keep_t *keep, const void *data, Py_ssize_t length, jsv8_element_t element,
       jsv8_value_t *out)
{
    keep->loan.object = NULL;
    if (element == JSV8_UINT8) {
        out->tag = JSV8_BYTES;
        out->u.text.data = data;
        out->u.text.length = (size_t)length;
        return 1;
    }
    out->tag = JSV8_LENT_BYTES;
    out->u.lent.data = data;
    out->u.lent.length = (size_t)length;
    out->u.lent.loan = NULL;
    out->u.lent.element = element;
    return 1;
}

int
jsrt_lend_to_js(jsrt_args_t *args, PyObject *object, jsv8_value_t *out)
{
    jsrt_keep_t *keep = jsrt_keep_new(args);
    if (keep == NULL) {
        return -1;
    }
    keep->object = PyMemoryView_FromObject(object);
    if (keep->object == NULL) {
        return -1;
    }
    Py_buffer *view = PyMemoryView_GET_BUFFER(keep->object);
    int is_bytes = PyByteArray_Check(object) || PyMemoryView_Check(object);
    if (!is_bytes && view->ndim == 0) {
        return 0;
    }
    int element = is_bytes ? JSV8_UINT8 : element_of(view);
    if (element < 0) {
        PyErr_Format(args->state->ConversionError,
                     "no typed array has the items of a %.200s of format '%.50s'; a memoryview of "
                     "it is its bytes",
                     Py_TYPE(object)->tp_name, view->format);
        return -1;
    }
    if (!PyBuffer_IsContiguous(view, 'C')) {
        Py_SETREF(keep->object, PyObject_CallMethod(keep->object, "tobytes", NULL));
        return keep->object == NULL
                   ? -1
                   : copied(keep, PyBytes_AS_STRING(keep->object), PyBytes_GET_SIZE(keep->object),
                            (jsv8_element_t)element, out);
    }
    if (view->readonly || !args->share || view->len == 0) {
        return copied(keep, view->buf, view->len, (jsv8_element_t)element, out);
    }
    keep->loan.object = keep->object;
    out->tag = JSV8_LENT_BYTES;
    out->u.lent.data = view->buf;
    out->u.lent.length = (size_t)view->len;
    out->u.lent.loan = &keep->loan;
    out->u.lent.element = (jsv8_element_t)element;
    return 1;
}

/* ---- Back ------------------------------------------------------------------------------------- */

void
jsrt_lend_release(void)
{
    PyObject *type, *value, *traceback, *object;
    atomic_store(&jsrt_returned, 0);
    PyErr_Fetch(&type, &value, &traceback);
    while ((object = jsrt_v8.returned()) != NULL) {
        Py_DECREF(object);
    }
    PyErr_Restore(type, value, traceback);
}

static int
release_pending(void *unused)
{
    if (!jsrt_unusable && jsrt_inside == 0) {
        jsrt_lend_release();
    }
    return 0;
}

/* Any thread, in the middle of V8. Where Python's queue is full the next leave does it. */
static void
on_returned(void)
{
    if (atomic_exchange(&jsrt_returned, 1)) {
        return; /* somebody has been told, and has not come yet */
    }
    pthread_mutex_lock(&pending_mutex);
    if (may_be_pending) {
        (void)Py_AddPendingCall(release_pending, NULL);
    }
    pthread_mutex_unlock(&pending_mutex);
}

static void
set_may_be_pending(int yes)
{
    pthread_mutex_lock(&pending_mutex);
    may_be_pending = yes;
    pthread_mutex_unlock(&pending_mutex);
}

void
jsrt_lend_start(void)
{
    set_may_be_pending(1);
    jsrt_v8.set_return_hook(on_returned);
}

void
jsrt_lend_stop(void)
{
    set_may_be_pending(0);
    jsrt_lend_release();
}
