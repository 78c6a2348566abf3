/* SPDX-License-Identifier: MIT
 *
 * plain.c: Python objects that stand for plain data: dates, Decimal, UUID, Enum, dataclasses,
 * pydantic models, mappings.
 *
 * Called by to_js.c and tree.c for types they do not know. Nothing is imported to find out: an
 * instance of a class proves that its module is loaded. Everything here may run Python.
 */
#include "tree.h"

#include "dates.h"

enum { KINDS_KEPT = 512 };

static int
attribute_exists(PyTypeObject *type, const char *name)
{
    PyObject *value = PyObject_GetAttrString((PyObject *)type, name);
    if (value == NULL) {
        PyErr_Clear();
        return 0;
    }
    Py_DECREF(value);
    return 1;
}

/* 1 where object is an instance of module.name and the module is loaded; -1 on error. */
static int
is_instance_of(PyObject *object, const char *module_name, const char *name)
{
    PyObject *modules = PyImport_GetModuleDict();                  /* borrowed */
    PyObject *module = PyDict_GetItemString(modules, module_name); /* borrowed */
    if (module == NULL) {
        return 0;
    }
    PyObject *class_ = PyObject_GetAttrString(module, name);
    if (class_ == NULL) {
        PyErr_Clear();
        return 0;
    }
    int yes = PyType_Check(class_) ? PyObject_IsInstance(object, class_) : 0;
    Py_DECREF(class_);
    return yes;
}

static int
find_kind(jsrt_state_t *state, PyObject *object)
{
    PyDateTime_CAPI *api = state->datetime;
    static const struct {
        const char *module, *name;
        jsrt_kind_t kind;
    } known[] = {
        {"enum", "Enum", JSRT_KIND_ENUM},
        {"decimal", "Decimal", JSRT_KIND_TEXT},
        {"uuid", "UUID", JSRT_KIND_TEXT},
        {"collections.abc", "Mapping", JSRT_KIND_MAPPING},
    };
    if (PyObject_TypeCheck(object, api->DateTimeType)) {
        return JSRT_KIND_DATETIME;
    }
    if (PyObject_TypeCheck(object, api->DateType)) {
        return JSRT_KIND_DATE;
    }
    PyTypeObject *type = Py_TYPE(object);
    if (attribute_exists(type, "__dataclass_fields__")) {
        return JSRT_KIND_DATACLASS;
    }
    if (attribute_exists(type, "__pydantic_validator__")
        && attribute_exists(type, "model_fields")) {
        return JSRT_KIND_PYDANTIC;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        int yes = is_instance_of(object, known[i].module, known[i].name);
        if (yes != 0) {
            return yes < 0 ? -1 : (int)known[i].kind;
        }
    }
    return JSRT_KIND_UNKNOWN;
}

int
jsrt_plain_kind(jsrt_state_t *state, PyObject *object)
{
    PyObject *type = (PyObject *)Py_TYPE(object);
    PyObject *known = PyDict_GetItemWithError(state->kinds, type); /* borrowed */
    if (known != NULL) {
        return (int)PyLong_AsLong(known);
    }
    if (PyErr_Occurred()) {
        return -1;
    }
    int kind = find_kind(state, object);
    if (kind < 0) {
        return -1;
    }
    if (PyDict_GET_SIZE(state->kinds) >= KINDS_KEPT) {
        PyDict_Clear(state->kinds);
    }
    PyObject *number = PyLong_FromLong(kind);
    if (number == NULL || PyDict_SetItem(state->kinds, type, number) < 0) {
        Py_XDECREF(number);
        return -1;
    }
    Py_DECREF(number);
    return kind;
}

static PyObject *
dataclass_fields(PyObject *object)
{
    PyObject *fields = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__dataclass_fields__");
    PyObject *names = fields ? PySequence_List(fields) : NULL;
    PyObject *out = names ? PyDict_New() : NULL;
    for (Py_ssize_t i = 0; out != NULL && i < PyList_GET_SIZE(names); i++) {
        PyObject *name = PyList_GET_ITEM(names, i);
        /* ClassVar and InitVar pseudo-fields are listed too; they are told by their type. */
        PyObject *field = PyObject_GetItem(fields, name);
        PyObject *type = field ? PyObject_GetAttrString(field, "_field_type") : NULL;
        PyObject *type_name = type ? PyObject_GetAttrString(type, "name") : NULL;
        int real = type_name && PyUnicode_Check(type_name)
                   && PyUnicode_CompareWithASCIIString(type_name, "_FIELD") == 0;
        if (type_name != NULL && real) {
            PyObject *value = PyObject_GetAttr(object, name);
            if (value == NULL || PyDict_SetItem(out, name, value) < 0) {
                Py_CLEAR(out);
            }
            Py_XDECREF(value);
        } else if (type_name == NULL) {
            Py_CLEAR(out);
        }
        Py_XDECREF(type_name);
        Py_XDECREF(type);
        Py_XDECREF(field);
    }
    Py_XDECREF(names);
    Py_XDECREF(fields);
    return out;
}

static PyObject *
pydantic_fields(PyObject *object)
{
    PyObject *fields = PyObject_GetAttrString(object, "__dict__");
    PyObject *out = fields ? PyDict_Copy(fields) : NULL;
    Py_XDECREF(fields);
    if (out == NULL) {
        return NULL;
    }
    PyObject *extra = PyObject_GetAttrString(object, "__pydantic_extra__");
    if (extra == NULL) {
        PyErr_Clear();
    } else if (PyDict_Check(extra) && PyDict_Update(out, extra) < 0) {
        Py_CLEAR(out);
    }
    Py_XDECREF(extra);
    return out;
}

PyObject *
jsrt_plain_value(jsrt_state_t *state, PyObject *object, jsrt_kind_t kind)
{
    switch (kind) {
    case JSRT_KIND_TEXT:
        return PyObject_Str(object);
    case JSRT_KIND_ENUM:
        return PyObject_GetAttr(object, state->str_value);
    case JSRT_KIND_DATACLASS:
        return dataclass_fields(object);
    case JSRT_KIND_PYDANTIC:
        return pydantic_fields(object);
    case JSRT_KIND_MAPPING: {
        PyObject *out = PyDict_New();
        if (out != NULL && PyDict_Update(out, object) < 0) {
            Py_CLEAR(out);
        }
        return out;
    }
    default:
        PyErr_Format(state->ConversionError, "a %.200s cannot be converted to JavaScript",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
}

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar. */
static int64_t
days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int
jsrt_plain_date(jsrt_state_t *state, PyObject *object, jsrt_kind_t kind, double *out)
{
    int64_t days = days_from_civil(PyDateTime_GET_YEAR(object), PyDateTime_GET_MONTH(object),
                                   PyDateTime_GET_DAY(object));
    if (kind == JSRT_KIND_DATE) {
        *out = (double)(days * 86400000);
        return 0;
    }
    /* A naive datetime is local time, as everywhere in Python. */
    PyObject *aware;
    if (PyDateTime_DATE_GET_TZINFO(object) == Py_None) {
        aware = PyObject_CallMethod(object, "astimezone", NULL);
    } else {
        aware = Py_NewRef(object);
    }
    PyObject *offset = aware ? PyObject_CallMethod(aware, "utcoffset", NULL) : NULL;
    if (offset == NULL) {
        Py_XDECREF(aware);
        return -1;
    }
    days = days_from_civil(PyDateTime_GET_YEAR(aware), PyDateTime_GET_MONTH(aware),
                           PyDateTime_GET_DAY(aware));
    int64_t microseconds =
        (((days * 24 + PyDateTime_DATE_GET_HOUR(aware)) * 60 + PyDateTime_DATE_GET_MINUTE(aware))
             * 60
         + PyDateTime_DATE_GET_SECOND(aware))
            * 1000000
        + PyDateTime_DATE_GET_MICROSECOND(aware);
    PyDateTime_CAPI *api = state->datetime;
    if (PyObject_TypeCheck(offset, api->DeltaType)) {
        microseconds -= ((int64_t)PyDateTime_DELTA_GET_DAYS(offset) * 86400
                         + PyDateTime_DELTA_GET_SECONDS(offset))
                            * 1000000
                        + PyDateTime_DELTA_GET_MICROSECONDS(offset);
    }
    int64_t milliseconds = microseconds / 1000 - (microseconds % 1000 < 0);
    *out = (double)milliseconds;
    Py_DECREF(offset);
    Py_DECREF(aware);
    return 0;
}

PyObject *
jsrt_plain_magnitude(PyObject *integer, int *negative)
{
    PyObject *zero = PyLong_FromLong(0);
    if (zero == NULL) {
        return NULL;
    }
    *negative = PyObject_RichCompareBool(integer, zero, Py_LT);
    Py_DECREF(zero);
    if (*negative < 0) {
        return NULL;
    }
    PyObject *out = NULL;
    PyObject *absolute = PyNumber_Absolute(integer);
    PyObject *bits = absolute ? PyObject_CallMethod(absolute, "bit_length", NULL) : NULL;
    if (bits != NULL) {
        Py_ssize_t count = PyLong_AsSsize_t(bits);
        if (count >= 0) {
            Py_ssize_t bytes = (count + 63) / 64 * 8;
            out = PyObject_CallMethod(absolute, "to_bytes", "ns", bytes, "little");
        }
    }
    Py_XDECREF(bits);
    Py_XDECREF(absolute);
    return out;
}
