/* SPDX-License-Identifier: MIT
 *
 * state.h: the module's state, one per interpreter that imports asgiserver._core.
 *
 * Owned by module.c, which makes, traverses, clears and frees it. Every object of this extension
 * reaches it through its loop (asgi_loop_head_t.state) or its type's module; nothing here is a C
 * global, so several interpreters do not meet. It outlives every instance: instances hold their
 * type, types hold the module, the module holds this.
 *
 * Counters: one line in ASGI_COUNTERS is all a new one needs; `_core._debug_counts()` shows them
 * all, and the tests expect the lot at zero when a loop has been closed and collected.
 * They are changed with the GIL held, except where a comment at the line says otherwise.
 */
#ifndef ASGI_STATE_H
#define ASGI_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Live objects, by name. Other layers add their own lines at the end. */
#define ASGI_COUNTERS(X)                                                                      \
    X(loops)          /* LoopObjects whose uv_loop_t is open */                               \
    X(handles)        /* Handle and TimerHandle objects, those on a free list not counted */  \
    X(timers)         /* entries of the timer heaps */                                        \
    X(ready)          /* entries of the ready queues */                                       \
    X(readers)        /* reader and writer callbacks in place */                              \
    X(uv_handles)     /* the loops' own uv handles, until their close callback; no GIL */     \
    X(transports)     /* TransportObjects, of every type */                                   \
    X(uv_leaked)      /* uv_loop_t left allocated because another owner's handles lived on */ \
    X(connections)    /* accepted connections, until their close callback; no GIL */          \
    X(listeners)      /* listening sockets, until their close callback */                     \
    X(cycles)         /* CycleObjects */                                                      \
    X(tls_sessions)   /* TLS sessions of connections; no GIL */                               \
    X(http2_sessions) /* HTTP/2 sessions of connections; no GIL */

enum {
#define ASGI_COUNTER_ENUM(name) ASGI_COUNTER_##name,
    ASGI_COUNTERS(ASGI_COUNTER_ENUM)
#undef ASGI_COUNTER_ENUM
        ASGI_COUNTER_MAX
};

#define ASGI_COUNT(state, name) ((state)->counts[ASGI_COUNTER_##name])

/* Python objects that loop/ keeps at hand; each owned, NULL before asgi_loop_exec. */
#define ASGI_LOOP_OBJECTS(X)                                                                      \
    X(LoopType)                                                                                   \
    X(HandleType)                                                                                 \
    X(TimerHandleType)                                                                            \
    X(StreamTransportType)                                                                        \
    X(ReadPipeTransportType)                                                                      \
    X(WritePipeTransportType)                                                                     \
    X(DatagramTransportType)                                                                      \
    X(asyncio_Handle)                                                                             \
    X(asyncio_TimerHandle)                                                                        \
    X(Future)                 /* asyncio.Future, called by create_future */                       \
    X(Task)                   /* asyncio.Task, called by create_task */                           \
    X(base_create_task)       /* BaseEventLoop.create_task, for all that is not the usual case */ \
    X(format_callback_source) /* asyncio.format_helpers */                                        \
    X(extract_stack)                                                                              \
    X(format_handle)    /* asyncio.base_events */                                                 \
    X(base_events)      /* the module asyncio.base_events */                                      \
    X(getframe)         /* sys._getframe */                                                       \
    X(set_wakeup_fd)    /* signal.set_wakeup_fd */                                                \
    X(BufferedProtocol) /* asyncio.protocols */                                                   \
    X(FlowControlMixin) /* asyncio.transports._FlowControlMixin */                                \
    X(ReadTransport)    /* asyncio.transports */                                                  \
    X(DatagramTransport)                                                                          \
    X(TransportSocket) /* asyncio.trsock */                                                       \
    X(sendfile_native) /* asyncio.constants._SendfileMode.TRY_NATIVE */                           \
    X(tls_names)       /* tuple: see transport/tls_data.c */                                      \
    X(minus_one)       /* -1, the hint of get_buffer() */                                         \
    X(empty_tuple)                                                                                \
    X(debug_kwnames) /* ("debug",) */                                                             \
    X(str_call_exception_handler)                                                                 \
    X(str_check_callback)                                                                         \
    X(str_check_thread)                                                                           \
    X(str_context)                                                                                \
    X(str_exception)                                                                              \
    X(str_handle)                                                                                 \
    X(str_handle_signal)                                                                          \
    X(str_loop)                                                                                   \
    X(str_message)                                                                                \
    X(str_name)                                                                                   \
    X(str_buffer_updated)                                                                         \
    X(str_call_connection_lost)                                                                   \
    X(str_cancelled)                                                                              \
    X(str_connection_lost)                                                                        \
    X(str_connection_made)                                                                        \
    X(str_data_received)                                                                          \
    X(str_datagram_received)                                                                      \
    X(str_eof_received)                                                                           \
    X(str_error_received)                                                                         \
    X(str_get_buffer)                                                                             \
    X(str_pause_writing)                                                                          \
    X(str_peername)                                                                               \
    X(str_resume_writing)                                                                         \
    X(str_set_result)                                                                             \
    X(str_socket)                                                                                 \
    X(str_sockname)                                                                               \
    X(str_start)                                                                                  \
    X(str_source_traceback)

struct asgi_server_state; /* of asgi/server.h: what net/ and asgi/ keep */

/* Dead Handles kept for the next call_soon, as a stack linked through their first field. */
typedef struct {
    PyObject *head; /* owned memory, no references counted */
    int length;
} asgi_freelist_t;

struct asgi_state {
    PyObject *module; /* borrowed: it owns this state */
#define ASGI_STATE_FIELD(name) PyObject *name;
    ASGI_LOOP_OBJECTS(ASGI_STATE_FIELD)
#undef ASGI_STATE_FIELD
    asgi_freelist_t free_handles;
    asgi_freelist_t free_timers;
    Py_ssize_t counts[ASGI_COUNTER_MAX];
    struct asgi_server_state *server; /* owned: made by asgi_server_exec, else NULL */
};

/* Returns: borrowed, never NULL for a module of this extension. */
static inline struct asgi_state *
asgi_state_from_module(PyObject *module)
{
    return (struct asgi_state *)PyModule_GetState(module);
}

#endif
