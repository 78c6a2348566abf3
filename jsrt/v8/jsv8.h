/* SPDX-License-Identifier: MIT
 *
 * jsv8.h: the C ABI between Python's side (jsrt/core, C) and V8's side (jsrt/v8, C++).
 *
 * The only header both sides see. No V8 type, no C++ type, no Python type and no exception
 * crosses it. Everything here returns a jsv8_status_t or plain data; what V8 throws arrives as
 * a jsv8_error_t. Functions are grouped by the file that defines them.
 *
 * Invariants
 *   1. An isolate is entered by one thread at a time. Every function that takes an isolate or a
 *      ref opens the scopes it needs (Locker when locking is on, Isolate, HandleScope, Context)
 *      and closes them before it returns; nesting on one thread is allowed.
 *   2. Locking is off until jsv8_locking_on(): then a call costs no Locker. It goes on, for the
 *      rest of the process, before a second thread enters any isolate, and when an isolate is
 *      pinned. V8 checks the lock of every isolate once any Locker was used.
 *   3. Data that a result or an error points to lives in a buffer of the isolate, until the next
 *      call on that isolate.
 *   4. The caller's data is read during the call only; nothing of it is kept but what is lent.
 *   5. A heap limit that was hit condemns the isolate: every later call returns
 *      JSV8_HEAP_LIMIT; only jsv8_isolate_free is left to do.
 *
 * Thread marks: [home] the thread that may enter the isolate now, [any] every thread.
 */
#ifndef JSV8_H
#define JSV8_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default) /* all else in the library is hidden */

typedef struct uv_loop_s uv_loop_t;
typedef struct jsv8_isolate jsv8_isolate_t; /* opaque: defined in isolate.hh */
typedef struct jsv8_ref jsv8_ref_t;         /* opaque: a persistent handle, ref.cc */
typedef struct jsv8_frame jsv8_frame_t;     /* opaque: JavaScript calls the host, host.cc */
typedef struct jsv8_realm jsv8_realm_t;     /* opaque: a further global scope, realm.cc */

typedef enum {
    JSV8_OK = 0,
    JSV8_EXCEPTION,  /* JavaScript threw (or a syntax error): error is filled in */
    JSV8_PENDING,    /* a promise that waits: result holds it as JSV8_REF */
    JSV8_TERMINATED, /* jsv8_terminate() stopped it; the isolate goes on */
    JSV8_HEAP_LIMIT, /* the heap limit was hit; the isolate is condemned */
    JSV8_CONVERSION, /* a value has no plain-data form (function, symbol, proxy...): error */
    JSV8_NOT_FOUND,  /* no such global function: error.message names it; no such property, or the
                        end of an iteration: no message */
    JSV8_NO_MEMORY,
    JSV8_UNSUPPORTED /* V8 or Node could not be started: error.message says why */
} jsv8_status_t;

typedef enum {
    JSV8_UNDEFINED = 0,
    JSV8_NULL,
    JSV8_BOOL,        /* u.boolean */
    JSV8_INT,         /* u.integer, within +-2^53: becomes a Number */
    JSV8_NUMBER,      /* u.number */
    JSV8_LATIN1,      /* u.text: one byte a character */
    JSV8_UTF16,       /* u.text: length in 16-bit units, 2-aligned; surrogates may be alone */
    JSV8_BYTES,       /* u.text: in: becomes a Uint8Array; out: ArrayBuffer or any view */
    JSV8_BIGINT,      /* u.bigint: little-endian 64-bit words of the magnitude */
    JSV8_DATE,        /* u.number: milliseconds since the epoch, may be NaN */
    JSV8_JSON_LATIN1, /* in only, u.text: JSON text to parse; JSV8_CONVERSION if it is not */
    JSV8_JSON_UTF16,  /* in only */
    JSV8_WIRE,        /* u.text: a value in V8's serialization format (see wire.h) */
    JSV8_REF,         /* u.ref: in: borrowed; out: owned by the caller (jsv8_ref_free) */
    JSV8_WIRE_WITH,   /* in only, u.wire: as JSV8_WIRE, where '\\' varint i is extras[i] */
    JSV8_CALLBACK,    /* in only, u.callback: an object of the host's, as its kind says */
    JSV8_HOST,        /* out only, u.host: a function or view of such an object; borrowed */
    JSV8_LENT_LATIN1, /* in only, u.lent: as JSV8_LATIN1, and V8 may leave the text where it is */
    JSV8_LENT_UTF16,  /* in only */
    JSV8_LENT_BYTES   /* in only, u.lent: a typed array over the host's memory, which the host lets
                         JavaScript write to; over a copy where loan is NULL, or where the memory
                         does not begin at a multiple of 8 */
} jsv8_tag_t;

/* What a JSV8_LENT_BYTES becomes: Uint8Array, ... BigInt64Array, Float64Array. */
typedef enum {
    JSV8_UINT8,
    JSV8_INT8,
    JSV8_UINT16,
    JSV8_INT16,
    JSV8_UINT32,
    JSV8_INT32,
    JSV8_UINT64,
    JSV8_INT64,
    JSV8_FLOAT32,
    JSV8_FLOAT64
} jsv8_element_t;

typedef enum {
    JSV8_HOST_FUNCTION,
    JSV8_HOST_ITERATOR,
    JSV8_HOST_ASYNC_ITERATOR,
    /* Views: each look at them is a call of the host. From here on, with the writable ones last. */
    JSV8_HOST_OBJECT,
    JSV8_HOST_ARRAY,
    JSV8_HOST_WRITABLE_OBJECT,
    JSV8_HOST_WRITABLE_ARRAY
} jsv8_host_kind_t;
/* An object of the host's (Python's) on its way in. */
typedef struct {
    jsv8_host_kind_t kind;
    const char *name; /* UTF-8: a function's name, or "" */
    void *object;     /* the isolate's from when taken is set until it is dropped (host.cc) */
    int taken;        /* out */
} jsv8_callback_t;

/* An object of the host's that keeps a text, or bytes, in place. */
typedef struct {
    void *object; /* V8's from when taken is set until it is dropped (host.cc), or, of bytes,
                     returned (lend.cc) */
    int taken;    /* out */
} jsv8_loan_t;

typedef struct jsv8_value {
    jsv8_tag_t tag;
    union {
        int boolean;
        int64_t integer;
        double number;
        struct {
            const void *data;
            size_t length;
        } text;
        struct {
            const uint64_t *words;
            int count;
            int negative;
        } bigint;
        struct {
            const void *data;
            size_t length;
            const struct jsv8_value *extras; /* JSV8_REF, JSV8_CALLBACK */
            size_t count;
        } wire;
        struct {
            const void *data;
            size_t length; /* of bytes: in bytes, whatever their element */
            jsv8_loan_t *loan;
            jsv8_element_t element; /* of JSV8_LENT_BYTES */
        } lent;
        jsv8_ref_t *ref;
        jsv8_callback_t *callback;
        void *host;
    } u;
} jsv8_value_t;

/* Texts are UTF-8 (lone surrogates as U+FFFD), never NULL; "" where there is nothing to say. */
typedef struct {
    const char *name;    /* "TypeError", "SyntaxError"; the constructor's name of a thrown
                                  object; "" for a thrown primitive */
    const char *message; /* error.message, or String(value) of anything else */
    const char *stack;   /* error.stack */
    const char *filename;
    const char *source_line;      /* the line of source the error points at */
    int line, column, end_column; /* 1-based line, 0-based columns; 0 where unknown */
    jsv8_value_t value; /* the thrown value itself, JSV8_UNDEFINED where it is not plain */
    void *host;         /* the object of a jsv8_thrown_t that is thrown again; borrowed, or NULL */
    void *cause;        /* the same of the error's cause */
} jsv8_error_t;

typedef enum { JSV8_PROFILE_BARE, JSV8_PROFILE_WEB, JSV8_PROFILE_NODE } jsv8_profile_t;

/* ---- platform.cc: V8 and Node of this process -------------------------------------------- */

/* Starts V8 and Node's platform once; later calls return the first one's outcome. Not before a
 * fork: its threads do not survive one. share_dir: a folder that holds nodejs/ (Debian's
 * libnode reads five of its own JS files from /usr/share/nodejs) to use where the system has
 * none, or NULL. error: filled in on failure, static storage. [any, one at a time] */
jsv8_status_t jsv8_process_start(const char *share_dir, jsv8_error_t *error);
/* Stops the platform's threads; does nothing while an isolate is alive or being made. Nothing can be
 * started again. */
void jsv8_process_stop(void);
/* 1 in a child forked after jsv8_process_start: every other function is forbidden there. */
int jsv8_process_forked(void);
const char *jsv8_v8_version(void);   /* "10.2.154.26-node.36" */
const char *jsv8_node_version(void); /* "18.20.4" */

/* ---- isolate.cc, limit.cc ---------------------------------------------------------------- */

typedef struct {
    jsv8_profile_t profile;
    uv_loop_t *loop;      /* borrowed until jsv8_isolate_free: Node's handles and the
                                  platform's tasks of this isolate live on it. NULL: a loop of
                                  the isolate's own, turned by jsv8_turn (not with pinned) */
    size_t heap_limit;    /* bytes of JS heap, ArrayBuffers counted apart with the same
                                  bound; 0: V8's default */
    int pinned;           /* the creating thread stays inside the isolate, Locker held, until
                                  jsv8_isolate_free on that thread: needed where loop is run by
                                  somebody else, since Node enters JS from loop callbacks */
    const void *snapshot; /* of jsv8_snapshot, read during jsv8_isolate_new, or NULL. All isolates
                             that a process ever has come from the same one, or from none */
    size_t snapshot_size;
    /* An exception that no JavaScript caught in a loop callback or a promise. May be NULL.
     * Called inside the isolate; must not call back into it. */
    void (*on_unhandled)(void *user, const jsv8_error_t *error);
    void *user;
    /* JavaScript calls a JSV8_CALLBACK. Inside; may call back into the isolate. NULL: there are
     * none. What the caller's thread had put down (its lock) may still be down. */
    void (*on_call)(jsv8_isolate_t *isolate, jsv8_frame_t *frame, void *object);
    /* jsv8_dropped has something. During a collection: only to be noted down. */
    void (*on_dropped)(void *user);
    /* The isolate is freed and owned this object. From jsv8_isolate_free. */
    void (*release)(void *object);
} jsv8_isolate_config_t;

jsv8_status_t jsv8_isolate_new(const jsv8_isolate_config_t *config, jsv8_isolate_t **out,
                               jsv8_error_t *error);
/* Stops the Node environment, closes its handles (running the loop as needed), frees all.
 * refs of it that are still held become empty, and may be freed later. [home] */
void jsv8_isolate_free(jsv8_isolate_t *isolate);
/* The config's user goes, the isolate stays until a thread may free it: nothing is called with
 * user any more, and jsv8_isolate_user is NULL. [any] */
void jsv8_isolate_mute(jsv8_isolate_t *isolate);
void *jsv8_isolate_user(const jsv8_isolate_t *isolate); /* [any] */

/* See invariant 2. Cannot be undone. Returns 1, or, where it stays off, as V8 takes no lock in the
 * middle of JavaScript: 0, this thread is inside an isolate, -1, another one is. Not at the same
 * time as that thread enters or leaves (under the GIL). [any] */
int jsv8_locking_on(void);
int jsv8_locking_is_on(void);

/* The lowest address this thread's stack may reach in JS: set at entry when the thread changes.
 * 0: V8's own guess. The shim reads the thread's real bounds (pthread_getattr_np), leaves a
 * reserve of 256 KiB (a quarter of small stacks), and caches them per thread. */

/* Makes the running or next call on the isolate end with JSV8_TERMINATED. [any] */
void jsv8_terminate(jsv8_isolate_t *isolate);
/* The same for C++ of V8's own that serves no interrupts, and for the call alone that is under way:
 * first jsv8_force_next; some milliseconds later, if that call is still the one that runs,
 * jsv8_force, which returns 0 where another has been entered since. [any] */
void jsv8_force_next(jsv8_isolate_t *isolate);
int jsv8_force(jsv8_isolate_t *isolate);
/* Takes back a termination that came too late to stop anything, or, inside a callback of the
 * host's, one that has ended the calls made from there and is to end no more. [home] */
void jsv8_terminate_cancel(jsv8_isolate_t *isolate);
/* Calls callback soon on the thread that runs JS in the isolate, between two JS steps; it must
 * not run JS. It is called at the latest during the next call. [any] */
void jsv8_interrupt(jsv8_isolate_t *isolate, void (*callback)(jsv8_isolate_t *isolate, void *user),
                    void *user);
/* In an interrupt: writes the JS stack of the running call as lines of text, as far as they fit.
 * Returns the bytes written, 0 where no JS is running. */
size_t jsv8_stack(jsv8_isolate_t *isolate, char *out, size_t capacity);

typedef struct {
    size_t heap_used, heap_total, heap_limit, external, malloced, contexts;
    size_t physical, executable, available, malloced_peak, detached_contexts;
} jsv8_heap_stats_t;
void jsv8_heap_stats(jsv8_isolate_t *isolate, jsv8_heap_stats_t *out); /* [home] */
/* Collects garbage: all that can be found, or, not thorough, what one pass finds. [home] */
void jsv8_collect(jsv8_isolate_t *isolate, int thorough);

/* ---- profile.cc: files for Chrome DevTools -------------------------------------------------- */

/* Takes the next piece. Returns 0, or -1: no more of it. Must not run JS. */
typedef int (*jsv8_write_t)(void *user, const char *data, size_t size);
/* JSV8_UNSUPPORTED: write has failed. [home] */
jsv8_status_t jsv8_heap_snapshot(jsv8_isolate_t *isolate, jsv8_write_t write, void *user);
/* Samples what runs every `interval` microseconds until the stop, which writes what was found.
 * JSV8_UNSUPPORTED: started already; JSV8_NOT_FOUND: not started. [home] */
jsv8_status_t jsv8_cpu_profile_start(jsv8_isolate_t *isolate, int interval);
jsv8_status_t jsv8_cpu_profile_stop(jsv8_isolate_t *isolate, jsv8_write_t write, void *user);

/* ---- context.cc: running code -------------------------------------------------------------- */

typedef enum {
    JSV8_KEEP_SCOPE = 0, /* a global script: let/const/class/function declarations stay */
    JSV8_OWN_SCOPE = 1   /* declarations do not reach the global scope (indirect-eval-like
                              function scope; the last expression's value is the result) */
} jsv8_scope_t;
/* How a result is delivered; a primitive is delivered alike in each. */
typedef enum {
    JSV8_SETTLE = 0,  /* plain data as such; a function, symbol, proxy or class instance as
                           JSV8_REF. A promise: microtasks are drained, its value or error
                           delivered; JSV8_PENDING where it still waits */
    JSV8_RAW = 1,     /* the same, but a promise is not looked at: JSV8_REF */
    JSV8_DISCARD = 2, /* the value is not converted: JSV8_UNDEFINED */
    JSV8_HANDLE = 3,  /* every object as JSV8_REF */
    JSV8_COPY = 4,    /* plain data only: of a class instance its own properties, and
                           JSV8_CONVERSION for what has none */
    JSV8_JSON = 5     /* as JSV8_SETTLE, but the value comes as its JSON text in UTF-8, JSV8_BYTES;
                           the promise of JSV8_PENDING remembers */
} jsv8_want_t;

/* source: JSV8_LATIN1 or JSV8_UTF16. filename: UTF-8. */
jsv8_status_t jsv8_run(jsv8_isolate_t *isolate, const jsv8_value_t *source, const char *filename,
                       jsv8_scope_t scope, jsv8_want_t want, jsv8_value_t *result,
                       jsv8_error_t *error);

/* ---- realm.cc: further global scopes in an isolate ------------------------------------------ */

/* A global scope with intrinsics of its own. In a bare isolate it shares nothing with others; in
 * Node's, the web APIs (and with them the first realm's intrinsics) are those of the first. [home] */
jsv8_status_t jsv8_realm_new(jsv8_isolate_t *isolate, jsv8_realm_t **out, jsv8_error_t *error);
/* From now on code runs, and names are found, in this realm; NULL: the first. A ref brings its own.
 * Does nothing inside a call. [home] */
void jsv8_realm_use(jsv8_isolate_t *isolate, jsv8_realm_t *realm);
void jsv8_realm_free(jsv8_realm_t *realm); /* [any]: released at the next entry, NULL ok */
size_t jsv8_live_realms(void);             /* for leak tests. [any] */

/* ---- code_cache.cc: source that is compiled once ------------------------------------------- */

typedef struct {
    const void *cache; /* in: what jsv8_code_cache made of this very source, or NULL. Trusted:
                          V8 checks its version and flags, but neither the bytes nor the source */
    size_t size;
    int lasting;   /* in: the source's memory stays until jsv8_isolate_free returns: no copy */
    int keep;      /* in: the script will be wanted for jsv8_code_cache */
    int accepted;  /* out: V8 took it */
    size_t script; /* out: for jsv8_code_cache, as long as the isolate lives; 0: there is none */
} jsv8_code_t;

/* Runs source as a global script and discards its value. */
jsv8_status_t jsv8_run_code(jsv8_isolate_t *isolate, const jsv8_value_t *source,
                            const char *filename, jsv8_code_t *code, jsv8_error_t *error);
/* The code cache of a script, with what has been compiled lazily so far, in the isolate's buffer.
 * JSV8_NOT_FOUND: no such script. [home] */
jsv8_status_t jsv8_code_cache(jsv8_isolate_t *isolate, size_t script, const void **data,
                              size_t *size);
/* Forgets the script, which may then be collected. [home] */
void jsv8_code_forget(jsv8_isolate_t *isolate, size_t script);
/* What a cache depends on besides the source: V8's version, flags, the processor, and the snapshot
 * that the isolates come from. [any] */
uint32_t jsv8_code_version(void);

/* ---- snapshot.cc ----------------------------------------------------------------------------- */

/* Runs source in a context and gives a start-up snapshot of it to write, in one piece. Only in a
 * process that has had no isolate; it can have none afterwards. */
jsv8_status_t jsv8_snapshot(const jsv8_value_t *source, const char *filename, jsv8_write_t write,
                            void *user, jsv8_error_t *error);

/* ---- call.cc ------------------------------------------------------------------------------- */

/* Finds a function: a global's name or a dotted path ("lib.sign"; `this` is then lib). Looks at
 * the global scope's let/const/class bindings too. name is data, never evaluated as source. */
jsv8_status_t jsv8_function(jsv8_isolate_t *isolate, const char *name, size_t length,
                            jsv8_ref_t **out, jsv8_error_t *error);
/* Calls a held function; the fast path. argc <= 65,535. After the outermost call microtasks (and
 * Node's ticks) are drained. */
jsv8_status_t jsv8_call(jsv8_ref_t *function, size_t argc, const jsv8_value_t *argv,
                        jsv8_want_t want, jsv8_value_t *result, jsv8_error_t *error);
/* The same with a receiver (`this`; NULL: the function's own), or, where construct is set, as
 * `new function(...)`. */
jsv8_status_t jsv8_call_with(jsv8_ref_t *function, const jsv8_value_t *receiver, int construct,
                             size_t argc, const jsv8_value_t *argv, jsv8_want_t want,
                             jsv8_value_t *result, jsv8_error_t *error);
/* Both in one: looks the name up (as jsv8_function does, afresh each time) and calls. */
jsv8_status_t jsv8_call_named(jsv8_isolate_t *isolate, const char *name, size_t length, size_t argc,
                              const jsv8_value_t *argv, jsv8_want_t want, jsv8_value_t *result,
                              jsv8_error_t *error);

/* ---- promise.cc ---------------------------------------------------------------------------- */

/* Drains microtasks, then looks: JSV8_PENDING, or as jsv8_call does with JSV8_SETTLE. */
jsv8_status_t jsv8_promise_result(jsv8_ref_t *promise, jsv8_value_t *result, jsv8_error_t *error);
/* Calls on_settled once, from a microtask, inside the isolate: result where status is JSV8_OK,
 * error otherwise, both valid during the callback. It must not run JS. If the isolate is freed
 * first, on_settled is called with JSV8_TERMINATED (and nothing else may be touched). */
typedef void (*jsv8_settled_t)(void *user, jsv8_status_t status, const jsv8_value_t *result,
                               const jsv8_error_t *error);
jsv8_status_t jsv8_promise_then(jsv8_ref_t *promise, jsv8_settled_t on_settled, void *user);

/* ---- handle.cc: what a ref can be asked ---------------------------------------------------- */

typedef enum {
    JSV8_OP_GET,     /* (key): the property; a function with the object as its receiver.
                          JSV8_NOT_FOUND without a message: there is none */
    JSV8_OP_SET,     /* (key, value); throws where the object refuses */
    JSV8_OP_DELETE,  /* (key); the same */
    JSV8_OP_HAS,     /* (key): JSV8_BOOL, as `in` has it */
    JSV8_OP_LENGTH,  /* length, size, or the number of keys: JSV8_INT */
    JSV8_OP_KEYS,    /* own enumerable keys: an array of texts */
    JSV8_OP_ITERATE, /* an iterator of it, or of its keys where it has none: JSV8_REF */
    JSV8_OP_NEXT,    /* the next value of an iterator; JSV8_NOT_FOUND: it has ended */
    JSV8_OP_SAME,    /* (other): JSV8_BOOL, as === has it */
    JSV8_OP_HASH,    /* JSV8_INT */
    JSV8_OP_TEXT,    /* what it is, for a repr: a text. Runs no JavaScript */
    JSV8_OP_PROMISE, /* a promise that settles as the thenable does: JSV8_REF, or
                          JSV8_NOT_FOUND: it is none */
    JSV8_OP_SELF     /* the value, delivered as want says */
} jsv8_op_t;
jsv8_status_t jsv8_operate(jsv8_ref_t *ref, jsv8_op_t op, size_t argc, const jsv8_value_t *argv,
                           jsv8_want_t want, jsv8_value_t *result, jsv8_error_t *error);
/* The global object, as JSV8_REF in result. */
jsv8_status_t jsv8_global(jsv8_isolate_t *isolate, jsv8_value_t *result, jsv8_error_t *error);

/* ---- host.cc: JavaScript calls the host ---------------------------------------------------- */

/* What the host throws: an Error with this name, message and (where it is a text) stack, or value,
 * where it is of the same isolate. */
typedef struct {
    jsv8_value_t name, message, stack;
    const jsv8_ref_t *value; /* borrowed, or NULL */
    void *object;            /* stays with the error, for jsv8_error_t.host; NULL: none */
    int taken;               /* out: the isolate owns object */
} jsv8_thrown_t;

/* What a call of a view wants: the first argument; then the key, a text, and the value. */
typedef enum {
    JSV8_VIEW_GET,   /* (key): a value; none: there is none */
    JSV8_VIEW_HAS,   /* (key): JSV8_BOOL */
    JSV8_VIEW_KEYS,  /* (): an object's own keys, an array of texts; an array's length */
    JSV8_VIEW_SET,   /* (key, value): of writable ones only, as what follows */
    JSV8_VIEW_DELETE /* (key) */
} jsv8_view_op_t;
/* In on_call, [home]: the arguments, delivered as by JSV8_RAW (an iterator has one: 0 asks for
 * the next value, 1 says that no other is wanted), and how the call ends. value NULL: the
 * iteration is over, the view has no such key. Buffers are those of a call: one argument at a
 * time. */
size_t jsv8_frame_count(const jsv8_frame_t *frame);
jsv8_host_kind_t jsv8_frame_kind(const jsv8_frame_t *frame);
jsv8_status_t jsv8_frame_argument(jsv8_frame_t *frame, size_t index, jsv8_value_t *result,
                                  jsv8_error_t *error);
jsv8_status_t jsv8_frame_return(jsv8_frame_t *frame, const jsv8_value_t *value,
                                jsv8_error_t *error);
void jsv8_frame_throw(jsv8_frame_t *frame, jsv8_thrown_t *thrown);
/* Returns a promise to JavaScript; jsv8_settle(resolver) ends it, later, with value, or with
 * thrown where value is NULL, or, both NULL, as an iteration ends. Drains as a call does. */
jsv8_status_t jsv8_frame_promise(jsv8_frame_t *frame, jsv8_ref_t **resolver, jsv8_error_t *error);
jsv8_status_t jsv8_settle(jsv8_ref_t *resolver, const jsv8_value_t *value, jsv8_thrown_t *thrown,
                          jsv8_error_t *error);
/* The object that ended the last call from inside of on_call with JSV8_EXCEPTION, or NULL. [home] */
jsv8_ref_t *jsv8_take_thrown(jsv8_isolate_t *isolate);
/* One object that JavaScript has no way to any more, given back to the caller; NULL: none. */
void *jsv8_dropped(jsv8_isolate_t *isolate);
/* All that the isolate owns, dropped or not, and what it shares, for the caller's collector. */
int jsv8_visit_hosted(jsv8_isolate_t *isolate, int (*visit)(void *object, void *arg), void *arg);
size_t jsv8_live_hosted(void); /* [any] */

/* ---- lend.cc: memory of the host's that JavaScript shares ---------------------------------- */

/* Called, on any thread and inside of V8, when jsv8_returned has something: only to be noted down.
 * Set once per process. */
void jsv8_set_return_hook(void (*returned)(void));
/* The object of a loan of bytes that V8 is through with, given back to the caller; NULL: none. That
 * may be long after JavaScript has dropped them, and after the isolate is freed (a buffer that was
 * transferred to a worker). [any] */
void *jsv8_returned(void);
/* Loans that have not been given back. [any] */
size_t jsv8_live_lent(void);

/* ---- spare.cc ------------------------------------------------------------------------------ */

/* No JavaScript runs, and none has for a while: frees memory kept for what it allocates. [any] */
void jsv8_trim(void);

/* ---- json.cc ------------------------------------------------------------------------------- */

/* The shortest JSON text of a finite number that is the same number again; at most
 * JSV8_NUMBER_LONGEST characters, without an end. Returns how many. [any] */
enum { JSV8_NUMBER_LONGEST = 32 };
size_t jsv8_number_text(double number, char *out);

/* ---- ref.cc -------------------------------------------------------------------------------- */

typedef enum { JSV8_REF_OBJECT, JSV8_REF_FUNCTION, JSV8_REF_PROMISE } jsv8_ref_kind_t;
jsv8_ref_kind_t jsv8_ref_kind(const jsv8_ref_t *ref);
void jsv8_ref_free(jsv8_ref_t *ref); /* [any]: released at the next entry, NULL ok */
jsv8_isolate_t *jsv8_ref_isolate(const jsv8_ref_t *ref); /* NULL once the isolate is freed */
size_t jsv8_live_refs(void);                             /* for leak tests. [any] */
size_t jsv8_live_isolates(void);

/* ---- node_env.cc: an isolate's own loop ---------------------------------------------------- */

/* One turn of the isolate's loop with the isolate entered, then Node's ticks and the platform's
 * tasks. wait: 0 never blocks; 1 may block for the next event, 100 ms at most, or until
 * jsv8_terminate, which a turn takes for its own. Returns 1 while something is alive. Does nothing
 * for pinned isolates and inside a call. [home] */
int jsv8_turn(jsv8_isolate_t *isolate, int wait);
/* Called around the blocking wait of jsv8_turn(1), Locker held, isolate left: to let other threads
 * run meanwhile (PyEval_SaveThread). Set once per process. */
void jsv8_set_blocking_hooks(void (*before)(void), void (*after)(void));

/* Benchmark only: n calls of f(1, 2) as V8 makes them, nothing else inside the timed part.
 * Returns nanoseconds for one. */
double jsv8_raw_call_ns(jsv8_ref_t *function, size_t n);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
