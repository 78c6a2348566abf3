/* SPDX-License-Identifier: MIT
 *
 * host.cc: JavaScript calls the host, and what of the host's lives inside of V8.
 *
 * A Hosted ties one object of the host's to one of JavaScript's: the function that calls it, the
 * view that shows it, the error that carries it, or the string whose text it is. V8 says when
 * JavaScript's object is gone (a weak handle, the end of a string's resource); the host's is then
 * put on the list of dropped ones, for the host to fetch when it may run code of its own.
 *
 * Invariants
 *   1. Every Hosted is in one of the two lists, live or dropped, under the registry lock, until
 *      jsv8_dropped or the end of the isolate takes it out. The host's object is owned as long.
 *   2. A call of the host's happens inside an Entry that is not the outermost one, so that what it
 *      calls drains no microtasks in the middle of JavaScript.
 *   3. Where a conversion is under way (a getter calls the host), the call has buffers of its own.
 *   4. A stop that came meanwhile is asked for again behind the call: V8 forgets one that ended
 *      a call made from there.
 */
#include "host.hh"

#include <string.h>

#include "context.hh"
#include "limit.hh"
#include "promise.hh"
#include "view.hh"

namespace jsv8
{

namespace
{

constexpr unsigned kCopies = 64;

std::atomic<size_t> live_hosted{0};

constexpr char kIteratorSource[] = R"js(((ended, iterator, asyncIterator) => {
  "use strict";
  return (call, async) => async ? {
    async next() {
      const value = await call(0);
      return value === ended ? {value: undefined, done: true} : {value, done: false};
    },
    async return(value) {
      await call(1);
      return {value, done: true};
    },
    [asyncIterator]() { return this },
  } : {
    next() {
      const value = call(0);
      return value === ended ? {value: undefined, done: true} : {value, done: false};
    },
    return(value) {
      call(1);
      return {value, done: true};
    },
    [iterator]() { return this },
  };
}))js";

bool
make_host(jsv8_isolate *iso)
{
    v8::Isolate *v8 = iso->v8;
    if (iso->host == nullptr) {
        iso->host = new (std::nothrow) Host();
        if (iso->host == nullptr) {
            return false;
        }
        iso->host->key.Reset(v8, v8::Private::New(v8, literal(v8, "jsrt:host")));
        iso->host->ended.Reset(v8, v8::Object::New(v8));
    }
    return true;
}

}   // namespace

bool
prepare_host(jsv8_isolate *iso, v8::Local<v8::Context> context)
{
    v8::Isolate *v8 = iso->v8;
    if (!make_host(iso)) {
        return false;
    }
    if (!iso->make_iterator.IsEmpty()) {
        return true;
    }
    v8::Global<v8::Function> make;
    v8::Local<v8::Value> args[] = {strong(iso->host->ended), v8::Symbol::GetIterator(v8),
                                   v8::Symbol::GetAsyncIterator(v8)},
                         made;
    if (!own_function(iso, context, kIteratorSource, &make)
        || !strong(make)->Call(context, v8::Undefined(v8), 3, args).ToLocal(&made)) {
        return false;
    }
    iso->make_iterator.Reset(v8, made.As<v8::Function>());
    return true;
}

namespace
{

/* Under the registry lock. */
void
unlink_hosted(Host *host, Hosted *hosted)
{
    if (hosted->previous != nullptr) {
        hosted->previous->next = hosted->next;
    } else {
        host->live = hosted->next;
    }
    if (hosted->next != nullptr) {
        hosted->next->previous = hosted->previous;
    }
}

/* The host's object may be fetched. */
void
retire(Hosted *hosted)
{
    jsv8_isolate *iso = hosted->iso;
    hosted->weak.Reset();
    forget_view(hosted);
    Registry guard;
    unlink_hosted(iso->host, hosted);
    hosted->next = iso->host->dropped;
    iso->host->dropped = hosted;
    if (iso->user != nullptr && iso->on_dropped != nullptr) {
        iso->on_dropped(iso->user);
    }
}

/* JavaScript's object is gone. In a collection. */
void
on_gone(const v8::WeakCallbackInfo<Hosted> &info)
{
    retire(info.GetParameter());
}

void
link_hosted(Hosted *hosted)
{
    Host *host = hosted->iso->host;
    live_hosted.fetch_add(1, std::memory_order_relaxed);
    Registry guard;
    hosted->next = host->live;
    if (hosted->next != nullptr) {
        hosted->next->previous = hosted;
    }
    host->live = hosted;
}

}   // namespace

void
tie(jsv8_isolate *iso, Hosted *hosted, v8::Local<v8::Object> object)
{
    hosted->weak.Reset(iso->v8, object);
    hosted->weak.SetWeak(hosted, on_gone, v8::WeakCallbackType::kParameter);
    link_hosted(hosted);
}

namespace
{

/* The text of a string that stays the host's. V8 deletes it, in a collection or, when the isolate
 * has been told to go and what it owned was taken from it, at its end. */
template <class Resource, class Unit> class LentText : public Resource
{
  public:
    LentText(const jsv8_value_t *in, Hosted *hosted)
        : data_(static_cast<const Unit *>(in->u.lent.data)), length_(in->u.lent.length),
          iso_(hosted->iso), hosted_(hosted)
    {
    }
    ~LentText() override
    {
        if (!iso_->disposing) {
            iso_->buffers->end_loan(length_ * sizeof(Unit));
            retire(hosted_);
        }
    }
    const Unit *data() const override
    {
        return data_;
    }
    size_t length() const override
    {
        return length_;
    }

  private:
    const Unit *data_;
    size_t length_;
    jsv8_isolate *iso_;
    Hosted *hosted_;
};

using LentOneByte = LentText<v8::String::ExternalOneByteStringResource, char>;
using LentTwoByte = LentText<v8::String::ExternalStringResource, uint16_t>;

}   // namespace

bool
mark(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Object> object,
     Hosted *hosted)
{
    return object->SetPrivate(context, strong(iso->host->key), v8::External::New(iso->v8, hosted))
        .FromMaybe(false);
}

Hosted *
hosted_of(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Object> object)
{
    v8::Local<v8::Value> found;
    if (object->IsProxy()) {
        /* The only Proxies that stand for something are views, and their targets are in nobody
         * else's hands. */
        v8::Local<v8::Value> target = object.As<v8::Proxy>()->GetTarget();
        if (!target->IsObject() || target->IsProxy()) {
            return nullptr;
        }
        Hosted *hosted = hosted_of(iso, context, target.As<v8::Object>());
        return hosted != nullptr && hosted->kind >= JSV8_HOST_OBJECT ? hosted : nullptr;
    }
    if (!object->GetPrivate(context, strong(iso->host->key)).ToLocal(&found)
        || !found->IsExternal()) {
        return nullptr;
    }
    return static_cast<Hosted *>(found.As<v8::External>()->Value());
}

namespace
{

/* The buffers of calls, put aside where a conversion is writing them. */
class Aside
{
  public:
    explicit Aside(jsv8_isolate *iso) : iso_(iso), needed_(iso->converting > 0)
    {
        if (needed_) {
            change_places();
            converting_ = iso->converting;
            iso->converting = 0;
        }
    }
    ~Aside()
    {
        if (needed_) {
            change_places();
            iso_->converting = converting_;
        }
    }
    Aside(const Aside &) = delete;
    void operator=(const Aside &) = delete;

  private:
    void change_places()
    {
        iso_->scratch.swap(scratch_);
        std::swap(iso_->error_texts, errors_);
    }

    jsv8_isolate *iso_;
    bool needed_;
    int converting_ = 0;
    Scratch scratch_;
    ErrorTexts texts_;
    ErrorTexts *errors_ = &texts_;
};

}   // namespace

}   // namespace jsv8

struct jsv8_frame {
    const v8::FunctionCallbackInfo<v8::Value> &info;
    jsv8_isolate *iso;
    jsv8::Entry &entry;
    const jsv8::Hosted *hosted;
    int first; /* of the arguments, the host's first */
};

namespace jsv8
{

void
call_host(const v8::FunctionCallbackInfo<v8::Value> &info, const Hosted *hosted, int first)
{
    jsv8_isolate *iso = hosted->iso;
    Entry entry(iso);
    if (!entry.stopped()) {
        Aside aside(iso);
        jsv8_frame frame{info, iso, entry, hosted, first};
        iso->on_call(iso, &frame, hosted->object);
    }
    if (entry.stopped()) {
        /* V8 would look for it at the next call or turn of a loop, some steps too late: any call
         * of JavaScript's makes it look now. */
        iso->v8->TerminateExecution();
        (void)strong(iso->own_scope)
            ->Call(entry.context(), v8::Undefined(iso->v8), 0, nullptr)
            .IsEmpty();
    }
}

namespace
{

void
on_native_call(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    call_host(info, static_cast<Hosted *>(info.Data().As<v8::External>()->Value()), 0);
}

void
define(v8::Local<v8::Context> context, v8::Local<v8::Object> object, v8::Local<v8::String> key,
       v8::Local<v8::Value> value)
{
    (void)object->DefineOwnProperty(context, key, value, v8::DontEnum).IsNothing();
}

/* Ties the host's object to what is thrown for it, unless that carries one already. */
void
tie_error(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Object> error,
          jsv8_thrown_t *thrown)
{
    if (thrown->object == nullptr || iso->on_call == nullptr || !prepare_host(iso, context)
        || error->IsProxy()) {
        return;
    }
    Hosted *hosted = hosted_of(iso, context, error);
    if (hosted != nullptr && !hosted->once) {
        return;
    }
    if (hosted != nullptr) {
        retire(hosted);
    }
    hosted = new (std::nothrow) Hosted{
        iso, thrown->object, JSV8_HOST_FUNCTION, thrown->value != nullptr, {}, nullptr, nullptr};
    if (hosted != nullptr && mark(iso, context, error, hosted)) {
        tie(iso, hosted, error);
        thrown->taken = 1;
    } else {
        (void)error->DeletePrivate(context, strong(iso->host->key)).IsNothing();
        delete hosted;
    }
}

/* An Error as thrown says, with its object tied to it; an empty one: no memory. */
v8::Local<v8::Value>
make_error(jsv8_isolate *iso, Entry &entry, jsv8_thrown_t *thrown)
{
    v8::Isolate *v8 = iso->v8;
    v8::Local<v8::Context> context = entry.context();
    v8::TryCatch swallow(v8);
    if (thrown->value != nullptr && thrown->value->isolate == iso) {
        v8::Local<v8::Value> again = v8::Local<v8::Value>::New(v8, thrown->value->value);
        if (again->IsObject()) {
            tie_error(iso, context, again.As<v8::Object>(), thrown);
        }
        return again;
    }
    v8::Local<v8::Value> text, name, stack;
    jsv8_error_t error;
    if (to_v8(iso, entry, &thrown->message, &text, &error) != JSV8_OK || !text->IsString()) {
        text = v8::String::Empty(v8);
    }
    v8::Local<v8::Value> made = v8::Exception::Error(text.As<v8::String>());
    v8::Local<v8::Object> object = made.As<v8::Object>();
    if (to_v8(iso, entry, &thrown->name, &name, &error) == JSV8_OK && name->IsString()) {
        define(context, object, literal(v8, "name"), name);
    }
    if (to_v8(iso, entry, &thrown->stack, &stack, &error) == JSV8_OK && stack->IsString()) {
        define(context, object, literal(v8, "stack"), stack);
    }
    tie_error(iso, context, object, thrown);
    return made;
}

jsv8_status_t
no_function(Entry &entry, jsv8_error_t *error)
{
    return entry.stopped() ? fail(error, entry.stop_status(), "")
                           : fail(error, JSV8_NO_MEMORY, "V8 could not make a function");
}

}   // namespace

jsv8_status_t
make_callback(jsv8_isolate *iso, Entry &entry, jsv8_callback_t *callback, v8::Local<v8::Value> *out,
              jsv8_error_t *error)
{
    v8::Isolate *v8 = iso->v8;
    v8::Local<v8::Context> context = entry.context();
    v8::TryCatch caught(v8);
    if (iso->on_call == nullptr) {
        return fail(error, JSV8_CONVERSION, "the host takes no calls");
    }
    if (callback->kind >= JSV8_HOST_OBJECT) {
        return make_view(iso, context, callback, out) ? JSV8_OK : no_function(entry, error);
    }
    v8::Local<v8::Function> function;
    v8::Local<v8::String> name;
    Hosted *hosted = nullptr;
    bool ok = !callback->taken && prepare_host(iso, context)
              && (hosted = new (std::nothrow)
                      Hosted{iso, callback->object, callback->kind, false, {}, nullptr, nullptr})
                     != nullptr
              && v8::Function::New(context, on_native_call, v8::External::New(v8, hosted), 0,
                                   v8::ConstructorBehavior::kThrow)
                     .ToLocal(&function)
              && mark(iso, context, function, hosted);
    *out = function;
    if (ok && callback->kind != JSV8_HOST_FUNCTION) {
        v8::Local<v8::Value> args[] = {
            function, v8::Boolean::New(v8, callback->kind == JSV8_HOST_ASYNC_ITERATOR)};
        ok = strong(iso->make_iterator)->Call(context, v8::Undefined(v8), 2, args).ToLocal(out);
    } else if (ok && callback->name[0] != '\0'
               && v8::String::NewFromUtf8(v8, callback->name).ToLocal(&name)) {
        function->SetName(name);
    }
    if (!ok) {
        delete hosted;
        return no_function(entry, error);
    }
    tie(iso, hosted, function);
    callback->taken = 1;
    return JSV8_OK;
}

namespace
{

/* V8 does not see what a string of the host's holds, and in an isolate that is called and never
 * idle it would not look. Where too much is lent, a collection finds what is garbage; where that
 * was not enough, texts are copied for a while. */
bool
begin_loan(jsv8_isolate *iso, size_t size)
{
    if (iso->buffers->begin_loan(size)) {
        return true;
    }
    if (iso->copies_left > 0) {
        iso->copies_left--;
        return false;
    }
    collect_soon(iso);
    if (iso->buffers->begin_loan(size)) {
        return true;
    }
    iso->copies_left = kCopies;
    return false;
}

}   // namespace

bool
borrow_text(jsv8_isolate *iso, const jsv8_value_t *in, v8::Local<v8::Value> *out)
{
    bool narrow = in->tag == JSV8_LENT_LATIN1;
    size_t size = in->u.lent.length * (narrow ? 1 : 2);
    if (in->u.lent.length > static_cast<size_t>(v8::String::kMaxLength) || in->u.lent.loan->taken
        || iso->on_dropped == nullptr || !make_host(iso) || !begin_loan(iso, size)) {
        return false;
    }
    auto *hosted = new (std::nothrow)
        Hosted{iso, in->u.lent.loan->object, JSV8_HOST_FUNCTION, false, {}, nullptr, nullptr};
    if (hosted == nullptr) {
        iso->buffers->end_loan(size);
        return false;
    }
    link_hosted(hosted);
    /* Empty only for a text that is too long. */
    *out =
        narrow
            ? v8::String::NewExternalOneByte(iso->v8, new LentOneByte(in, hosted)).ToLocalChecked()
            : v8::String::NewExternalTwoByte(iso->v8, new LentTwoByte(in, hosted)).ToLocalChecked();
    in->u.lent.loan->taken = 1;
    return true;
}

void *
host_object(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Object> object)
{
    Hosted *hosted = hosted_of(iso, context, object);
    if (hosted == nullptr) {
        return nullptr;
    }
    void *found = hosted->object;
    if (hosted->once && object->DeletePrivate(context, strong(iso->host->key)).FromMaybe(false)) {
        retire(hosted); /* owned still, until the host fetches it */
    }
    return found;
}

Hosted *
forget_host(jsv8_isolate *iso)
{
    Hosted *first, *live;
    {
        Registry guard;
        Host *host = iso->host;
        if (host == nullptr) {
            return nullptr;
        }
        first = host->dropped;
        live = host->live;
        iso->host = nullptr;
        delete host;
    }
    while (live != nullptr) {
        Hosted *next = live->next;
        live->weak.Reset();
        live->next = first;
        first = live;
        live = next;
    }
    return first;
}

void
release_owned(Hosted *owned, void (*release)(void *object))
{
    while (owned != nullptr) {
        Hosted *next = owned->next;
        void *object = owned->object;
        delete owned;
        live_hosted.fetch_sub(1, std::memory_order_relaxed);
        release(object);
        owned = next;
    }
}

}   // namespace jsv8

using namespace jsv8;

size_t
jsv8_frame_count(const jsv8_frame_t *frame)
{
    return static_cast<size_t>(frame->info.Length() - frame->first);
}

jsv8_host_kind_t
jsv8_frame_kind(const jsv8_frame_t *frame)
{
    return frame->hosted->kind;
}

jsv8_status_t
jsv8_frame_argument(jsv8_frame_t *frame, size_t index, jsv8_value_t *result, jsv8_error_t *error)
{
    result->tag = JSV8_UNDEFINED;
    clear_error(error);
    return from_v8(frame->iso, frame->entry, frame->info[frame->first + static_cast<int>(index)],
                   JSV8_RAW, result, error);
}

jsv8_status_t
jsv8_frame_return(jsv8_frame_t *frame, const jsv8_value_t *value, jsv8_error_t *error)
{
    clear_error(error);
    v8::Local<v8::Value> out;
    if (value == nullptr) {
        frame->info.GetReturnValue().Set(strong(frame->iso->host->ended));
        return JSV8_OK;
    }
    jsv8_status_t status = to_v8(frame->iso, frame->entry, value, &out, error);
    if (status == JSV8_OK) {
        frame->info.GetReturnValue().Set(out);
    }
    return status;
}

void
jsv8_frame_throw(jsv8_frame_t *frame, jsv8_thrown_t *thrown)
{
    frame->iso->v8->ThrowException(make_error(frame->iso, frame->entry, thrown));
}

jsv8_status_t
jsv8_frame_promise(jsv8_frame_t *frame, jsv8_ref_t **resolver, jsv8_error_t *error)
{
    clear_error(error);
    v8::Local<v8::Promise::Resolver> made;
    v8::TryCatch caught(frame->iso->v8);
    if (!v8::Promise::Resolver::New(frame->entry.context()).ToLocal(&made)
        || (*resolver = make_ref(frame->iso, made)) == nullptr) {
        return fail(error, JSV8_NO_MEMORY, "V8 could not make a promise");
    }
    frame->info.GetReturnValue().Set(made->GetPromise());
    return JSV8_OK;
}

jsv8_status_t
jsv8_settle(jsv8_ref_t *resolver, const jsv8_value_t *value, jsv8_thrown_t *thrown,
            jsv8_error_t *error)
{
    jsv8_isolate *iso = resolver->isolate;
    clear_error(error);
    if (iso == nullptr) {
        return fail(error, JSV8_NOT_FOUND, "the promise's isolate was freed");
    }
    Entry entry(iso);
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    v8::Local<v8::Value> out;
    v8::Local<v8::Promise::Resolver> promise =
        v8::Local<v8::Value>::New(iso->v8, resolver->value).As<v8::Promise::Resolver>();
    if (value != nullptr) {
        jsv8_status_t status = to_v8(iso, entry, value, &out, error);
        if (status != JSV8_OK) {
            return status;
        }
    }
    {
        v8::TryCatch swallow(iso->v8);
        if (value == nullptr && thrown == nullptr) {
            out = strong(iso->host->ended);
        }
        if (!out.IsEmpty()) {
            (void)promise->Resolve(entry.context(), out).IsNothing();
        } else {
            (void)promise->Reject(entry.context(), make_error(iso, entry, thrown)).IsNothing();
        }
    }
    drain(iso, entry);
    return entry.stopped() ? fail(error, entry.stop_status(), "") : JSV8_OK;
}

jsv8_ref_t *
jsv8_take_thrown(jsv8_isolate_t *iso)
{
    if (iso->last_thrown.IsEmpty()) {
        return nullptr;
    }
    Entry entry(iso);
    jsv8_ref_t *ref = make_ref(iso, strong(iso->last_thrown));
    iso->last_thrown.Reset();
    return ref;
}

void *
jsv8_dropped(jsv8_isolate_t *iso)
{
    Hosted *hosted;
    {
        Registry guard;
        if (iso->host == nullptr || iso->host->dropped == nullptr) {
            return nullptr;
        }
        hosted = iso->host->dropped;
        iso->host->dropped = hosted->next;
    }
    void *object = hosted->object;
    delete hosted;
    live_hosted.fetch_sub(1, std::memory_order_relaxed);
    return object;
}

int
jsv8_visit_hosted(jsv8_isolate_t *iso, int (*visit)(void *object, void *arg), void *arg)
{
    Registry guard;
    int shared = iso->buffers->visit(visit, arg);
    if (shared != 0 || iso->host == nullptr) {
        return shared;
    }
    for (Hosted *list : {iso->host->live, iso->host->dropped}) {
        for (Hosted *each = list; each != nullptr; each = each->next) {
            int code = visit(each->object, arg);
            if (code != 0) {
                return code;
            }
        }
    }
    return 0;
}

size_t
jsv8_live_hosted(void)
{
    return live_hosted.load(std::memory_order_relaxed);
}

void
jsv8_isolate_mute(jsv8_isolate_t *iso)
{
    Registry guard;
    iso->on_unhandled = nullptr;
    iso->user = nullptr;
}

void *
jsv8_isolate_user(const jsv8_isolate_t *iso)
{
    return iso->user;
}
