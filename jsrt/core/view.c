/* SPDX-License-Identifier: MIT
 *
 * view.c: jsrt.proxy, and what its views answer (view.h has the rules).
 *
 * Called by expose.c for each look of JavaScript's at a view: what `has`, `get` and their like of
 * the Proxy (v8/view.cc) could not answer themselves. There are four shapes of objects: dicts and
 * lists, which are read as such, whatever their class makes of it; other mappings; and instances,
 * whose attributes they are.
 */
#include "view.h"

#include <structmember.h>

#include "expose.h"
#include "object.h"
#include "tree.h"

enum { LARGEST_GAP = 10000 }; /* that a write behind the end of a list may leave */

/* ---- What there is a view of ----------------------------------------------------------------- */

static int
is_instance(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyAsyncMethods *async = type->tp_as_async;
    /* Types of C are immutable, or none of the heap: their attributes (a generator's frame, a
     * context's globals) lead anywhere. */
    return (type->tp_flags & Py_TPFLAGS_HEAPTYPE) && !(type->tp_flags & Py_TPFLAGS_IMMUTABLETYPE)
           && !PyType_Check(object) && !PyModule_Check(object) && !PyCallable_Check(object)
           && !PyIter_Check(object)
           && (async == NULL || (async->am_await == NULL && async->am_anext == NULL));
}

/* Whether it is something that runs, rather than data. */
static int
is_active(PyObject *object)
{
    PyAsyncMethods *async = Py_TYPE(object)->tp_as_async;
    return PyCallable_Check(object) || PyIter_Check(object) || PyModule_Check(object)
           || (async != NULL && (async->am_await != NULL || async->am_anext != NULL));
}

/* How the object crosses; JSV8_HOST_FUNCTION: not as a view. Returns -1 with an exception. */
static int
kind_of(jsrt_state_t *state, PyObject *object, int writable)
{
    if (PyUnicode_Check(object) || PyLong_Check(object) || PyFloat_Check(object)
        || object == Py_None || PyBytes_Check(object)) {
        return JSV8_HOST_FUNCTION;
    }
    if (PyList_Check(object) || PyTuple_Check(object)) {
        return writable ? JSV8_HOST_WRITABLE_ARRAY : JSV8_HOST_ARRAY;
    }
    int yes = PyDict_Check(object);
    if (!yes && !PyAnySet_Check(object) && !jsrt_object_check(state, object)) {
        int kind = jsrt_plain_kind(state, object);
        if (kind < 0) {
            return -1;
        }
        yes = kind == JSRT_KIND_MAPPING || kind == JSRT_KIND_DATACLASS || kind == JSRT_KIND_PYDANTIC
              || (kind == JSRT_KIND_UNKNOWN && is_instance(object));
    }
    if (!yes) {
        return JSV8_HOST_FUNCTION;
    }
    return writable ? JSV8_HOST_WRITABLE_OBJECT : JSV8_HOST_OBJECT;
}

/* Whether its items are what JavaScript reads; else its attributes. Returns -1 with an exception. */
static int
is_mapping(jsrt_state_t *state, PyObject *object)
{
    if (PyDict_Check(object)) {
        return 1;
    }
    int kind = jsrt_plain_kind(state, object);
    return kind < 0 ? -1 : kind == JSRT_KIND_MAPPING;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

/* The int that JavaScript spells like this, new; NULL without an exception: none. */
static PyObject *
number_of(PyObject *key)
{
    enum { LONGEST = 18 };
    Py_ssize_t length = PyUnicode_GET_LENGTH(key);
    if (length == 0 || length > LONGEST || PyUnicode_KIND(key) != PyUnicode_1BYTE_KIND) {
        return NULL;
    }
    const char *text = (const char *)PyUnicode_1BYTE_DATA(key);
    int negative = text[0] == '-';
    long long number = 0;
    if (negative == length || (text[negative] == '0' && (length > 1))) {
        return NULL;
    }
    for (Py_ssize_t i = negative; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return NULL;
        }
        number = number * 10 + (text[i] - '0');
    }
    return PyLong_FromLongLong(negative ? -number : number);
}

/* Returns -1 without an exception where it is no index of that many. */
static Py_ssize_t
index_of(PyObject *key, Py_ssize_t size)
{
    PyObject *number = number_of(key);
    Py_ssize_t index = number != NULL ? PyLong_AsSsize_t(number) : -1;
    Py_XDECREF(number);
    PyErr_Clear();
    return index < size ? index : -1;
}

/* object[key]: new; NULL without an exception: there is none. */
static PyObject *
item_of(PyObject *object, PyObject *key)
{
    if (PyDict_Check(object)) {
        return Py_XNewRef(PyDict_GetItemWithError(object, key));
    }
    PyObject *item = PyObject_GetItem(object, key);
    if (item == NULL && PyErr_ExceptionMatches(PyExc_LookupError)) {
        PyErr_Clear();
    }
    return item;
}

/* The key under which the mapping has what JavaScript calls key, new, and *item with it; where it
 * has nothing, key and NULL. */
static PyObject *
find_item(PyObject *object, PyObject *key, PyObject **item)
{
    *item = item_of(object, key);
    PyObject *number = *item == NULL && !PyErr_Occurred() ? number_of(key) : NULL;
    if (number != NULL) {
        *item = item_of(object, number);
        if (*item != NULL) {
            return number;
        }
        Py_DECREF(number);
    }
    return PyErr_Occurred() ? NULL : Py_NewRef(key);
}

static int
is_public(PyObject *name)
{
    return PyUnicode_GET_LENGTH(name) > 0 && PyUnicode_READ_CHAR(name, 0) != '_';
}

/* An attribute that is data: new; NULL without an exception: there is none. */
static PyObject *
attribute_of(PyObject *object, PyObject *name)
{
    if (!is_public(name)) {
        return NULL;
    }
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
        }
        return NULL;
    }
    if (is_active(value)) {
        Py_CLEAR(value);
    }
    return value;
}

/* What the view has under key: new; NULL without an exception: nothing. */
static PyObject *
look_up(jsrt_state_t *state, PyObject *object, PyObject *key)
{
    if (PyList_Check(object)) {
        Py_ssize_t index = index_of(key, PyList_GET_SIZE(object));
        return index < 0 ? NULL : Py_NewRef(PyList_GET_ITEM(object, index));
    }
    if (PyTuple_Check(object)) {
        Py_ssize_t index = index_of(key, PyTuple_GET_SIZE(object));
        return index < 0 ? NULL : Py_NewRef(PyTuple_GET_ITEM(object, index));
    }
    int mapping = is_mapping(state, object);
    if (mapping <= 0) {
        return mapping < 0 ? NULL : attribute_of(object, key);
    }
    PyObject *item;
    Py_XDECREF(find_item(object, key, &item));
    return item;
}

/* Adds the names of a mapping's items that JavaScript can ask for, each once. */
static int
add_item_names(PyObject *names, PyObject *object)
{
    PyObject *keys = PyDict_Check(object) ? PyDict_Keys(object) : PyMapping_Keys(object);
    for (Py_ssize_t i = 0; keys != NULL && i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i), *name = NULL, *twin = NULL;
        if (PyUnicode_Check(key)) {
            name = Py_NewRef(key);
        } else if (PyLong_CheckExact(key)) {
            name = PyObject_Str(key);
            twin = name != NULL ? item_of(object, name) : NULL;
            PyObject *number = name != NULL && twin == NULL ? number_of(name) : NULL;
            if (number == NULL) { /* too large to be asked for, or a str stands before it */
                Py_CLEAR(name);
            }
            Py_XDECREF(number);
            Py_XDECREF(twin);
        }
        if ((name == NULL && PyErr_Occurred())
            || (name != NULL && PyList_Append(names, name) < 0)) {
            Py_CLEAR(keys);
        }
        Py_XDECREF(name);
    }
    Py_XDECREF(keys);
    return PyErr_Occurred() ? -1 : 0;
}

/* Adds of an iterable of attributes' names those that are public and data, each once. */
static int
add_attributes(PyObject *names, PyObject *object, PyObject *candidates)
{
    PyObject *iterator = PyUnicode_Check(candidates) ? NULL : PyObject_GetIter(candidates), *name;
    if (iterator == NULL) {
        PyErr_Clear(); /* __slots__ = "one" is rare enough to be left out */
        return 0;
    }
    while ((name = PyIter_Next(iterator)) != NULL) {
        PyObject *value = PyUnicode_Check(name) ? attribute_of(object, name) : NULL;
        int known = value != NULL ? PySequence_Contains(names, name) : 1;
        Py_XDECREF(value);
        if (known == 0 && PyList_Append(names, name) < 0) {
            known = -1;
        }
        Py_DECREF(name);
        if (known < 0 || PyErr_Occurred()) {
            break;
        }
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : 0;
}

static int
add_attribute_names(PyObject *names, PyObject *object)
{
    PyObject *dict = PyObject_GetAttrString(object, "__dict__");
    PyObject *own = dict != NULL && PyDict_Check(dict) ? PyDict_Keys(dict) : NULL;
    PyErr_Clear();
    int code = own != NULL ? add_attributes(names, object, own) : 0;
    Py_XDECREF(own);
    Py_XDECREF(dict);
    PyObject *bases = Py_TYPE(object)->tp_mro;
    for (Py_ssize_t i = 0; code == 0 && i < PyTuple_GET_SIZE(bases); i++) {
        PyObject *slots = PyObject_GetAttrString(PyTuple_GET_ITEM(bases, i), "__slots__");
        if (slots != NULL) {
            code = add_attributes(names, object, slots);
            Py_DECREF(slots);
        }
        PyErr_Clear();
    }
    return code;
}

/* The length of an array; the names of an object. Returns: new, or NULL. */
static PyObject *
keys_of(jsrt_state_t *state, PyObject *object)
{
    if (PyList_Check(object) || PyTuple_Check(object)) {
        return PyLong_FromSsize_t(Py_SIZE(object));
    }
    PyObject *names = PyList_New(0);
    int mapping = names != NULL ? is_mapping(state, object) : -1;
    if (mapping < 0
        || (mapping ? add_item_names(names, object) : add_attribute_names(names, object)) < 0) {
        Py_CLEAR(names);
    }
    return names;
}

/* ---- Writing ---------------------------------------------------------------------------------- */

/* list.length = n makes a list shorter, never longer. */
static int
set_length(PyObject *list, PyObject *value)
{
    Py_ssize_t size = PyList_GET_SIZE(list);
    Py_ssize_t wanted = PyLong_Check(value) ? PyLong_AsSsize_t(value) : -1;
    if (wanted < 0 || wanted > size) {
        PyErr_Format(PyExc_TypeError, "a list of %zd items cannot be given the length %R", size,
                     value);
        return -1;
    }
    return PyList_SetSlice(list, wanted, size, NULL);
}

static int
write_list(PyObject *list, PyObject *key, PyObject *value)
{
    if (PyUnicode_CompareWithASCIIString(key, "length") == 0 && value != NULL) {
        return set_length(list, value);
    }
    Py_ssize_t size = PyList_GET_SIZE(list);
    Py_ssize_t index = index_of(key, value != NULL ? size + LARGEST_GAP : size);
    if (index < 0) {
        if (value == NULL) {
            return 0;
        }
        PyErr_Format(PyExc_IndexError, "a list of %zd items has no place for %R", size, key);
        return -1;
    }
    /* A list has no holes: splice() and unshift() begin at the end that is to be, pop() and shift()
     * make the list shorter after they have deleted. */
    for (; size <= index; size++) {
        if (PyList_Append(list, Py_None) < 0) {
            return -1;
        }
    }
    return PySequence_SetItem(list, index, value != NULL ? value : Py_None);
}

static int
write_item(PyObject *object, PyObject *key, PyObject *value)
{
    PyObject *item, *found = find_item(object, key, &item);
    int code = -1;
    if (found != NULL) {
        code = value != NULL  ? PyObject_SetItem(object, found, value)
               : item == NULL ? 0
                              : PyObject_DelItem(object, found);
    }
    Py_XDECREF(item);
    Py_XDECREF(found);
    return code;
}

static int
write_attribute(PyObject *object, PyObject *name, PyObject *value)
{
    PyObject *old = is_public(name) ? PyObject_GetAttr(object, name) : NULL;
    if (!is_public(name) || (old != NULL && is_active(old))) {
        Py_XDECREF(old);
        PyErr_Format(PyExc_TypeError, "the attribute %R cannot be written through a view", name);
        return -1;
    }
    if (old == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        if (value == NULL) {
            return 0;
        }
    }
    Py_XDECREF(old);
    return PyObject_SetAttr(object, name, value);
}

/* value NULL: deletes. Returns 0, or -1 with an exception. */
static int
write_to(jsrt_state_t *state, PyObject *object, PyObject *key, PyObject *value)
{
    if (PyList_Check(object)) {
        return write_list(object, key, value);
    }
    if (PyTuple_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "a tuple cannot be written to");
        return -1;
    }
    int mapping = is_mapping(state, object);
    if (mapping < 0) {
        return -1;
    }
    return mapping ? write_item(object, key, value) : write_attribute(object, key, value);
}

/* ---- Calls ------------------------------------------------------------------------------------- */

/* An argument of the frame: new, or NULL with an exception. */
static PyObject *
argument(EngineObject *engine, jsv8_frame_t *frame, size_t index)
{
    jsv8_value_t value;
    jsv8_error_t error;
    jsv8_status_t status = jsrt_v8.frame_argument(frame, index, &value, &error);
    jsrt_watch_regain(&engine->watch);
    return jsrt_engine_result(engine, status, &value, &error);
}

/* What the answer becomes. Runs Python. */
static int
answer_to_js(jsrt_args_t *args, PyObject *answer, int writable, jsv8_value_t *out)
{
    int kind = kind_of(args->state, answer, writable);
    if (kind < 0) {
        return -1;
    }
    if (kind >= JSV8_HOST_OBJECT) {
        return jsrt_callback_to_js(args, answer, (jsv8_host_kind_t)kind, out);
    }
    if (is_active(answer) && !jsrt_object_check(args->state, answer)) {
        out->tag = JSV8_UNDEFINED;
        return 0;
    }
    args->data_only = 1;
    return jsrt_to_js(args, answer, out, -1);
}

static int
give(EngineObject *engine, jsv8_frame_t *frame, const jsv8_value_t *value)
{
    jsv8_error_t error;
    jsv8_status_t status = jsrt_v8.frame_return(frame, value, &error);
    jsrt_watch_regain(&engine->watch);
    if (status != JSV8_OK) {
        jsrt_engine_raise(engine, status, &error);
        return -1;
    }
    return 0;
}

int
jsrt_view_call(EngineObject *engine, jsv8_frame_t *frame, PyObject *object)
{
    jsrt_state_t *state = engine->state;
    jsv8_host_kind_t kind = jsrt_v8.frame_kind(frame);
    int writable = kind >= JSV8_HOST_WRITABLE_OBJECT, code = -1;
    jsrt_opening_t opening;
    jsrt_args_t args;
    jsv8_value_t wanted, out = {.tag = JSV8_UNDEFINED};
    jsv8_error_t error;
    PyObject *key = NULL, *value = NULL, *answer = NULL;

    jsrt_args_init(&args, state);
    if (jsrt_v8.frame_argument(frame, 0, &wanted, &error) != JSV8_OK || wanted.tag != JSV8_INT) {
        PyErr_SetString(PyExc_TypeError, "not a call of a view's own");
        return -1;
    }
    jsv8_view_op_t op = (jsv8_view_op_t)wanted.u.integer;
    if (op != JSV8_VIEW_KEYS && (key = argument(engine, frame, 1)) == NULL) {
        goto done;
    }
    if (op == JSV8_VIEW_SET && (value = argument(engine, frame, 2)) == NULL) {
        goto done;
    }
    if (Py_EnterRecursiveCall(" while JavaScript looks at a view")) {
        goto done;
    }
    jsrt_expose_open(&opening, engine);
    switch (op) {
    case JSV8_VIEW_GET:
    case JSV8_VIEW_HAS:
        answer = look_up(state, object, key);
        code = answer == NULL && PyErr_Occurred() ? -1 : 0;
        break;
    case JSV8_VIEW_KEYS:
        answer = keys_of(state, object);
        code = answer == NULL ? -1 : 0;
        break;
    case JSV8_VIEW_SET:
    case JSV8_VIEW_DELETE:
        code = write_to(state, object, key, value);
        break;
    }
    if (code == 0 && op == JSV8_VIEW_HAS) {
        out = (jsv8_value_t){.tag = JSV8_BOOL, .u.boolean = answer != NULL};
    } else if (code == 0 && op == JSV8_VIEW_KEYS) {
        code = jsrt_to_js(&args, answer, &out, -1);
    } else if (code == 0 && answer != NULL) {
        code = answer_to_js(&args, answer, writable, &out);
    }
    jsrt_expose_shut(&opening);
    Py_LeaveRecursiveCall();
    if (code == 0) {
        code = give(engine, frame, op == JSV8_VIEW_GET && answer == NULL ? NULL : &out);
    }
done:
    jsrt_args_release(&args);
    Py_XDECREF(key);
    Py_XDECREF(value);
    Py_XDECREF(answer);
    return code;
}

/* ---- The type ----------------------------------------------------------------------------------- */

static PyObject *
view_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"object", "writable", NULL};
    PyObject *object;
    int writable = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$p:proxy", names, &object, &writable)) {
        return NULL;
    }
    PyObject *module = PyType_GetModuleByDef(type, &jsrt_module);
    if (module == NULL) {
        return NULL;
    }
    int kind = kind_of(jsrt_state_of(module), object, writable);
    if (kind < 0) {
        return NULL;
    }
    if (kind < JSV8_HOST_OBJECT) {
        PyErr_Format(PyExc_TypeError,
                     "there is a proxy of dicts, mappings, lists, tuples and instances of classes, "
                     "not of a %.200s",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    ViewObject *view = (ViewObject *)type->tp_alloc(type, 0);
    if (view != NULL) {
        view->object = Py_NewRef(object);
        view->kind = (jsv8_host_kind_t)kind;
    }
    return (PyObject *)view;
}

static int
view_traverse(ViewObject *view, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(view));
    Py_VISIT(view->object);
    return 0;
}

static int
view_clear(ViewObject *view)
{
    Py_CLEAR(view->object);
    return 0;
}

static void
view_dealloc(ViewObject *view)
{
    PyTypeObject *type = Py_TYPE(view);
    PyObject_GC_UnTrack(view);
    view_clear(view);
    type->tp_free(view);
    Py_DECREF(type);
}

static PyObject *
view_repr(ViewObject *view)
{
    return PyUnicode_FromFormat("<jsrt.proxy of a %s%s>", Py_TYPE(view->object)->tp_name,
                                view->kind >= JSV8_HOST_WRITABLE_OBJECT ? ", writable" : "");
}

PyDoc_STRVAR(
    view_doc,
    "proxy(object, *, writable=False)\n--\n\n"
    "Gives JavaScript a view of a Python dict, mapping, list, tuple or instance instead of\n"
    "a copy: it reads what it looks at, when it does.\n\n"
    "Everything that items and public attributes lead to can be read, but nothing called.\n"
    "writable: JavaScript may write to it, and to all that it leads to.");

static PyMemberDef view_members[] = {
    {"object", T_OBJECT, offsetof(ViewObject, object), READONLY, PyDoc_STR("What it shows.")},
    {0},
};

static PyType_Slot view_slots[] = {
    {Py_tp_doc, (void *)view_doc},   {Py_tp_new, view_new},
    {Py_tp_traverse, view_traverse}, {Py_tp_clear, view_clear},
    {Py_tp_dealloc, view_dealloc},   {Py_tp_repr, view_repr},
    {Py_tp_members, view_members},   {0, NULL},
};

PyType_Spec jsrt_view_spec = {
    .name = "jsrt.proxy",
    .basicsize = sizeof(ViewObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = view_slots,
};
