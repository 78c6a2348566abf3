/* SPDX-License-Identifier: MIT
 *
 * call.cc: finding functions and calling them. jsv8_call is the fast path of the whole package:
 * nothing in it allocates for up to kStackArguments small arguments.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <string>

#include "context.hh"
#include "names.hh"
#include "promise.hh"

using namespace jsv8;

namespace
{

constexpr size_t kStackArguments = 16;
constexpr size_t kMostArguments = 65535;

/* The arguments as V8 wants them: on the stack where they are few. */
class Arguments
{
  public:
    explicit Arguments(size_t count)
    {
        if (__builtin_expect(count > kStackArguments, 0)) {
            many_ = static_cast<v8::Local<v8::Value> *>(calloc(count, sizeof(*many_)));
            at_ = many_;
        } else {
            at_ = reinterpret_cast<v8::Local<v8::Value> *>(few_); /* all are written before use */
        }
    }
    ~Arguments()
    {
        free(many_);
    }
    Arguments(const Arguments &) = delete;
    void operator=(const Arguments &) = delete;

    v8::Local<v8::Value> *data()
    {
        return at_;
    } /* NULL: no memory */

  private:
    alignas(v8::Local<v8::Value>) char few_[kStackArguments * sizeof(v8::Local<v8::Value>)];
    v8::Local<v8::Value> *many_ = nullptr;
    v8::Local<v8::Value> *at_;
};

bool
is_identifier(const std::string &text)
{
    if (text.empty() || text == "this") {
        return false;
    }
    for (size_t i = 0; i < text.size(); i++) {
        unsigned char c = static_cast<unsigned char>(text[i]);
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
        if (!letter && !(i > 0 && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return true;
}

/* The first step of a path: a let/const/class binding or a property of the global object. V8 has
 * no call for the former, so the name, verified to be one plain identifier, is evaluated. */
v8::MaybeLocal<v8::Value>
global_binding(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::String> name,
               const std::string &text)
{
    if (is_identifier(text)) {
        v8::TryCatch caught(iso->v8);
        v8::Local<v8::Script> script;
        v8::Local<v8::Value> value;
        if (v8::Script::Compile(context, name).ToLocal(&script)
            && script->Run(context).ToLocal(&value)) {
            return value;
        }
        /* A RangeError says that the stack is full, not that there is no such name. */
        v8::Local<v8::Value> thrown = caught.Exception();
        if (caught.HasTerminated()
            || (!thrown.IsEmpty() && thrown->IsNativeError()
                && thrown.As<v8::Object>()->GetConstructorName()->StringEquals(
                    literal(iso->v8, "RangeError")))) {
            return caught.ReThrow(), v8::MaybeLocal<v8::Value>();
        }
        /* Most likely not defined: let the property lookup say so, or throw the same again. */
    }
    return context->Global()->Get(context, name);
}

}   // namespace

jsv8_status_t
jsv8_function(jsv8_isolate_t *iso, const char *name, size_t length, jsv8_ref_t **out,
              jsv8_error_t *error)
{
    clear_error(error);
    *out = nullptr;
    Entry entry(iso);
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    v8::Local<v8::Context> context = entry.context();
    v8::TryCatch caught(iso->v8);
    v8::Local<v8::Value> value = context->Global(), receiver = v8::Undefined(iso->v8);
    int shown = static_cast<int>(length < 200 ? length : 200);
    size_t at = 0;

    while (at <= length) {
        const void *dot = at < length ? memchr(name + at, '.', length - at) : nullptr;
        size_t end =
            dot != nullptr ? static_cast<size_t>(static_cast<const char *>(dot) - name) : length;
        std::string text(name + at, end - at);
        v8::Local<v8::String> key;
        if (text.empty()
            || !v8::String::NewFromUtf8(iso->v8, text.data(), v8::NewStringType::kInternalized,
                                        static_cast<int>(text.size()))
                    .ToLocal(&key)) {
            return fail_format(iso, error, JSV8_NOT_FOUND, "'%.*s' is not a name", shown, name);
        }
        bool ok;
        if (at == 0) {
            ok = global_binding(iso, context, key, text).ToLocal(&value);
        } else if (value->IsNullOrUndefined()) {
            return fail_format(iso, error, JSV8_NOT_FOUND, "no such function: %.*s (%.*s is %s)",
                               shown, name, static_cast<int>(at - 1), name,
                               value->IsNull() ? "null" : "undefined");
        } else {
            v8::Local<v8::Object> holder;
            receiver = value;
            ok = value->ToObject(context).ToLocal(&holder)
                 && holder->Get(context, key).ToLocal(&value);
        }
        if (!ok) {
            return caught_status(iso, entry, caught, error);
        }
        at = end + 1;
    }
    if (!value->IsFunction()) {
        return fail_format(iso, error, JSV8_NOT_FOUND, "%s: %.*s",
                           value->IsUndefined() ? "no such function" : "not a function", shown,
                           name);
    }
    jsv8_ref *ref = make_ref(iso, value);
    if (ref == nullptr) {
        return fail(error, JSV8_NO_MEMORY, "out of memory");
    }
    if (!receiver->IsUndefined()) {
        ref->receiver.Reset(iso->v8, receiver);
    }
    *out = ref;
    return JSV8_OK;
}

namespace
{

/* The call itself, inside: arguments in, result out. */
inline jsv8_status_t
call(jsv8_isolate *iso, Entry &entry, v8::Local<v8::Function> function,
     v8::Local<v8::Value> receiver, size_t argc, const jsv8_value_t *argv, jsv8_want_t want,
     jsv8_value_t *result, jsv8_error_t *error, bool construct = false)
{
    Arguments arguments(argc);
    v8::Local<v8::Value> *args = arguments.data();
    if (__builtin_expect(args == nullptr, 0)) {
        return fail(error, JSV8_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < argc; i++) {
        if (argv[i].tag == JSV8_INT
            && argv[i].u.integer == static_cast<int32_t>(argv[i].u.integer)) {
            args[i] = v8::Integer::New(entry.v8(), static_cast<int32_t>(argv[i].u.integer));
            continue;
        }
        jsv8_status_t status = to_v8(iso, entry, &argv[i], &args[i], error);
        if (__builtin_expect(status != JSV8_OK, 0)) {
            return status;
        }
    }
    v8::Local<v8::Value> value;
    {
        v8::TryCatch caught(entry.v8());
        bool done;
        if (__builtin_expect(construct, 0)) {
            v8::Local<v8::Object> made;
            done =
                function->NewInstance(entry.context(), static_cast<int>(argc), args).ToLocal(&made);
            value = made;
        } else {
            done = function->Call(entry.context(), receiver, static_cast<int>(argc), args)
                       .ToLocal(&value);
        }
        if (!done) {
            return threw(iso, entry, caught, error);
        }
    }
    return deliver(iso, entry, value, want, result, error);
}

}   // namespace

jsv8_status_t
jsv8_call(jsv8_ref_t *function, size_t argc, const jsv8_value_t *argv, jsv8_want_t want,
          jsv8_value_t *result, jsv8_error_t *error)
{
    jsv8_isolate *iso = function->isolate;
    result->tag = JSV8_UNDEFINED;
    if (__builtin_expect(iso == nullptr, 0)) {
        return fail(error, JSV8_NOT_FOUND, "the function's isolate was freed");
    }
    Entry entry(iso);
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    if (__builtin_expect(!function->callable || argc > kMostArguments, 0)) {
        return fail(error, JSV8_NOT_FOUND,
                    function->callable ? "more than 65535 arguments" : "not a function");
    }
    v8::Local<v8::Value> receiver = function->receiver.IsEmpty()
                                        ? v8::Undefined(entry.v8()).As<v8::Value>()
                                        : strong(function->receiver);
    return call(iso, entry, strong(function->value).As<v8::Function>(), receiver, argc, argv, want,
                result, error);
}

jsv8_status_t
jsv8_call_with(jsv8_ref_t *function, const jsv8_value_t *receiver, int construct, size_t argc,
               const jsv8_value_t *argv, jsv8_want_t want, jsv8_value_t *result,
               jsv8_error_t *error)
{
    jsv8_isolate *iso = function->isolate;
    result->tag = JSV8_UNDEFINED;
    if (iso == nullptr) {
        return fail(error, JSV8_NOT_FOUND, "the function's isolate was freed");
    }
    Entry entry(iso);
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    if (!function->callable || argc > kMostArguments) {
        return fail(error, JSV8_NOT_FOUND,
                    function->callable ? "more than 65535 arguments" : "not a function");
    }
    v8::Local<v8::Value> self = v8::Undefined(entry.v8());
    if (receiver != nullptr) {
        jsv8_status_t status = to_v8(iso, entry, receiver, &self, error);
        if (status != JSV8_OK) {
            return status;
        }
    } else if (!function->receiver.IsEmpty()) {
        self = strong(function->receiver);
    }
    return call(iso, entry, strong(function->value).As<v8::Function>(), self, argc, argv, want,
                result, error, construct != 0);
}

jsv8_status_t
jsv8_call_named(jsv8_isolate_t *iso, const char *name, size_t length, size_t argc,
                const jsv8_value_t *argv, jsv8_want_t want, jsv8_value_t *result,
                jsv8_error_t *error)
{
    result->tag = JSV8_UNDEFINED;
    {
        Entry entry(iso);
        if (entry.stopped()) {
            return fail(error, entry.stop_status(), "");
        }
        if (__builtin_expect(argc > kMostArguments, 0)) {
            return fail(error, JSV8_NOT_FOUND, "more than 65535 arguments");
        }
        v8::Local<v8::Value> function, receiver;
        if (find_named(iso, entry.context(), name, length, &function, &receiver)) {
            return call(iso, entry, function.As<v8::Function>(), receiver, argc, argv, want, result,
                        error);
        }
        if (entry.stopped()) {
            return fail(error, entry.stop_status(), "");
        }
    }
    jsv8_ref_t *ref;
    jsv8_status_t status = jsv8_function(iso, name, length, &ref, error);
    if (status == JSV8_OK) {
        status = jsv8_call(ref, argc, argv, want, result, error);
        jsv8_ref_free(ref);
    }
    return status;
}

double
jsv8_raw_call_ns(jsv8_ref_t *function, size_t n)
{
    jsv8_isolate *iso = function->isolate;
    if (iso == nullptr || n == 0) {
        return 0;
    }
    Entry entry(iso);
    v8::Local<v8::Context> context = entry.context();
    v8::Local<v8::Function> callee = strong(function->value).As<v8::Function>();
    v8::Local<v8::Value> receiver = v8::Undefined(iso->v8);
    v8::Local<v8::Value> args[] = {v8::Integer::New(iso->v8, 1), v8::Integer::New(iso->v8, 2)};
    timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (size_t i = 0; i < n; i++) {
        v8::HandleScope each(iso->v8);
        v8::Local<v8::Value> value;
        if (!callee->Call(context, receiver, 2, args).ToLocal(&value)) {
            return 0;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    return ((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec)) / n;
}
