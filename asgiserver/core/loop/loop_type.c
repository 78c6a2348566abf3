/* SPDX-License-Identifier: MIT
 *
 * loop_type.c: the type _core.Loop, the base of asgiserver.loop.Loop, and asgi_loop_exec.
 *
 * tp_new makes everything, so that the __init__ of asyncio's base classes, which follow in the
 * Python class's MRO, finds a working loop. The names those bases give to their own state
 * (_closed, _debug, _thread_id, ...) are descriptors here, so that there is one truth.
 */
#include "loop/loop_object.h"

#include "loop/handle.h"
#include "transport/transport.h"
#include "transport/tls_data.h"

#include <unistd.h>

static PyObject *
loop_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    PyObject *module = PyType_GetModule(type);
    LoopObject *loop;

    /* A subclass written in Python has no module of its own: ours is further up. */
    for (PyTypeObject *base = type; module == NULL && base != NULL; base = base->tp_base) {
        PyErr_Clear();
        module = PyType_GetModule(base);
    }
    if (module == NULL) {
        return NULL;
    }
    loop = (LoopObject *)type->tp_alloc(type, 0);
    if (loop == NULL) {
        return NULL;
    }
    loop->head.state = asgi_state_from_module(module);
    loop->hooks.prev = loop->hooks.next = &loop->hooks;
    loop->closers.prev = loop->closers.next = &loop->closers;
    loop->readers.epoll = -1;
    asgi_watches_init(&loop->watches);
    loop->signals.read_fd = loop->signals.write_fd = loop->signals.previous_fd = -1;
    loop->slow_callback_duration = 0.1;
    loop->pulse = &loop->own_pulse;
    loop->pid = getpid();
    if (asgi_loop_open(loop) < 0) {
        Py_DECREF(loop);
        return NULL;
    }
    return (PyObject *)loop;
}

static int
loop_traverse(LoopObject *loop, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(loop));
    Py_VISIT(loop->current_handle);
    Py_VISIT(loop->task_factory);
    Py_VISIT(loop->self_kwargs);
    Py_VISIT(loop->fatal);
    for (size_t i = loop->ready.head; i != loop->ready.tail; i++) {
        uintptr_t entry = loop->ready.slots[i & loop->ready.mask];
        if (!(entry & 1)) {
            Py_VISIT((PyObject *)entry);
        }
    }
    if (asgi_readers_traverse(&loop->readers, visit, arg) != 0) {
        return -1;
    }
    if (asgi_watches_traverse(&loop->watches, visit, arg) != 0) {
        return -1;
    }
    return asgi_timers_traverse(&loop->timers, visit, arg);
}

static int
loop_clear(LoopObject *loop)
{
    asgi_loop_drop_ready(loop);
    asgi_timers_drop(loop);
    asgi_readers_drop(loop);
    Py_CLEAR(loop->current_handle);
    Py_CLEAR(loop->task_factory);
    Py_CLEAR(loop->self_kwargs);
    Py_CLEAR(loop->fatal);
    return 0;
}

static void
loop_dealloc(LoopObject *loop)
{
    PyTypeObject *type = Py_TYPE(loop);

    PyObject_GC_UnTrack(loop);
    /* BaseEventLoop.__del__ has closed it, unless it is a bare _core.Loop. Closing may run
     * Python: the object has to look alive meanwhile, and nobody may keep it. */
    if (loop->head.uv != NULL) {
        Py_SET_REFCNT((PyObject *)loop, 1);
        asgi_loop_shut(loop);
        Py_SET_REFCNT((PyObject *)loop, 0);
    }
    loop_clear(loop);
    free(loop->read_buffer);
    free(loop->plain_buffer);
    type->tp_free(loop);
    Py_DECREF(type);
}

static PyType_Slot loop_slots[] = {
    {Py_tp_doc, "The C half of asgiserver.loop.Loop: ready queue, timers, readers, the turn."},
    {Py_tp_new, loop_new},
    {Py_tp_dealloc, loop_dealloc},
    {Py_tp_traverse, loop_traverse},
    {Py_tp_clear, loop_clear},
    {Py_tp_methods, asgi_loop_methods},
    {Py_tp_members, asgi_loop_members},
    {Py_tp_getset, asgi_loop_getset},
    {0, NULL},
};

static PyType_Spec loop_spec = {
    .name = "asgiserver._core.Loop",
    .basicsize = sizeof(LoopObject),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = loop_slots,
};

/* field = module.name. Returns 0 or -1. */
static int
import_name(PyObject **field, const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);

    if (module == NULL) {
        return -1;
    }
    Py_XSETREF(*field, PyObject_GetAttrString(module, name));
    Py_DECREF(module);
    return *field == NULL ? -1 : 0;
}

int
asgi_loop_exec(PyObject *module, struct asgi_state *state)
{
    PyObject *base = NULL, *sendfile_mode = NULL;

#define STRING(field, text)                                          \
    if ((state->field = PyUnicode_InternFromString(text)) == NULL) { \
        return -1;                                                   \
    }
    STRING(str_call_exception_handler, "call_exception_handler")
    STRING(str_check_callback, "_check_callback")
    STRING(str_check_thread, "_check_thread")
    STRING(str_context, "context")
    STRING(str_exception, "exception")
    STRING(str_handle, "handle")
    STRING(str_handle_signal, "_handle_signal")
    STRING(str_loop, "loop")
    STRING(str_message, "message")
    STRING(str_name, "name")
    STRING(str_source_traceback, "source_traceback")
    STRING(str_buffer_updated, "buffer_updated")
    STRING(str_call_connection_lost, "_call_connection_lost")
    STRING(str_cancelled, "cancelled")
    STRING(str_connection_lost, "connection_lost")
    STRING(str_connection_made, "connection_made")
    STRING(str_data_received, "data_received")
    STRING(str_datagram_received, "datagram_received")
    STRING(str_eof_received, "eof_received")
    STRING(str_error_received, "error_received")
    STRING(str_get_buffer, "get_buffer")
    STRING(str_pause_writing, "pause_writing")
    STRING(str_peername, "peername")
    STRING(str_resume_writing, "resume_writing")
    STRING(str_set_result, "set_result")
    STRING(str_socket, "socket")
    STRING(str_sockname, "sockname")
    STRING(str_start, "_start")
#undef STRING
    state->empty_tuple = PyTuple_New(0);
    state->debug_kwnames = Py_BuildValue("(s)", "debug");
    if (state->empty_tuple == NULL || state->debug_kwnames == NULL
        || import_name(&state->asyncio_Handle, "asyncio.events", "Handle") < 0
        || import_name(&state->asyncio_TimerHandle, "asyncio.events", "TimerHandle") < 0
        || import_name(&state->Future, "asyncio.futures", "Future") < 0
        || import_name(&state->Task, "asyncio.tasks", "Task") < 0
        || import_name(&state->format_callback_source, "asyncio.format_helpers",
                       "_format_callback_source")
               < 0
        || import_name(&state->extract_stack, "asyncio.format_helpers", "extract_stack") < 0
        || import_name(&state->format_handle, "asyncio.base_events", "_format_handle") < 0
        || import_name(&state->base_events, "asyncio", "base_events") < 0
        || import_name(&state->getframe, "sys", "_getframe") < 0
        || import_name(&state->set_wakeup_fd, "signal", "set_wakeup_fd") < 0
        || import_name(&state->BufferedProtocol, "asyncio.protocols", "BufferedProtocol") < 0
        || import_name(&state->FlowControlMixin, "asyncio.transports", "_FlowControlMixin") < 0
        || import_name(&state->ReadTransport, "asyncio.transports", "ReadTransport") < 0
        || import_name(&state->DatagramTransport, "asyncio.transports", "DatagramTransport") < 0
        || import_name(&state->TransportSocket, "asyncio.trsock", "TransportSocket") < 0
        || import_name(&sendfile_mode, "asyncio.constants", "_SendfileMode") < 0
        || import_name(&base, "asyncio.base_events", "BaseEventLoop") < 0) {
        Py_XDECREF(sendfile_mode);
        return -1;
    }
    state->sendfile_native = PyObject_GetAttrString(sendfile_mode, "TRY_NATIVE");
    Py_DECREF(sendfile_mode);
    state->minus_one = PyLong_FromLong(-1);
    state->base_create_task = PyObject_GetAttrString(base, "create_task");
    Py_DECREF(base);
    if (state->base_create_task == NULL || state->sendfile_native == NULL
        || state->minus_one == NULL || asgi_handle_exec(module, state) < 0
        || asgi_transport_stream_exec(module, state) < 0
        || asgi_transport_pipe_exec(module, state) < 0
        || asgi_transport_datagram_exec(module, state) < 0
        || asgi_tls_data_exec(module, state) < 0) {
        return -1;
    }
    state->LoopType = PyType_FromModuleAndSpec(module, &loop_spec, NULL);
    if (state->LoopType == NULL) {
        return -1;
    }
    return PyModule_AddType(module, (PyTypeObject *)state->LoopType);
}
