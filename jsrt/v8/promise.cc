/* SPDX-License-Identifier: MIT
 *
 * promise.cc: microtasks, promises as results, callbacks on settling, unhandled rejections.
 *
 * A promise that is handed to the caller counts as handled: the caller sees its error. In a bare
 * isolate V8 tells us of rejections; those that nobody handles by the end of the drain are
 * reported. In a Node environment Node does that, so a promise it has already noted is given a
 * reaction, which makes Node forget it.
 *
 * A Settling waits in the table iso->settling until its reaction runs and finds it by id. A
 * termination makes V8 throw away the whole microtask queue, so after each one settle_lost() looks
 * for settled promises whose reaction never ran; and freeing the isolate ends the rest. So
 * on_settled is called once, always.
 */
#include "promise.hh"

#include <utility>

#include "limit.hh"
#include "node_env.hh"

namespace jsv8
{

struct Rejection {
    v8::Global<v8::Promise> promise;
    Rejection *next;
};

namespace
{

void
report_rejections(jsv8_isolate *iso)
{
    while (iso->rejections != nullptr) {
        Rejection *first = iso->rejections;
        iso->rejections = first->next;
        v8::HandleScope scope(iso->v8);
        v8::Local<v8::Promise> promise = first->promise.Get(iso->v8);
        delete first;
        if (!promise->HasHandler()) {
            v8::Local<v8::Value> thrown = promise->Result();
            report_unhandled(iso, strong(iso->context), thrown,
                             v8::Exception::CreateMessage(iso->v8, thrown));
        }
    }
}

void
no_operation(const v8::FunctionCallbackInfo<v8::Value> &)
{
}

/* The promise goes to the caller, who will see how it ends. */
void
take_over(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Promise> promise)
{
    if (promise->HasHandler() || promise->State() == v8::Promise::kFulfilled) {
        return;
    }
    if (iso->env != nullptr && promise->State() == v8::Promise::kRejected) {
        v8::Local<v8::Function> nothing;
        v8::Local<v8::Promise> ignored;
        if (v8::Function::New(context, no_operation).ToLocal(&nothing)
            && promise->Catch(context, nothing).ToLocal(&ignored)) {
            return;
        }
    }
    promise->MarkAsHandled();
}

/* A promise after the drain. */
jsv8_status_t
settled(jsv8_isolate *iso, Entry &entry, v8::Local<v8::Promise> promise, jsv8_want_t want,
        jsv8_value_t *result, jsv8_error_t *error)
{
    switch (promise->State()) {
    case v8::Promise::kFulfilled:
        return from_v8(iso, entry, promise->Result(), want, result, error);
    case v8::Promise::kRejected: {
        v8::Local<v8::Value> thrown = promise->Result();
        if (!entry.outermost()) {
            iso->last_thrown.Reset(iso->v8, thrown);
        }
        describe(iso, entry.context(), thrown, v8::Exception::CreateMessage(iso->v8, thrown),
                 nullptr, iso->error_texts, error);
        return entry.stopped() ? fail(error, entry.stop_status(), "") : JSV8_EXCEPTION;
    }
    case v8::Promise::kPending:
        break;
    }
    result->u.ref = make_ref(iso, promise);
    if (result->u.ref == nullptr) {
        return fail(error, JSV8_NO_MEMORY, "out of memory");
    }
    result->u.ref->want = want;
    result->tag = JSV8_REF;
    return JSV8_PENDING;
}

/* Takes a waiter out of the table: whoever takes it out tells it. */
bool
take_settling(jsv8_isolate *iso, uint64_t id, Settling *out)
{
    auto found = iso->settling.find(id);
    if (found == iso->settling.end()) {
        return false;
    }
    *out = std::move(found->second);
    iso->settling.erase(found);
    return true;
}

/* Tells the waiting side, inside the isolate. */
void
tell(jsv8_isolate *iso, const Settling &settling, v8::Local<v8::Value> value, bool ok)
{
    Entry entry(iso);
    jsv8_value_t result;
    jsv8_error_t error;
    jsv8_status_t status;
    result.tag = JSV8_UNDEFINED;
    clear_error(&error);
    if (ok) {
        status = from_v8(iso, entry, value, settling.want, &result, &error);
    } else {
        describe(iso, entry.context(), value, v8::Exception::CreateMessage(iso->v8, value), nullptr,
                 iso->error_texts, &error);
        status = JSV8_EXCEPTION;
    }
    settling.on_settled(settling.user, status, &result, &error);
}

void
on_reaction(const v8::FunctionCallbackInfo<v8::Value> &call)
{
    auto *iso = static_cast<jsv8_isolate *>(call.GetIsolate()->GetData(kDataSlot));
    auto id = static_cast<uint64_t>(call[0].As<v8::Number>()->Value());
    Settling settling;
    if (take_settling(iso, id, &settling)) {
        tell(iso, settling, call[1], call[2]->IsTrue());
    }
}

}   // namespace

void
drain_now(jsv8_isolate *iso)
{
    if (iso->env != nullptr) {
        drain_node(iso);
        return;
    }
    iso->v8->PerformMicrotaskCheckpoint();
    if (__builtin_expect(iso->rejections != nullptr, 0)) {
        report_rejections(iso);
    }
}

void
drain_aside(jsv8_isolate *iso, Entry &entry)
{
    if (!entry.outermost()) {
        return;
    }
    std::swap(iso->error_texts, iso->aside_texts);
    iso->scratch.swap(iso->aside_scratch);
    drain(iso, entry);
    std::swap(iso->error_texts, iso->aside_texts);
    iso->scratch.swap(iso->aside_scratch);
}

jsv8_status_t
threw(jsv8_isolate *iso, Entry &entry, v8::TryCatch &caught, jsv8_error_t *error,
      const char *filename)
{
    jsv8_status_t status = caught_status(iso, entry, caught, error, filename);
    caught.Reset();
    if (status == JSV8_EXCEPTION) {
        drain_aside(iso, entry);
    }
    return status;
}

jsv8_status_t
deliver(jsv8_isolate *iso, Entry &entry, v8::Local<v8::Value> value, jsv8_want_t want,
        jsv8_value_t *result, jsv8_error_t *error)
{
    /* The commonest result first: each question to V8 is a call. */
    if (value->IsInt32() && want < JSV8_DISCARD) {
        result->u.integer = value.As<v8::Int32>()->Value();
        drain(iso, entry);
        if (entry.stopped()) {
            return fail(error, entry.stop_status(), "");
        }
        result->tag = JSV8_INT;
        return JSV8_OK;
    }
    bool promise = value->IsPromise();
    if (__builtin_expect(promise && want != JSV8_DISCARD, 0)) {
        take_over(iso, entry.context(), value.As<v8::Promise>());
    }
    drain(iso, entry);
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    jsv8_status_t status = promise && (want == JSV8_SETTLE || want == JSV8_JSON)
                               ? settled(iso, entry, value.As<v8::Promise>(), want, result, error)
                               : from_v8(iso, entry, value, want, result, error);
    if (__builtin_expect(iso->realms != nullptr, 0)) {
        /* What getters and toJSON() have queued is this call's, not the next realm's. */
        drain_aside(iso, entry);
        if (entry.stopped()) {
            if (result->tag == JSV8_REF) {
                jsv8_ref_free(result->u.ref);
                result->tag = JSV8_UNDEFINED;
            }
            return fail(error, entry.stop_status(), "");
        }
    }
    return status;
}

void
on_promise_reject(v8::PromiseRejectMessage message)
{
    v8::Local<v8::Promise> promise = message.GetPromise();
    if (message.GetEvent() != v8::kPromiseRejectWithNoHandler) {
        return; /* handlers added later are found by HasHandler() */
    }
    v8::Isolate *v8 = v8::Isolate::GetCurrent();
    auto *iso = static_cast<jsv8_isolate *>(v8->GetData(kDataSlot));
    Rejection *added = new (std::nothrow) Rejection{v8::Global<v8::Promise>(v8, promise), nullptr};
    if (added == nullptr) {
        return;
    }
    Rejection **end = &iso->rejections;
    while (*end != nullptr) {
        end = &(*end)->next;
    }
    *end = added;
}

void
settle_lost(jsv8_isolate *iso)
{
    if (iso->settling.empty()) {
        return;
    }
    v8::HandleScope scope(iso->v8);
    std::vector<uint64_t> ids;
    for (auto &each : iso->settling) {
        if (each.second.promise.Get(iso->v8)->State() != v8::Promise::kPending) {
            ids.push_back(each.first);
        }
    }
    for (uint64_t id : ids) {
        Settling settling;
        if (take_settling(iso, id, &settling)) {
            v8::Local<v8::Promise> promise = settling.promise.Get(iso->v8);
            tell(iso, settling, promise->Result(), promise->State() == v8::Promise::kFulfilled);
        }
    }
}

void
abandon_settling(jsv8_isolate *iso)
{
    while (!iso->settling.empty()) {
        Settling settling;
        take_settling(iso, iso->settling.begin()->first, &settling);
        settling.promise.Reset();
        jsv8_value_t nothing;
        jsv8_error_t error;
        nothing.tag = JSV8_UNDEFINED;
        clear_error(&error);
        settling.on_settled(settling.user, JSV8_TERMINATED, &nothing, &error);
    }
}

void
drop_rejections(jsv8_isolate *iso)
{
    while (iso->rejections != nullptr) {
        Rejection *next = iso->rejections->next;
        delete iso->rejections;
        iso->rejections = next;
    }
}

}   // namespace jsv8

using namespace jsv8;

jsv8_status_t
jsv8_promise_result(jsv8_ref_t *ref, jsv8_value_t *result, jsv8_error_t *error)
{
    result->tag = JSV8_UNDEFINED;
    clear_error(error);
    jsv8_isolate *iso = ref->isolate;
    if (iso == nullptr) {
        return fail(error, JSV8_NOT_FOUND, "the promise's isolate was freed");
    }
    Entry entry(iso);
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    return deliver(iso, entry, v8::Local<v8::Value>::New(iso->v8, ref->value), ref->want, result,
                   error);
}

jsv8_status_t
jsv8_promise_then(jsv8_ref_t *ref, jsv8_settled_t on_settled, void *user)
{
    jsv8_isolate *iso = ref->isolate;
    if (iso == nullptr) {
        return JSV8_NOT_FOUND;
    }
    Entry entry(iso);
    if (entry.stopped()) {
        return entry.stop_status();
    }
    v8::Isolate *v8 = iso->v8;
    v8::Local<v8::Context> context = entry.context();
    v8::TryCatch caught(v8);
    v8::Local<v8::Value> value = strong(ref->value), pair, fulfilled, rejected;
    if (!value->IsPromise()) {
        return JSV8_NOT_FOUND;
    }
    uint64_t id = ++iso->last_settling;
    v8::Local<v8::Value> args[2];
    v8::Local<v8::Function> settle;
    v8::Local<v8::Promise> ignored;
    bool ok = v8::Function::New(context, on_reaction).ToLocal(&settle);
    if (ok) {
        args[0] = settle;
        args[1] = v8::Number::New(v8, static_cast<double>(id));
        ok = strong(iso->settle_pair)->Call(context, v8::Undefined(v8), 2, args).ToLocal(&pair)
             && pair.As<v8::Object>()->Get(context, 0).ToLocal(&fulfilled)
             && pair.As<v8::Object>()->Get(context, 1).ToLocal(&rejected)
             && value.As<v8::Promise>()
                    ->Then(context, fulfilled.As<v8::Function>(), rejected.As<v8::Function>())
                    .ToLocal(&ignored);
    }
    if (!ok) {
        return entry.stopped() ? entry.stop_status() : JSV8_NO_MEMORY;
    }
    iso->settling.emplace(id, Settling{on_settled, user, ref->want,
                                       v8::Global<v8::Promise>(v8, value.As<v8::Promise>())});
    /* A promise that is settled already: its reaction waits in the queue. */
    drain(iso, entry);
    return JSV8_OK;
}
