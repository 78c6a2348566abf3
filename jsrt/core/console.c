/* SPDX-License-Identifier: MIT
 *
 * console.c: the console that writes to Python's logging: what of it must be in C.
 *
 * The console itself is JavaScript, and what it calls is Python (both in jsrt/console.py). A scope
 * gets it by the means that it has anyway: the writer is exposed, as the first thing, and the source
 * is run next, which takes the writer off the global object. So isolates that boot later, lent ones
 * and realms have it as well.
 */
#include "console.h"

#include "expose.h"

int
jsrt_console_attach(ContextObject *context, PyObject *console)
{
    if (console == NULL || console == Py_None) {
        return 0;
    }
    int code = -1;
    jsrt_source_t source = {0};
    PyObject *name = PyUnicode_FromString("jsrt:console");
    PyObject *module = name ? PyImport_ImportModule("jsrt.console") : NULL;
    PyObject *writer = module ? PyObject_CallMethod(module, "Writer", "O", console) : NULL;
    if (writer != NULL) {
        source.code = PyObject_GetAttrString(module, "SOURCE");
        source.filename = Py_NewRef(name);
    }
    if (source.code != NULL && jsrt_expose_keep(context, name, writer) == 0
        && jsrt_context_keep(context, &source) == 0) {
        source = (jsrt_source_t){0};
        context->console = Py_NewRef(writer);
        code = 0;
    }
    jsrt_source_dispose(&source);
    Py_XDECREF(writer);
    Py_XDECREF(module);
    Py_XDECREF(name);
    return code;
}

/* The part of a line of jsv8_stack in which JavaScript of the user's is named; NULL: it is not of
 * the user's. */
static const char *
users_file(const char *line, const char *end)
{
    static const char head[] = "  File \"";
    size_t length = sizeof(head) - 1;
    if ((size_t)(end - line) < length + 5 || memcmp(line, head, length) != 0
        || memcmp(line + length, "jsrt:", 5) == 0 || memcmp(line + length, "node:", 5) == 0) {
        return NULL;
    }
    return line + length;
}

/* file", line 12 in function: a function's name is anything, a file's has no such text in it. */
static PyObject *
parse_frame(const char *file, const char *end)
{
    static const char between[] = "\", line ";
    const char *at = strstr(file, between);
    if (at == NULL || at >= end) {
        return Py_BuildValue("(sis)", "<code>", 0, "<script>");
    }
    char *function;
    long line = strtol(at + sizeof(between) - 1, &function, 10);
    function += function + 4 <= end ? 4 : 0; /* " in " */
    PyObject *name = PyUnicode_DecodeUTF8(file, at - file, "replace");
    PyObject *callee = PyUnicode_DecodeUTF8(function, end - function, "replace");
    PyObject *out =
        name != NULL && callee != NULL ? Py_BuildValue("(OlO)", name, line, callee) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(callee);
    return out;
}

PyObject *
jsrt_console_caller(PyObject *module, PyObject *unused)
{
    enum { TEXT_SIZE = 8192 };
    char text[TEXT_SIZE];
    size_t size = 0;
    if (jsrt_calling != NULL && jsrt_calling->engine->isolate != NULL) {
        size = jsrt_v8.stack(jsrt_calling->engine->isolate, text, sizeof(text) - 1);
    }
    text[size] = '\0';
    const char *at = text;
    while (*at != '\0') {
        const char *end = strchr(at, '\n');
        if (end == NULL) {
            break; /* cut off */
        }
        const char *file = users_file(at, end);
        if (file != NULL) {
            return parse_frame(file, end);
        }
        at = end + 1;
    }
    return Py_BuildValue("(sis)", "<code>", 0, "<script>");
}
