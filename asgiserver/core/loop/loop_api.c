/* SPDX-License-Identifier: MIT
 *
 * loop_api.c: the methods and attributes of _core.Loop: asyncio's names over the C core.
 *
 * Where asyncio's behaviour depends on debug mode, the checks are asyncio's own (_check_thread
 * and _check_callback of BaseEventLoop), called by name: they are not on the usual way.
 */
#include "loop/loop_object.h"

#include "loop/handle.h"

#include <stddef.h>
#include <structmember.h>

/* ---- scheduling ---- */

/* Splits off the keyword context=. Returns 0 with *context borrowed or NULL, else -1. */
static int
context_keyword(struct asgi_state *state, const char *method, PyObject *const *args,
                Py_ssize_t nargs, PyObject *kwnames, PyObject **context)
{
    *context = NULL;
    if (kwnames == NULL) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        if (name != state->str_context && PyUnicode_Compare(name, state->str_context) != 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", method,
                         name);
            return -1;
        }
        if (args[nargs + i] != Py_None) {
            *context = args[nargs + i];
        }
    }
    return 0;
}

static int
debug_checks(LoopObject *loop, PyObject *callback, const char *method, int thread)
{
    struct asgi_state *state = loop->head.state;
    PyObject *done, *name;

    if (thread) {
        done = PyObject_CallMethodNoArgs((PyObject *)loop, state->str_check_thread);
        if (done == NULL) {
            return -1;
        }
        Py_DECREF(done);
    }
    name = PyUnicode_FromString(method);
    if (name == NULL) {
        return -1;
    }
    done = PyObject_CallMethodObjArgs((PyObject *)loop, state->str_check_callback, callback, name,
                                      NULL);
    Py_DECREF(name);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static PyObject *
soon(LoopObject *loop, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
     const char *method, int threadsafe)
{
    PyObject *context;
    HandleObject *handle;

    if (nargs < 1) {
        PyErr_Format(PyExc_TypeError, "%s() missing 1 required positional argument: 'callback'",
                     method);
        return NULL;
    }
    if (asgi_loop_check_open(loop) < 0
        || context_keyword(loop->head.state, method, args, nargs, kwnames, &context) < 0) {
        return NULL;
    }
    if (loop->debug && debug_checks(loop, args[0], method, !threadsafe) < 0) {
        return NULL;
    }
    handle = asgi_handle_new(loop, args[0], args + 1, nargs - 1, context);
    if (handle == NULL) {
        return NULL;
    }
    Py_INCREF(handle);
    /* Wakes a poll under way, whichever thread this is. */
    if (asgi_loop_push(loop, (uintptr_t)handle) < 0) {
        Py_DECREF(handle);
        return NULL;
    }
    return (PyObject *)handle;
}

PyDoc_STRVAR(call_soon_doc, "call_soon($self, callback, /, *args, context=None)\n--\n\n"
                            "Call callback(*args) in the next turn. Returns a Handle.");

static PyObject *
loop_call_soon(LoopObject *loop, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return soon(loop, args, nargs, kwnames, "call_soon", 0);
}

PyDoc_STRVAR(call_soon_threadsafe_doc,
             "call_soon_threadsafe($self, callback, /, *args, context=None)\n--\n\n"
             "call_soon() from any thread.");

static PyObject *
loop_call_soon_threadsafe(LoopObject *loop, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames)
{
    return soon(loop, args, nargs, kwnames, "call_soon_threadsafe", 1);
}

static PyObject *
call_at(LoopObject *loop, double when, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
        const char *method)
{
    PyObject *context;
    TimerHandleObject *timer;

    if (context_keyword(loop->head.state, method, args, nargs, kwnames, &context) < 0) {
        return NULL;
    }
    if (loop->debug && debug_checks(loop, args[1], method, 1) < 0) {
        return NULL;
    }
    timer = asgi_timer_handle_new(loop, when, args[1], args + 2, nargs - 2, context);
    if (timer == NULL) {
        return NULL;
    }
    if (asgi_timers_add(loop, timer) < 0) {
        Py_DECREF(timer);
        return NULL;
    }
    return (PyObject *)timer;
}

/* The first argument of call_later and call_at. Returns 0 or -1. */
static int
time_argument(LoopObject *loop, PyObject *const *args, Py_ssize_t nargs, const char *method,
              const char *name, double *seconds)
{
    if (nargs < 2) {
        PyErr_Format(PyExc_TypeError,
                     "%s() missing required positional arguments: '%s' and "
                     "'callback'",
                     method, name);
        return -1;
    }
    if (asgi_loop_check_open(loop) < 0) {
        return -1;
    }
    if (args[0] == Py_None) {
        PyErr_Format(PyExc_TypeError, "%s must not be None", name);
        return -1;
    }
    *seconds = PyFloat_AsDouble(args[0]);
    return *seconds == -1.0 && PyErr_Occurred() ? -1 : 0;
}

PyDoc_STRVAR(call_later_doc,
             "call_later($self, delay, callback, /, *args, context=None)\n--\n\n"
             "Call callback(*args) after delay seconds, not earlier. Returns a TimerHandle.");

static PyObject *
loop_call_later(LoopObject *loop, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    double delay;

    if (time_argument(loop, args, nargs, "call_later", "delay", &delay) < 0) {
        return NULL;
    }
    return call_at(loop, (double)uv_hrtime() * 1e-9 + delay, args, nargs, kwnames, "call_later");
}

PyDoc_STRVAR(call_at_doc,
             "call_at($self, when, callback, /, *args, context=None)\n--\n\n"
             "Call callback(*args) when time() is when, not earlier. Returns a TimerHandle.");

static PyObject *
loop_call_at(LoopObject *loop, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    double when;

    if (time_argument(loop, args, nargs, "call_at", "when", &when) < 0) {
        return NULL;
    }
    return call_at(loop, when, args, nargs, kwnames, "call_at");
}

static PyObject *
loop_time(LoopObject *Py_UNUSED(loop), PyObject *Py_UNUSED(ignored))
{
    return PyFloat_FromDouble((double)uv_hrtime() * 1e-9);
}

/* What asyncio's Python code queues: our handles, or an asyncio.Handle made by hand. */
static PyObject *
loop_add_callback(LoopObject *loop, PyObject *object)
{
    if (asgi_handle_check(loop->head.state, object)) {
        HandleObject *handle = (HandleObject *)object;
        if (handle->cancelled || loop->closed) {
            Py_RETURN_NONE;
        }
        if (asgi_loop_push(loop, (uintptr_t)Py_NewRef(object)) < 0) {
            return NULL;
        }
    } else {
        PyObject *run = PyObject_GetAttrString(object, "_run");
        int result = run != NULL ? asgi_loop_soon(loop, run, NULL, NULL) : -1;
        Py_XDECREF(run);
        if (result < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    make_handle_doc,
    "_make_handle($self, callback, /, *args)\n--\n\n"
    "A Handle that is in no queue yet; _add_callback() queues it, more than once if asked to.");

static PyObject *
loop_make_handle(LoopObject *loop, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "_make_handle() takes a callback");
        return NULL;
    }
    return (PyObject *)asgi_handle_new(loop, args[0], args + 1, nargs - 1, NULL);
}

/* The timer has told its loop already; here for who calls it by asyncio's name. */
static PyObject *
loop_timer_handle_cancelled(LoopObject *Py_UNUSED(loop), PyObject *Py_UNUSED(handle))
{
    Py_RETURN_NONE;
}

static PyObject *
loop_write_to_self(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    asgi_loop_awaken(loop);
    Py_RETURN_NONE;
}

/* ---- futures and tasks ---- */

/* {"loop": self}, kept until close(). Returns: borrowed. */
static PyObject *
self_kwargs(LoopObject *loop)
{
    if (loop->self_kwargs == NULL) {
        PyObject *kwargs = PyDict_New();
        if (kwargs == NULL
            || PyDict_SetItem(kwargs, loop->head.state->str_loop, (PyObject *)loop) < 0) {
            Py_XDECREF(kwargs);
            return NULL;
        }
        if (loop->closed) {
            /* Nobody will clear it any more: leave no cycle. */
            return kwargs;
        }
        loop->self_kwargs = kwargs;
    }
    return Py_NewRef(loop->self_kwargs);
}

/* type(*args, loop=self), without the vectorcall-to-tuple-and-dict detour of calling a type. */
static PyObject *
make_with_loop(LoopObject *loop, PyObject *callable, PyObject *args)
{
    PyTypeObject *type = (PyTypeObject *)callable;
    PyObject *kwargs = self_kwargs(loop);
    PyObject *object;

    if (kwargs == NULL) {
        return NULL;
    }
    object = type->tp_new(type, args, kwargs);
    if (object != NULL && type->tp_init(object, args, kwargs) < 0) {
        Py_CLEAR(object);
    }
    Py_DECREF(kwargs);
    return object;
}

static PyObject *
loop_create_future(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    struct asgi_state *state = loop->head.state;
    return make_with_loop(loop, state->Future, state->empty_tuple);
}

PyDoc_STRVAR(create_task_doc,
             "create_task($self, coro, /, *, name=None, context=None, **kwargs)\n"
             "--\n\n"
             "Schedule a coroutine as a Task. eager_start (Python 3.12 and later):\n"
             "run it at once up to its first suspension.");

/* Task(coro, loop=self, **keywords). Returns: new or NULL. */
static PyObject *
make_task(LoopObject *loop, PyObject *coro, PyObject *const *values, PyObject *kwnames)
{
    struct asgi_state *state = loop->head.state;
    PyObject *kwargs = PyDict_New(), *positional = PyTuple_Pack(1, coro), *task = NULL;
    int failed = kwargs == NULL || positional == NULL
                 || PyDict_SetItem(kwargs, state->str_loop, (PyObject *)loop) < 0;

    for (Py_ssize_t i = 0; !failed && i < PyTuple_GET_SIZE(kwnames); i++) {
        failed = PyDict_SetItem(kwargs, PyTuple_GET_ITEM(kwnames, i), values[i]) < 0;
    }
    if (!failed) {
        task = PyObject_Call(state->Task, positional, kwargs);
    }
    Py_XDECREF(kwargs);
    Py_XDECREF(positional);
    return task;
}

/* Whether a keyword says when the task is to start. */
static int
says_when(PyObject *kwnames)
{
    for (Py_ssize_t i = 0; kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, i), "eager_start") == 0) {
            return 1;
        }
    }
    return 0;
}

static PyObject *
loop_create_task(LoopObject *loop, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct asgi_state *state = loop->head.state;
    PyObject *positional, *task;
    int usual = nargs == 1 && loop->task_factory == NULL && !loop->debug;

    if (asgi_loop_check_open(loop) < 0) {
        return NULL;
    }
    for (Py_ssize_t i = 0; usual && kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        usual = args[nargs + i] == Py_None
                && (PyUnicode_Compare(name, state->str_name) == 0
                    || PyUnicode_Compare(name, state->str_context) == 0);
    }
    if (!usual && nargs == 1 && loop->task_factory == NULL && says_when(kwnames)) {
        /* asyncio's create_task() knows that only since 3.13.3, tasks know it since 3.12. */
        return make_task(loop, args[0], args + 1, kwnames);
    }
    if (!usual) {
        PyObject *result;
        Py_ssize_t total = nargs + (kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0);
        PyObject **all = PyMem_Malloc((size_t)(total + 1) * sizeof(*all));
        if (all == NULL) {
            return PyErr_NoMemory();
        }
        all[0] = (PyObject *)loop;
        memcpy(all + 1, args, (size_t)total * sizeof(*all));
        result = PyObject_Vectorcall(state->base_create_task, all, (size_t)nargs + 1, kwnames);
        PyMem_Free(all);
        return result;
    }
    positional = PyTuple_Pack(1, args[0]);
    if (positional == NULL) {
        return NULL;
    }
    task = make_with_loop(loop, state->Task, positional);
    Py_DECREF(positional);
    return task;
}

/* ---- running ---- */

PyDoc_STRVAR(run_turns_doc, "_run_turns($self, /)\n--\n\n"
                            "Turns until stop(); run_forever() sets up and tears down around it.");

static PyObject *
loop_run_turns(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    int result;
    int attached;

    if (asgi_loop_check_open(loop) < 0) {
        return NULL;
    }
    if (loop->thread_id != PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError, "_run_turns() belongs to run_forever()");
        return NULL;
    }
    attached = asgi_signals_attach(loop) == 0;
    if (!attached) {
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
            return NULL;
        }
        /* Not the main thread: signals are no business of this loop. */
        PyErr_Clear();
    }
    result = asgi_loop_run(loop);
    if (attached) {
        PyObject *exception = result < 0 ? asgi_exception_take() : NULL;
        asgi_signals_detach(loop);
        if (exception != NULL) {
            asgi_exception_raise(exception);
        }
    }
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
loop_stop(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    loop->stopping = 1;
    if (loop->polling) {
        asgi_loop_awaken(loop);
    }
    Py_RETURN_NONE;
}

static PyObject *
loop_is_running(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(loop->thread_id != 0);
}

static PyObject *
loop_is_closed(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(loop->closed);
}

static PyObject *
loop_check_closed(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    if (asgi_loop_check_open(loop) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
loop_get_debug(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(loop->debug);
}

PyDoc_STRVAR(shut_doc, "_shut($self, /)\n--\n\n"
                       "The part of close() that is libuv's: closes every handle and the uv loop.");

static PyObject *
loop_shut(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    if (loop->thread_id != 0) {
        PyErr_SetString(PyExc_RuntimeError, "Cannot close a running event loop");
        return NULL;
    }
    asgi_loop_free_engines(loop);
    asgi_loop_shut(loop);
    Py_RETURN_NONE;
}

/* ---- descriptors and signals ---- */

static PyObject *
reader_add(LoopObject *loop, PyObject *const *args, Py_ssize_t nargs, const char *method,
           asgi_direction_t direction)
{
    HandleObject *handle;
    int fd;

    if (nargs < 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes a file descriptor and a callback", method);
        return NULL;
    }
    if (asgi_loop_check_open(loop) < 0) {
        return NULL;
    }
    fd = PyObject_AsFileDescriptor(args[0]);
    if (fd < 0) {
        return NULL;
    }
    handle = asgi_handle_new(loop, args[1], args + 2, nargs - 2, NULL);
    if (handle != NULL && asgi_reader_add(loop, fd, direction, handle) < 0) {
        Py_CLEAR(handle);
    }
    return (PyObject *)handle;
}

static PyObject *
reader_remove(LoopObject *loop, PyObject *object, asgi_direction_t direction)
{
    int fd, removed;

    if (loop->closed) {
        Py_RETURN_FALSE;
    }
    fd = PyObject_AsFileDescriptor(object);
    if (fd < 0) {
        /* A socket closed before its callback was removed has no number any more. */
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
            return NULL;
        }
        PyErr_Clear();
        Py_RETURN_FALSE;
    }
    removed = asgi_reader_remove(loop, fd, direction);
    return removed < 0 ? NULL : PyBool_FromLong(removed);
}

static PyObject *
loop_add_reader(LoopObject *loop, PyObject *const *args, Py_ssize_t nargs)
{
    return reader_add(loop, args, nargs, "add_reader", ASGI_READER);
}

static PyObject *
loop_add_writer(LoopObject *loop, PyObject *const *args, Py_ssize_t nargs)
{
    return reader_add(loop, args, nargs, "add_writer", ASGI_WRITER);
}

static PyObject *
loop_remove_reader(LoopObject *loop, PyObject *fd)
{
    return reader_remove(loop, fd, ASGI_READER);
}

static PyObject *
loop_remove_writer(LoopObject *loop, PyObject *fd)
{
    return reader_remove(loop, fd, ASGI_WRITER);
}

PyDoc_STRVAR(watched_doc,
             "_watched($self, fd, /)\n--\n\n"
             "The selectors.EVENT_READ and EVENT_WRITE bits that fd has callbacks for.");

static PyObject *
loop_watched(LoopObject *loop, PyObject *object)
{
    int fd = PyObject_AsFileDescriptor(object);
    return fd < 0 ? NULL : PyLong_FromLong(asgi_reader_events(loop, fd));
}

static PyObject *
loop_signals_attach(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    if (asgi_loop_check_open(loop) < 0 || asgi_signals_attach(loop) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
loop_signals_detach(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    asgi_signals_detach(loop);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    stats_doc,
    "stats($self, /)\n--\n\n"
    "What the loop has done and holds, as a dict.\n\n"
    "turns, callbacks and polls: counts since it was made, of turns, of what they ran from\n"
    "the ready queue, of looks at the descriptors; callbacks_per_turn: their mean. What a\n"
    "poll itself runs (I/O of transports, requests of a server) is no callback. lag,\n"
    "max_lag: seconds for which the loop last did not look for events, and the most there\n"
    "were: how long an event had to wait. ready, timers: length of the queues. handles,\n"
    "transports: alive, of all loops of this interpreter.\n\n"
    "Thread: any; a turn under way is not in the figures yet.");

static PyObject *
loop_stats(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    struct asgi_state *state = loop->head.state;
    uint64_t most = loop->lag_peak > loop->lag_before ? loop->lag_peak : loop->lag_before;
    double mean = loop->turns > 0 ? (double)loop->callbacks / (double)loop->turns : 0.0;

    return Py_BuildValue("{s:K,s:K,s:K,s:d,s:d,s:d,s:n,s:n,s:n,s:n}", "turns", loop->turns,
                         "callbacks", loop->callbacks, "polls", loop->polls, "callbacks_per_turn",
                         mean, "lag", (double)loop->lag_last * 1e-9, "max_lag", (double)most * 1e-9,
                         "ready", (Py_ssize_t)asgi_ready_length(&loop->ready), "timers",
                         (Py_ssize_t)loop->timers.length, "handles", ASGI_COUNT(state, handles),
                         "transports", ASGI_COUNT(state, transports));
}

PyDoc_STRVAR(take_lag_doc, "_take_lag($self, /)\n--\n\n"
                           "Seconds of the longest lag (see stats()) since the last call.");

static PyObject *
loop_take_lag(LoopObject *loop, PyObject *Py_UNUSED(ignored))
{
    uint64_t peak = loop->lag_peak;

    if (peak > loop->lag_before) {
        loop->lag_before = peak;
    }
    loop->lag_peak = 0;
    return PyFloat_FromDouble((double)peak * 1e-9);
}

/* ---- attributes ---- */

static PyObject *
get_uv_loop(LoopObject *loop, void *Py_UNUSED(closure))
{
    if (loop->head.uv == NULL) {
        asgi_loop_raise_closed();
        return NULL;
    }
    return PyCapsule_New(loop->head.uv, "casgi.uv_loop", NULL);
}

static PyObject *
get_thread_id(LoopObject *loop, void *Py_UNUSED(closure))
{
    return loop->thread_id == 0 ? Py_NewRef(Py_None) : PyLong_FromUnsignedLong(loop->thread_id);
}

static int
set_thread_id(LoopObject *loop, PyObject *value, void *Py_UNUSED(closure))
{
    unsigned long id = 0;

    if (value != NULL && value != Py_None) {
        id = PyLong_AsUnsignedLong(value);
        if (id == (unsigned long)-1 && PyErr_Occurred()) {
            return -1;
        }
    }
    loop->thread_id = id;
    return 0;
}

/* A char of the struct, whose offset is the closure, set to a truth value. */
static PyObject *
get_flag(LoopObject *loop, void *closure)
{
    return PyBool_FromLong(*((char *)loop + (size_t)closure));
}

static int
set_flag(LoopObject *loop, PyObject *value, void *closure)
{
    int truth = value == NULL ? 0 : PyObject_IsTrue(value);

    if (truth < 0) {
        return -1;
    }
    *((char *)loop + (size_t)closure) = (char)truth;
    return 0;
}

static PyObject *
get_task_factory(LoopObject *loop, void *Py_UNUSED(closure))
{
    return Py_NewRef(loop->task_factory != NULL ? loop->task_factory : Py_None);
}

static int
set_task_factory(LoopObject *loop, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(loop->task_factory, value == Py_None ? NULL : Py_XNewRef(value));
    return 0;
}

#define FASTCALL(function) ((PyCFunction)(void (*)(void))(function))

PyMethodDef asgi_loop_methods[] = {
    {"call_soon", FASTCALL(loop_call_soon), METH_FASTCALL | METH_KEYWORDS, call_soon_doc},
    {"call_soon_threadsafe", FASTCALL(loop_call_soon_threadsafe), METH_FASTCALL | METH_KEYWORDS,
     call_soon_threadsafe_doc},
    {"call_later", FASTCALL(loop_call_later), METH_FASTCALL | METH_KEYWORDS, call_later_doc},
    {"call_at", FASTCALL(loop_call_at), METH_FASTCALL | METH_KEYWORDS, call_at_doc},
    {"time", (PyCFunction)loop_time, METH_NOARGS, "Seconds of the monotonic clock."},
    {"create_future", (PyCFunction)loop_create_future, METH_NOARGS, "A Future of this loop."},
    {"create_task", FASTCALL(loop_create_task), METH_FASTCALL | METH_KEYWORDS, create_task_doc},
    {"stop", (PyCFunction)loop_stop, METH_NOARGS, "End run_forever() after this turn."},
    {"is_running", (PyCFunction)loop_is_running, METH_NOARGS, NULL},
    {"is_closed", (PyCFunction)loop_is_closed, METH_NOARGS, NULL},
    {"get_debug", (PyCFunction)loop_get_debug, METH_NOARGS, NULL},
    {"_check_closed", (PyCFunction)loop_check_closed, METH_NOARGS, NULL},
    {"_run_turns", (PyCFunction)loop_run_turns, METH_NOARGS, run_turns_doc},
    {"_shut", (PyCFunction)loop_shut, METH_NOARGS, shut_doc},
    {"_add_callback", (PyCFunction)loop_add_callback, METH_O, NULL},
    {"_add_callback_signalsafe", (PyCFunction)loop_add_callback, METH_O, NULL},
    {"_make_handle", FASTCALL(loop_make_handle), METH_FASTCALL, make_handle_doc},
    {"_timer_handle_cancelled", (PyCFunction)loop_timer_handle_cancelled, METH_O, NULL},
    {"_write_to_self", (PyCFunction)loop_write_to_self, METH_NOARGS, NULL},
    {"_add_reader", FASTCALL(loop_add_reader), METH_FASTCALL, NULL},
    {"_add_writer", FASTCALL(loop_add_writer), METH_FASTCALL, NULL},
    {"_remove_reader", (PyCFunction)loop_remove_reader, METH_O, NULL},
    {"_remove_writer", (PyCFunction)loop_remove_writer, METH_O, NULL},
    {"_watched", (PyCFunction)loop_watched, METH_O, watched_doc},
    {"stats", (PyCFunction)loop_stats, METH_NOARGS, stats_doc},
    {"_take_lag", (PyCFunction)loop_take_lag, METH_NOARGS, take_lag_doc},
    {"_set_pulse", (PyCFunction)asgi_pulse_set, METH_O, NULL},
    {"_signals_attach", (PyCFunction)loop_signals_attach, METH_NOARGS, NULL},
    {"_signals_detach", (PyCFunction)loop_signals_detach, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

#define FLAG(name, field)                                                                   \
    {                                                                                       \
        name, (getter)get_flag, (setter)set_flag, NULL, (void *)offsetof(LoopObject, field) \
    }

PyGetSetDef asgi_loop_getset[] = {
    {"uv_loop", (getter)get_uv_loop, NULL,
     "PyCapsule \"casgi.uv_loop\" with the uv_loop_t, valid until close().", NULL},
    {"_thread_id", (getter)get_thread_id, (setter)set_thread_id, NULL, NULL},
    {"_task_factory", (getter)get_task_factory, (setter)set_task_factory, NULL, NULL},
    FLAG("_stopping", stopping),
    FLAG("_debug", debug),
    FLAG("_closed", closed),
    {NULL, NULL, NULL, NULL, NULL},
};

PyMemberDef asgi_loop_members[] = {
    {"slow_callback_duration", T_DOUBLE, offsetof(LoopObject, slow_callback_duration), 0, NULL},
    {"_current_handle", T_OBJECT, offsetof(LoopObject, current_handle), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};
