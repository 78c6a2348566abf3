/* SPDX-License-Identifier: MIT
 *
 * json.c: Context.call_json: a request's body goes into JavaScript and a response's body comes out,
 * with no Python object between them.
 *
 * V8 reads ASCII as it is, so a body of ASCII, as JSON mostly is, is handed over where it lies.
 * Any other is decoded first, strictly: JSON is UTF-8 (RFC 8259, section 8.1).
 */
#include "json.h"

#include <string.h>

#include "to_js.h"

static int
is_ascii(const unsigned char *text, size_t length)
{
    uint64_t all = 0, part;
    size_t i = 0;
    for (; i + sizeof(part) <= length; i += sizeof(part)) {
        memcpy(&part, text + i, sizeof(part));
        all |= part;
    }
    for (; i < length; i++) {
        all |= text[i];
    }
    return (all & UINT64_C(0x8080808080808080)) == 0;
}

/* text as a JSON argument. */
static int
text_to_json(jsrt_args_t *args, PyObject *text, jsv8_value_t *out)
{
    if (jsrt_text_to_js(args, text, out) < 0) {
        return -1;
    }
    out->tag = out->tag == JSV8_LATIN1 ? JSV8_JSON_LATIN1 : JSV8_JSON_UTF16;
    return 0;
}

static PyObject *
call(ContextObject *context, PyObject *name, PyObject *body, PyObject *loop)
{
    PyObject *out = NULL, *decoded = NULL;
    Py_buffer view = {0};
    jsrt_args_t args;
    int ready = 0;

    jsrt_args_init(&args, context->state);
    args.count = body != NULL;
    if (body == NULL) {
        ready = 1;
    } else if (PyUnicode_Check(body)) {
        ready = text_to_json(&args, body, &args.values[0]) == 0;
    } else if (!PyObject_CheckBuffer(body)) {
        PyErr_Format(PyExc_TypeError, "body must be JSON as bytes or str, not %.200s",
                     Py_TYPE(body)->tp_name);
    } else if (PyObject_GetBuffer(body, &view, PyBUF_SIMPLE) == 0) {
        if (is_ascii(view.buf, (size_t)view.len)) {
            args.values[0].tag = JSV8_JSON_LATIN1;
            args.values[0].u.text.data = view.buf;
            args.values[0].u.text.length = (size_t)view.len;
            ready = 1;
        } else {
            decoded = PyUnicode_DecodeUTF8(view.buf, view.len, NULL);
            ready = decoded != NULL && text_to_json(&args, decoded, &args.values[0]) == 0;
        }
    }
    if (ready) {
        out = jsrt_context_call(context, name, &args, JSV8_JSON, loop);
    }
    jsrt_args_release(&args);
    PyBuffer_Release(&view);
    Py_XDECREF(decoded);
    return out;
}

PyObject *
jsrt_json_call(ContextObject *context, const jsrt_signature_t *signature, PyObject *const *args,
               Py_ssize_t count, PyObject *keywords, PyObject *loop)
{
    PyObject *given[JSRT_PARSE_MOST];
    if (jsrt_parse(signature, args, count, keywords, given) < 0) {
        return NULL;
    }
    return call(context, given[0], given[1], loop);
}
