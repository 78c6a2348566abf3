/* SPDX-License-Identifier: MIT
 *
 * realm.c: several contexts in one engine (realm.h has the rules).
 *
 * Called by context.c: jsrt_realm_switch at the entry of a call that finds another scope current,
 * which costs a call or two of V8's; jsrt_realm_drop when a context is closed or dies.
 */
#include "realm.h"

#include "console.h"
#include "error.h"
#include "parse.h"

int
jsrt_realm_switch(ContextObject *context, EngineObject *engine)
{
    ContextObject *current = engine->scope;
    if (context->closed) {
        PyErr_SetString(context->state->ContextClosed, "the context is closed");
        return -1;
    }
    if (engine->nested > 0 || engine->open) {
        PyErr_SetString(PyExc_RuntimeError,
                        "JavaScript of another realm of this isolate is running");
        return -1;
    }
    if (engine != context->home) {
        engine->scope = context; /* lent: it knows one context only */
        engine->timeout = context->timeout;
        jsrt_watch_limit(&engine->watch, context->timeout);
        return 0;
    }
    if (current != NULL) {
        current->applied = engine->applied;
        current->exposed_there = engine->exposed;
    }
    engine->scope = NULL;
    if (context->realm_boot != engine->boot) {
        context->applied = 0;
        context->exposed_there = 0;
        if (context->parent != NULL) {
            jsrt_v8.realm_free(context->realm);
            context->realm = NULL;
            jsv8_error_t error = {0};
            jsv8_status_t status = jsrt_v8.realm_new(engine->isolate, &context->realm, &error);
            jsrt_watch_regain(&engine->watch);
            if (status != JSV8_OK) {
                jsrt_engine_raise(engine, status, &error);
                return -1;
            }
        }
        context->realm_boot = engine->boot;
    }
    jsrt_v8.realm_use(engine->isolate, context->realm);
    engine->timeout = context->timeout;
    jsrt_watch_limit(&engine->watch, context->timeout);
    engine->applied = context->applied;
    engine->exposed = context->exposed_there;
    engine->transient = context->parent != NULL;
    engine->scope = context;
    return 0;
}

PyObject *
jsrt_realm_new(ContextObject *parent, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    static const jsrt_signature_t signature = {"realm", {"timeout", "console"}, 0, 0};
    PyObject *given[JSRT_PARSE_MOST];
    double timeout = parent->timeout;
    if (jsrt_parse(&signature, args, count, keywords, given) < 0
        || (given[0] != NULL && jsrt_parse_timeout(given[0], &timeout) < 0)) {
        return NULL;
    }
    if (parent->home->closed || parent->closed) {
        PyErr_SetString(parent->state->ContextClosed, "the context is closed");
        return NULL;
    }
    PyTypeObject *type = parent->state->ContextType;
    ContextObject *context = (ContextObject *)type->tp_alloc(type, 0);
    if (context == NULL) {
        return NULL;
    }
    context->state = parent->state;
    Py_INCREF(context->state->module);
    context->state->context_count++;
    context->home_thread = pthread_self();
    context->parent = (ContextObject *)Py_NewRef(parent);
    context->home = (EngineObject *)Py_NewRef(parent->home);
    context->timeout = timeout;
    context->share = parent->share;
    context->fixed = Py_XNewRef(parent->fixed);
    PyObject *console = given[1] != NULL ? given[1] : parent->console;
    if (jsrt_context_fix(context, context->fixed) < 0
        || jsrt_console_attach(context, console) < 0) {
        Py_DECREF(context);
        return NULL;
    }
    return (PyObject *)context;
}

void
jsrt_realm_drop(ContextObject *context)
{
    if (context->home != NULL && context->home->scope == context) {
        context->home->scope = NULL;
    }
    if (context->realm != NULL && !jsrt_unusable) {
        jsrt_v8.realm_free(context->realm);
    }
    context->realm = NULL;
    context->realm_boot = 0;
}
