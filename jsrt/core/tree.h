/* SPDX-License-Identifier: MIT
 *
 * tree.h: a Python tree written as JSON text or in V8's wire format.
 */
#ifndef JSRT_TREE_H
#define JSRT_TREE_H

#include "buf.h"
#include "state.h"
#include "to_js.h"
#include "wire.h"

/* Writes the tree under object into keep's buf and says in *tag what it wrote: JSV8_JSON_LATIN1,
 * JSV8_JSON_UTF16 or JSV8_WIRE. What lives on one side only is added to keep's extras, what those
 * point to to args. index as in jsrt_to_js_any. Returns 0, or -1 with an exception. May run
 * Python. */
int jsrt_tree_write(jsrt_args_t *args, PyObject *object, jsrt_keep_t *keep, jsv8_tag_t *tag,
                    Py_ssize_t index);

/* ---- plain.c: objects that stand for plain values -------------------------------------------- */

typedef enum {
    JSRT_KIND_UNKNOWN = 0,
    JSRT_KIND_DATETIME,
    JSRT_KIND_DATE,
    JSRT_KIND_TEXT, /* str(object): Decimal, UUID */
    JSRT_KIND_ENUM, /* object.value */
    JSRT_KIND_DATACLASS,
    JSRT_KIND_PYDANTIC,
    JSRT_KIND_MAPPING
} jsrt_kind_t;

/* What kind of object this is; the answer is kept by type. Returns -1 with an exception. */
int jsrt_plain_kind(jsrt_state_t *state, PyObject *object);
/* The plain object it stands for (not for the two kinds of date). Returns: new, or NULL. */
PyObject *jsrt_plain_value(jsrt_state_t *state, PyObject *object, jsrt_kind_t kind);
/* Milliseconds since the epoch of a datetime or date. Returns 0, or -1 with an exception. */
int jsrt_plain_date(jsrt_state_t *state, PyObject *object, jsrt_kind_t kind, double *out);
/* Little-endian magnitude of an int, a multiple of 8 bytes. Returns: new bytes, or NULL. */
PyObject *jsrt_plain_magnitude(PyObject *integer, int *negative);

/* ---- path.c: where in a tree ------------------------------------------------------------------ */

/* path + ".key" or path + '["key"]' for a str, "[3]" for an int, ".get(...)" for other keys.
 * Steals path. Returns: new, or NULL. */
PyObject *jsrt_path_key(PyObject *path, PyObject *key);
PyObject *jsrt_path_index(PyObject *path, Py_ssize_t index);

#endif
