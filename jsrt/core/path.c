/* SPDX-License-Identifier: MIT
 *
 * path.c: names a place in a tree ("$.users[3].name") for ConversionError.
 *
 * Called only on the way to an exception, by tree.c and to_py.c.
 */
#include "tree.h"

/* "name" may stand behind a dot. */
static int
is_name(PyObject *key)
{
    if (PyUnicode_GET_LENGTH(key) == 0 || PyUnicode_GET_LENGTH(key) > 60) {
        return 0;
    }
    return PyUnicode_IsIdentifier(key) == 1;
}

PyObject *
jsrt_path_key(PyObject *path, PyObject *key)
{
    PyObject *longer;
    if (path == NULL) {
        return NULL;
    }
    if (!PyUnicode_Check(key)) {
        longer = PyUnicode_FromFormat("%U.get(%.60R)", path, key);
    } else if (is_name(key)) {
        longer = PyUnicode_FromFormat("%U.%U", path, key);
    } else {
        longer = PyUnicode_FromFormat("%U[%.60R]", path, key);
    }
    Py_DECREF(path);
    return longer;
}

PyObject *
jsrt_path_index(PyObject *path, Py_ssize_t index)
{
    if (path == NULL) {
        return NULL;
    }
    PyObject *longer = PyUnicode_FromFormat("%U[%zd]", path, index);
    Py_DECREF(path);
    return longer;
}
