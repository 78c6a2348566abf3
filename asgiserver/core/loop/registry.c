/* SPDX-License-Identifier: MIT
 *
 * registry.c: see registry.h. What weakref.WeakSet does in add() and in the callback of its
 * references, over the set, list and set that it keeps in `data`, `_pending_removals` and
 * `_iterating` and never replaces.
 */
#include "loop/registry.h"

#if PY_VERSION_HEX < 0x030E0000

/* What the functions have as their self: a tuple each. */
enum { REMOVE_DATA, REMOVE_PENDING, REMOVE_ITERATING };
enum { ADD_DATA, ADD_PENDING, ADD_COMMIT, ADD_CALLBACK };

/* The callback of a reference whose task is gone. While somebody iterates, the set may not change. */
static PyObject *
on_gone(PyObject *self, PyObject *reference)
{
    if (PySet_GET_SIZE(PyTuple_GET_ITEM(self, REMOVE_ITERATING)) > 0) {
        if (PyList_Append(PyTuple_GET_ITEM(self, REMOVE_PENDING), reference) < 0)
            return NULL;
    } else if (PySet_Discard(PyTuple_GET_ITEM(self, REMOVE_DATA), reference) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
add(PyObject *self, PyObject *task)
{
    PyObject *reference;
    int code;

    if (PyList_GET_SIZE(PyTuple_GET_ITEM(self, ADD_PENDING)) > 0) {
        PyObject *done = PyObject_CallNoArgs(PyTuple_GET_ITEM(self, ADD_COMMIT));

        if (done == NULL)
            return NULL;
        Py_DECREF(done);
    }
    reference = PyWeakref_NewRef(task, PyTuple_GET_ITEM(self, ADD_CALLBACK));
    if (reference == NULL)
        return NULL;
    code = PySet_Add(PyTuple_GET_ITEM(self, ADD_DATA), reference);
    Py_DECREF(reference);
    if (code < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef on_gone_def = {"_remove", on_gone, METH_O, NULL};
static PyMethodDef add_def = {"add", add, METH_O, NULL};

/* asyncio's set, new, where it is a plain WeakSet; NULL without an exception: it is not. */
static PyObject *
find_set(void)
{
    PyObject *tasks = PyImport_ImportModule("asyncio.tasks");
    PyObject *weakref = tasks != NULL ? PyImport_ImportModule("weakref") : NULL;
    PyObject *type = weakref != NULL ? PyObject_GetAttrString(weakref, "WeakSet") : NULL;
    PyObject *set = NULL;

    if (type != NULL)
        set = PyObject_GetAttrString(tasks, PY_VERSION_HEX >= 0x030C0000 ? "_scheduled_tasks"
                                                                         : "_all_tasks");
    if (set != NULL && (PyObject *)Py_TYPE(set) != type)
        Py_CLEAR(set);
    if (PyErr_Occurred() != NULL && PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    Py_XDECREF(type);
    Py_XDECREF(weakref);
    Py_XDECREF(tasks);
    return set;
}

/* The function with this self, which it steals. Returns: new, or NULL, as where self is. */
static PyObject *
function(PyMethodDef *def, PyObject *self)
{
    PyObject *made = self != NULL ? PyCFunction_New(def, self) : NULL;

    Py_XDECREF(self);
    return made;
}

static int
replace(PyObject *set, PyObject *fields)
{
    PyObject *data = PyDict_GetItemString(fields, "data");
    PyObject *pending = PyDict_GetItemString(fields, "_pending_removals");
    PyObject *iterating = PyDict_GetItemString(fields, "_iterating");
    PyObject *commit, *callback, *made = NULL;
    int code = -1;

    if (PyDict_GetItemString(fields, "add") != NULL)
        return 0; /* somebody has been here */
    if (data == NULL || !PySet_CheckExact(data) || pending == NULL || !PyList_CheckExact(pending)
        || iterating == NULL || !PySet_CheckExact(iterating))
        return 0;
    commit = PyObject_GetAttrString(set, "_commit_removals");
    callback =
        commit != NULL ? function(&on_gone_def, PyTuple_Pack(3, data, pending, iterating)) : NULL;
    if (callback != NULL)
        made = function(&add_def, PyTuple_Pack(4, data, pending, commit, callback));
    if (made != NULL && PyDict_SetItemString(fields, "add", made) == 0)
        code = 1;
    Py_XDECREF(made);
    Py_XDECREF(callback);
    Py_XDECREF(commit);
    return code;
}

int
asgi_registry_take_over(void)
{
    PyObject *set = find_set(), *fields;
    int code;

    if (set == NULL)
        return PyErr_Occurred() != NULL ? -1 : 0;
    fields = PyObject_GenericGetDict(set, NULL);
    code = fields != NULL ? replace(set, fields) : -1;
    Py_XDECREF(fields);
    Py_DECREF(set);
    return code;
}

#else

int
asgi_registry_take_over(void)
{
    return 0;
}

#endif
