/* SPDX-License-Identifier: MIT
 *
 * node_env.cc: Node's environment (URL, fetch, WebCrypto, timers, streams; in the node profile
 * also require and process) inside an isolate, its tick queue, and turns of an isolate's own loop.
 *
 * Invariants
 *   1. Nothing here ends the process: process.exit and its kin throw, uncaught errors and
 *      rejections are reported (bootstrap.hh).
 *   2. Node::Stop is never used: it stops the loop, which may be somebody else's.
 *   3. Freeing the environment closes its handles and runs the loop until they are closed. On a
 *      loop shared with others their callbacks may run meanwhile.
 */
#include "node_env.hh"

#include <poll.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "bootstrap.hh"
#include "platform.hh"
#include "promise.hh"

namespace jsv8
{

namespace
{

constexpr int kLongestWait = 100;                    /* ms; see jsv8_turn */
constexpr uint8_t kHasTicks = 0, kHasRejections = 1; /* Node's TickInfo fields */

void (*before_blocking)(void) = nullptr;
void (*after_blocking)(void) = nullptr;

using Call = v8::FunctionCallbackInfo<v8::Value>;

jsv8_isolate *
isolate_of(const Call &call)
{
    return static_cast<jsv8_isolate *>(call.Data().As<v8::External>()->Value());
}

void
native_report(const Call &call)
{
    jsv8_isolate *iso = isolate_of(call);
    report_unhandled(iso, call.GetIsolate()->GetCurrentContext(), call[0],
                     v8::Exception::CreateMessage(call.GetIsolate(), call[0]));
}

void
native_ticks(const Call &call)
{
    jsv8_isolate *iso = isolate_of(call);
    if (call[0]->IsUint8Array()) {
        v8::Local<v8::Uint8Array> flags = call[0].As<v8::Uint8Array>();
        iso->ticks_store = flags->Buffer()->GetBackingStore();
        iso->ticks = static_cast<uint8_t *>(iso->ticks_store->Data()) + flags->ByteOffset();
    }
}

void
native_unwind(const Call &call)
{
    if (call[0]->IsFunction()) {
        isolate_of(call)->unwind.Reset(call.GetIsolate(), call[0].As<v8::Function>());
    }
}

/* Whether the caller of the JS function that asks is one of Node's own modules. */
void
native_from_node(const Call &call)
{
    v8::Isolate *v8 = call.GetIsolate();
    v8::Local<v8::StackTrace> trace =
        v8::StackTrace::CurrentStackTrace(v8, 2, v8::StackTrace::kScriptName);
    bool inside = false;
    if (trace->GetFrameCount() == 2) {
        v8::String::Utf8Value name(v8, trace->GetFrame(v8, 1)->GetScriptName());
        inside = *name != nullptr && strncmp(*name, "node:", 5) == 0;
    }
    call.GetReturnValue().Set(inside);
}

bool
add_native(v8::Local<v8::Context> context, v8::Local<v8::Object> object, const char *name,
           v8::FunctionCallback callback, v8::Local<v8::Value> data)
{
    v8::Isolate *v8 = v8::Isolate::GetCurrent();
    v8::Local<v8::Function> function;
    v8::Local<v8::String> key;
    return v8::Function::New(context, callback, data).ToLocal(&function)
           && v8::String::NewFromUtf8(v8, name).ToLocal(&key)
           && object->Set(context, key, function).FromMaybe(false);
}

/* Runs the bootstrap in the environment. Empty: it threw. */
v8::MaybeLocal<v8::Value>
run_bootstrap(jsv8_isolate *iso, v8::Local<v8::Context> context,
              const node::StartExecutionCallbackInfo &info)
{
    v8::Isolate *v8 = iso->v8;
    v8::Local<v8::Object> native = v8::Object::New(v8);
    v8::Local<v8::Value> self = v8::External::New(v8, iso);
    v8::Local<v8::String> source;
    if (!iso->internal_binding.IsEmpty()) {
        native->Set(context, literal(v8, "internalBinding"), strong(iso->internal_binding)).Check();
    }
    if (!add_native(context, native, "report", native_report, self)
        || !add_native(context, native, "ticks", native_ticks, self)
        || !add_native(context, native, "unwind", native_unwind, self)
        || !add_native(context, native, "fromNode", native_from_node, self)
        || !native
                ->Set(context, literal(v8, "web"),
                      v8::Boolean::New(v8, iso->profile == JSV8_PROFILE_WEB))
                .FromMaybe(false)
        || !v8::String::NewFromUtf8(v8, kBootstrap).ToLocal(&source)) {
        return {};
    }
#if V8_MAJOR_VERSION >= 12
    v8::ScriptOrigin origin(literal(v8, "node:jsrt/bootstrap"));
#else
    v8::ScriptOrigin origin(v8, literal(v8, "node:jsrt/bootstrap"));
#endif
    v8::ScriptCompiler::Source input(source, origin);
    v8::Local<v8::String> names[] = {literal(v8, "process"), literal(v8, "require"),
                                     literal(v8, "native")};
    v8::Local<v8::Value> args[] = {info.process_object, info.native_require, native};
    v8::Local<v8::Function> bootstrap;
#if V8_MAJOR_VERSION >= 11
    auto compiled = v8::ScriptCompiler::CompileFunction(context, &input, 3, names);
#else
    auto compiled =
        v8::ScriptCompiler::CompileFunctionInContext(context, &input, 3, names, 0, nullptr);
#endif
    if (!compiled.ToLocal(&bootstrap)) {
        return {};
    }
    return bootstrap->Call(context, v8::Undefined(v8), 3, args);
}

/* Node lends its internal require to embedders at this moment only; `require` of the bootstrap
 * knows just public modules since Node 20. What is wanted of it may be missing: no failure. */
#if NODE_VERSION_AT_LEAST(22, 2, 0) || (NODE_MAJOR_VERSION == 20 && NODE_MINOR_VERSION >= 19)
#define JSV8_HAS_PRELOAD 1
void
find_internal_binding(jsv8_isolate *iso, v8::Local<v8::Value> require)
{
    v8::Isolate *v8 = iso->v8;
    v8::Local<v8::Context> context = v8->GetCurrentContext();
    v8::TryCatch swallow(v8);
    v8::Local<v8::Value> id = literal(v8, "internal/bootstrap/realm"), realm, binding;
    if (require->IsFunction()
        && require.As<v8::Function>()->Call(context, v8::Undefined(v8), 1, &id).ToLocal(&realm)
        && realm->IsObject()
        && realm.As<v8::Object>()->Get(context, literal(v8, "internalBinding")).ToLocal(&binding)
        && binding->IsFunction()) {
        iso->internal_binding.Reset(v8, binding);
    }
}
#endif

node::EnvironmentFlags::Flags
environment_flags(jsv8_profile_t profile)
{
    using namespace node::EnvironmentFlags;
    uint64_t flags = kNoCreateInspector | kHideConsoleWindows | kTrackUnmanagedFds;
    if (profile == JSV8_PROFILE_WEB) {
        flags |= kNoNativeAddons | kNoGlobalSearchPaths | kNoRegisterESMLoader;
    }
    return static_cast<Flags>(flags);
}

}   // namespace

jsv8_status_t
start_node(jsv8_isolate *iso, jsv8_error_t *error)
{
    v8::Isolate *v8 = iso->v8;
    v8::HandleScope scope(v8);
    node::SetIsolateUpForNode(v8);
    v8::Local<v8::Context> context = node::NewContext(v8);
    if (context.IsEmpty()) {
        return fail(error, JSV8_UNSUPPORTED, "Node could not make a context");
    }
    iso->context.Reset(v8, context);
    iso->main_context.Reset(v8, context);
    v8::Context::Scope context_scope(context);
    v8::TryCatch caught(v8);
    iso->node_data = node::CreateIsolateData(v8, iso->loop, platform(), nullptr);
    iso->env = node::CreateEnvironment(iso->node_data, context, {"jsrt"}, {},
                                       environment_flags(iso->profile));
    if (iso->env == nullptr) {
        return fail(error, JSV8_UNSUPPORTED, "Node could not make an environment");
    }
    iso->tick_resource.Reset(v8, v8::Object::New(v8));
    /* Only Node's own last resort comes here: the bootstrap replaces what JS can call. */
    node::SetProcessExitHandler(iso->env, [](node::Environment *, int) {
        v8::Isolate *current = v8::Isolate::GetCurrent();
        current->ThrowException(
            v8::Exception::Error(literal(current, "JavaScript tried to end the process")));
    });
    auto loaded = node::LoadEnvironment(
        iso->env,
        [iso, context](const node::StartExecutionCallbackInfo &info) {
            return run_bootstrap(iso, context, info);
        }
#ifdef JSV8_HAS_PRELOAD
        /* Also called for worker threads that JS starts, on those, long after: not for them. */
        ,
        [iso](node::Environment *env, v8::Local<v8::Value>, v8::Local<v8::Value> require) {
            if (env == iso->env) {
                find_internal_binding(iso, require);
            }
        }
#endif
    );
    iso->internal_binding.Reset();
    if (loaded.IsEmpty()) {
        if (caught.HasCaught() && !caught.HasTerminated()) {
            describe(iso, context, caught.Exception(), caught.Message(), nullptr, iso->error_texts,
                     error);
            return JSV8_UNSUPPORTED;
        }
        return fail(error, iso->attention.load() & kCondemned ? JSV8_HEAP_LIMIT : JSV8_UNSUPPORTED,
                    "Node's environment did not start");
    }
    return JSV8_OK;
}

void
stop_node(jsv8_isolate *iso)
{
    v8::HandleScope scope(iso->v8);
    if (iso->env != nullptr) {
        v8::Context::Scope context_scope(strong(iso->main_context));
        node::FreeEnvironment(iso->env);
        iso->env = nullptr;
    }
    if (iso->node_data != nullptr) {
        node::FreeIsolateData(iso->node_data);
        iso->node_data = nullptr;
    }
}

void
unwind_node(jsv8_isolate *iso)
{
    if (!iso->unwind.IsEmpty()) {
        v8::HandleScope scope(iso->v8);
        v8::TryCatch swallow(iso->v8);
        (void)strong(iso->unwind)
            ->Call(strong(iso->main_context), v8::Undefined(iso->v8), 0, nullptr)
            .IsEmpty();
    }
}

void
drain_node(jsv8_isolate *iso)
{
    const volatile uint8_t *ticks = iso->ticks;
    if (__builtin_expect(ticks != nullptr, 1)) {
        if (!ticks[kHasTicks]) {
            iso->v8->PerformMicrotaskCheckpoint();
            if (!ticks[kHasTicks] && !ticks[kHasRejections]) {
                return;
            }
        }
    }
    v8::HandleScope scope(iso->v8);
    v8::Context::Scope context_scope(strong(iso->main_context)); /* Node asks whose it is */
    /* Closing it runs ticks, microtasks and what Node does with rejections. */
    node::CallbackScope ticking(iso->v8, strong(iso->tick_resource), {0, 0});
}

namespace
{

/* Whether the loop's descriptor shows an event, or a timer is due. */
bool
loop_ready(uv_loop_t *loop)
{
    pollfd poll_loop = {uv_backend_fd(loop), POLLIN, 0};
    uv_update_time(loop);
    return uv_backend_timeout(loop) == 0 || poll(&poll_loop, 1, 0) != 0;
}

void
on_checkpoint(v8::Isolate *, void *count)
{
    ++*static_cast<unsigned *>(count);
}

/* One pass over the loop without waiting. Returns 1 while something is alive. */
int
pass(jsv8_isolate *iso)
{
    v8::Isolate *v8 = iso->v8;
    v8::Isolate::Scope isolate_scope(v8);
    v8::HandleScope scope(v8);
    v8::Context::Scope context_scope(strong(iso->main_context));
    uv_run(iso->loop, UV_RUN_NOWAIT);
    platform()->FlushForegroundTasks(v8);
    drain_now(iso);
    int alive = uv_loop_alive(iso->loop);
    if (!alive) {
        platform()->DrainTasks(v8);
        drain_now(iso);
        alive = uv_loop_alive(iso->loop);
    }
    return alive;
}

}   // namespace

}   // namespace jsv8

using namespace jsv8;

/* A wait must end as soon as anything happened to JavaScript, and must not begin before libuv has
 * told the kernel of all it waits for, which it does only when it runs. So: pass until one finds
 * nothing to do; block on the loop's descriptor; pass. Native code can start new I/O in the very
 * last pass without our seeing it, so a wait is also bounded. */
int
jsv8_turn(jsv8_isolate_t *iso, int wait)
{
    if (iso->pinned || (iso->attention.load() & kCondemned)) {
        return 0;
    }
    Gate gate(iso);
    if (!gate.outermost()) {
        return 0;
    }
    if (iso->attention.load() & (kDeadRefs | kInterrupt)) {
        v8::Isolate::Scope isolate_scope(iso->v8);
        v8::HandleScope scope(iso->v8);
        attend(iso);
    }
    unsigned checkpoints = 0;
    int alive = 1;
    if (!wait) {
        alive = pass(iso);
    } else {
        iso->v8->AddMicrotasksCompletedCallback(on_checkpoint, &checkpoints);
        bool ready = false;
        for (int quiet = 0; alive && !ready && quiet < 2 && iso->env != nullptr; quiet++) {
            ready = loop_ready(iso->loop);
            checkpoints = 0;
            alive = pass(iso);
            /* An idle pass has a few checkpoints of its own: as many as the least ever seen. */
            if (checkpoints < iso->idle_checkpoints) {
                iso->idle_checkpoints = checkpoints;
            }
            ready = ready || checkpoints > iso->idle_checkpoints;
        }
        iso->v8->RemoveMicrotasksCompletedCallback(on_checkpoint, &checkpoints);
        if (alive && !ready) {
            pollfd poll_loop = {uv_backend_fd(iso->loop), POLLIN, 0};
            uv_update_time(iso->loop);
            int timeout = uv_backend_timeout(iso->loop);
            if (timeout < 0 || timeout > kLongestWait) {
                timeout = kLongestWait;
            }
            if (timeout != 0 && !(iso->attention.load() & kStop)) {
                if (before_blocking != nullptr) {
                    before_blocking();
                }
                poll(&poll_loop, 1, timeout);
                if (after_blocking != nullptr) {
                    after_blocking();
                }
            }
            alive = pass(iso);
        }
    }
    if (iso->attention.load() & kStop) {
        v8::Isolate::Scope isolate_scope(iso->v8);
        v8::HandleScope scope(iso->v8);
        v8::Context::Scope context_scope(strong(iso->main_context));
        end_stop(iso);
    }
    return alive && !(iso->attention.load() & kCondemned);
}

void
jsv8_set_blocking_hooks(void (*before)(void), void (*after)(void))
{
    before_blocking = before;
    after_blocking = after;
}
