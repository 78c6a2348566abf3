/* SPDX-License-Identifier: MIT
 *
 * handle.cc: properties, iteration, identity and the like of what a ref holds.
 *
 * V8's property API silently ignores what a frozen object refuses, and knows neither `in` on a
 * Proxy's terms nor iterators. So each question that is JavaScript's to answer is a function of
 * JavaScript's own, in strict mode, made at the first use. The functions use nothing but syntax
 * and what they are given: code of the user's cannot reach into them.
 */
#include "handle.hh"

#include <string.h>

#include "context.hh"
#include "promise.hh"

namespace jsv8
{

namespace
{

/* In the order of the source's array. */
enum Helper { kGet, kSet, kDelete, kHas, kLength, kIterate, kNext, kThen, kHelpers };

constexpr char kSource[] = R"js(((nothing, iterator) => {
  "use strict";
  return [
    (object, key) => {
      const value = object[key];
      return value === undefined && (typeof object === "symbol" || !(key in object))
        ? nothing : value;
    },
    (object, key, value) => { object[key] = value },
    (object, key) => delete object[key],
    (object, key) => key in object,
    (object) => {
      const length = object.length;
      if (typeof length === "number") return length;
      const size = object.size;
      return typeof size === "number" ? size : nothing;
    },
    (object) => {
      const make = object[iterator];
      return make === undefined || make === null ? nothing : object[iterator]();
    },
    (it) => {
      const step = it.next();
      if (!("done" in step)) return step.value;
      return step.done ? nothing : step.value;
    },
    (object) => {
      const then = object.then;
      return typeof then === "function" ? object : nothing;
    },
  ];
}))js";

}   // namespace

struct Operations {
    v8::Global<v8::Function> helpers[kHelpers];
    v8::Global<v8::Object> nothing; /* what a helper returns for "there is none" */
};

void
forget_operations(RealmParts *parts)
{
    delete parts->operations;
    parts->operations = nullptr;
}

namespace
{

bool
prepare(jsv8_isolate *iso, v8::Local<v8::Context> context)
{
    if (iso->operations != nullptr) {
        return true;
    }
    v8::Isolate *v8 = iso->v8;
    v8::Global<v8::Function> make;
    v8::Local<v8::Object> nothing = v8::Object::New(v8);
    v8::Local<v8::Value> args[] = {nothing, v8::Symbol::GetIterator(v8)}, helpers, helper;
    if (!own_function(iso, context, kSource, &make)
        || !strong(make)->Call(context, v8::Undefined(v8), 2, args).ToLocal(&helpers)) {
        return false;
    }
    auto *made = new (std::nothrow) Operations();
    if (made == nullptr) {
        return false;
    }
    for (uint32_t i = 0; i < kHelpers; i++) {
        if (!helpers.As<v8::Object>()->Get(context, i).ToLocal(&helper)) {
            delete made;
            return false;
        }
        made->helpers[i].Reset(v8, helper.As<v8::Function>());
    }
    made->nothing.Reset(v8, nothing);
    iso->operations = made;
    return true;
}

/* One question under way: the ref's value, and the answer. */
class Question
{
  public:
    Question(jsv8_isolate *iso, Entry &entry, const jsv8_ref *ref)
        : iso_(iso), v8_(iso->v8), context_(entry.context()),
          subject_(v8::Local<v8::Value>::New(iso->v8, ref->value))
    {
    }

    v8::Local<v8::Value> subject() const
    {
        return subject_;
    }

    /* False: it threw. *found is cleared where there is none. */
    bool ask(jsv8_op_t op, v8::Local<v8::Value> *args, v8::Local<v8::Value> *answer, bool *found)
    {
        switch (op) {
        case JSV8_OP_GET:
            return help(kGet, args, 1, answer, found);
        case JSV8_OP_SET:
            return help(kSet, args, 2, answer, found);
        case JSV8_OP_DELETE:
            return help(kDelete, args, 1, answer, found);
        case JSV8_OP_HAS:
            return help(kHas, args, 1, answer, found);
        case JSV8_OP_LENGTH:
            return length(args, answer, found);
        case JSV8_OP_KEYS:
            return keys(answer);
        case JSV8_OP_ITERATE:
            return iterate(args, answer, found);
        case JSV8_OP_NEXT:
            return help(kNext, args, 0, answer, found);
        case JSV8_OP_SAME:
            *answer = v8::Boolean::New(v8_, subject_->StrictEquals(args[1]));
            return true;
        case JSV8_OP_HASH:
            *answer = v8::Integer::New(v8_, subject_->IsObject()
                                                ? subject_.As<v8::Object>()->GetIdentityHash()
                                                : subject_.As<v8::Name>()->GetIdentityHash());
            return true;
        case JSV8_OP_TEXT:
            return text(answer);
        case JSV8_OP_PROMISE:
            return promise(args, answer, found);
        case JSV8_OP_SELF:
            *answer = subject_;
            return true;
        }
        return false;
    }

  private:
    bool help(Helper which, v8::Local<v8::Value> *args, int given, v8::Local<v8::Value> *answer,
              bool *found)
    {
        Operations *all = iso_->operations;
        args[0] = subject_;
        if (!strong(all->helpers[which])
                 ->Call(context_, v8::Undefined(v8_), given + 1, args)
                 .ToLocal(answer)) {
            return false;
        }
        *found = !(*answer)->StrictEquals(strong(all->nothing));
        return true;
    }

    bool keys(v8::Local<v8::Value> *answer)
    {
        v8::Local<v8::Array> names;
        if (!subject_->IsObject()) {
            *answer = v8::Array::New(v8_);
            return true;
        }
        if (!subject_.As<v8::Object>()
                 ->GetOwnPropertyNames(
                     context_,
                     static_cast<v8::PropertyFilter>(v8::ONLY_ENUMERABLE | v8::SKIP_SYMBOLS),
                     v8::KeyConversionMode::kConvertToString)
                 .ToLocal(&names)) {
            return false;
        }
        *answer = names;
        return true;
    }

    bool length(v8::Local<v8::Value> *args, v8::Local<v8::Value> *answer, bool *found)
    {
        if (!help(kLength, args, 0, answer, found)) {
            return false;
        }
        if (*found && (*answer)->IsUint32()) {
            return true;
        }
        *found = true;
        if (!keys(answer)) {
            return false;
        }
        *answer = v8::Integer::NewFromUnsigned(v8_, answer->As<v8::Array>()->Length());
        return true;
    }

    bool iterate(v8::Local<v8::Value> *args, v8::Local<v8::Value> *answer, bool *found)
    {
        if (!help(kIterate, args, 0, answer, found)) {
            return false;
        }
        if (*found) {
            return true;
        }
        if (!keys(answer)) {
            return false;
        }
        subject_ = *answer;
        return help(kIterate, args, 0, answer, found);
    }

    bool text(v8::Local<v8::Value> *answer)
    {
        v8::Local<v8::String> out;
        if (subject_->IsSymbol()) {
            if (!subject_->ToDetailString(context_).ToLocal(&out)) {
                return false;
            }
        } else if (subject_->IsProxy()) {
            out = literal(v8_, "Proxy");
        } else if (subject_->IsFunction()) {
            v8::Local<v8::Value> name = subject_.As<v8::Function>()->GetDebugName();
            out = name->IsString() ? name.As<v8::String>() : v8::String::Empty(v8_);
        } else {
            out = subject_.As<v8::Object>()->GetConstructorName();
        }
        *answer = out;
        return true;
    }

    bool promise(v8::Local<v8::Value> *args, v8::Local<v8::Value> *answer, bool *found)
    {
        *answer = subject_;
        if (subject_->IsPromise()) {
            return true;
        }
        v8::Local<v8::Promise::Resolver> resolver;
        if (!help(kThen, args, 0, answer, found)) {
            return false;
        }
        if (!*found) {
            return true;
        }
        if (!v8::Promise::Resolver::New(context_).ToLocal(&resolver)
            || !resolver->Resolve(context_, subject_).FromMaybe(false)) {
            return false;
        }
        *answer = resolver->GetPromise();
        return true;
    }

    jsv8_isolate *iso_;
    v8::Isolate *v8_;
    v8::Local<v8::Context> context_;
    v8::Local<v8::Value> subject_;
};

}   // namespace

}   // namespace jsv8

using namespace jsv8;

jsv8_status_t
jsv8_operate(jsv8_ref_t *ref, jsv8_op_t op, size_t argc, const jsv8_value_t *argv, jsv8_want_t want,
             jsv8_value_t *result, jsv8_error_t *error)
{
    jsv8_isolate *iso = ref->isolate;
    result->tag = JSV8_UNDEFINED;
    clear_error(error);
    if (iso == nullptr) {
        return fail(error, JSV8_NOT_FOUND, "the object's isolate was freed");
    }
    Entry entry(iso);
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    v8::Local<v8::Value> args[3], answer;
    for (size_t i = 0; i < argc && i < 2; i++) {
        jsv8_status_t status = to_v8(iso, entry, &argv[i], &args[i + 1], error);
        if (status != JSV8_OK) {
            return status;
        }
    }
    Question question(iso, entry, ref);
    bool found = true;
    {
        v8::TryCatch caught(iso->v8);
        if (!prepare(iso, entry.context()) || !question.ask(op, args, &answer, &found)) {
            return threw(iso, entry, caught, error);
        }
    }
    if (!found) {
        drain(iso, entry);
        return entry.stopped() ? fail(error, entry.stop_status(), "") : JSV8_NOT_FOUND;
    }
    jsv8_status_t status = deliver(iso, entry, answer, want, result, error);
    if (op == JSV8_OP_GET && status == JSV8_OK && result->tag == JSV8_REF
        && result->u.ref->callable) {
        result->u.ref->receiver.Reset(iso->v8, question.subject());
    }
    return status;
}

jsv8_status_t
jsv8_global(jsv8_isolate_t *iso, jsv8_value_t *result, jsv8_error_t *error)
{
    clear_error(error);
    Entry entry(iso);
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    return from_v8(iso, entry, entry.context()->Global(), JSV8_HANDLE, result, error);
}
