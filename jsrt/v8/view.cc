/* SPDX-License-Identifier: MIT
 *
 * view.cc: views: an object or array of JavaScript's that is read, key by key, from one of the host's.
 *
 * A view is a Proxy, not an object with V8's interceptors: only so Array.isArray() is true of the
 * view of a list, and JSON.stringify, concat and spread take it for one. Its handlers, one for each
 * kind in a global scope, are JavaScript; where the host is to be asked they call on_view_call with
 * the Proxy's target, which is tied to the host's object as a function would be (host.cc).
 *
 * Invariants
 *   1. A target is in nobody's hands but the handlers', so it stays as it was made: empty.
 *   2. In a global scope an object of the host's has one view of each kind as long as that is alive.
 *   3. Scopes share no view.
 */
#include "view.hh"

#include <map>
#include <utility>

#include "context.hh"

namespace jsv8
{

constexpr uint32_t kKinds = JSV8_HOST_WRITABLE_ARRAY - JSV8_HOST_OBJECT + 1;

/* Those of one global scope. JavaScript holds a Proxy, the Proxy its target, which stands for
 * the host's object as a function does, and knows its Proxy. */
struct Views {
    v8::Global<v8::Object> handlers[kKinds];
    v8::Global<v8::Private> holder; /* of targets: their Proxy */
    std::map<std::pair<void *, jsv8_host_kind_t>, Hosted *> known;
};

namespace
{

/* A view reads nothing ahead. Of arrays only their length and indices are the host's, everything
 * else is Array.prototype's; of objects what the host does not have is Object.prototype's. Proxies
 * must not deny what their target has for good: an array's length, nothing of an object. */
constexpr char kViewSource[] = R"js(((call, refuse, ended) => {
  "use strict";
  const GET = 0, HAS = 1, KEYS = 2, SET = 3, DELETE = 4;
  const isIndex = (key) => typeof key !== "symbol" && key >>> 0 !== 4294967295
    && `${key >>> 0}` === key;
  const property = (value) => value === ended ? undefined
    : { __proto__: null, value, writable: true, enumerable: true, configurable: true };
  const object = {
    __proto__: null,
    get(target, key) {
      const value = typeof key === "symbol" ? ended : call(target, GET, key);
      return value === ended ? target[key] : value;
    },
    has: (target, key) => typeof key !== "symbol" && call(target, HAS, key) || key in target,
    ownKeys: (target) => call(target, KEYS),
    getOwnPropertyDescriptor: (target, key) =>
      property(typeof key === "symbol" ? ended : call(target, GET, key)),
    set: refuse, deleteProperty: refuse, defineProperty: refuse,
    setPrototypeOf: refuse, preventExtensions: refuse,
  };
  const array = {
    ...object,
    __proto__: null,
    get(target, key) {
      if (key === "length") return call(target, KEYS);
      const value = isIndex(key) ? call(target, GET, key) : ended;
      return value === ended ? target[key] : value;
    },
    has: (target, key) => isIndex(key) ? call(target, HAS, key) : key in target,
    ownKeys(target) {
      const length = call(target, KEYS), keys = [];
      for (let i = 0; i < length; i++) keys[i] = `${i}`;
      keys[length] = "length";
      return keys;
    },
    getOwnPropertyDescriptor: (target, key) => key === "length"
      ? { __proto__: null, value: call(target, KEYS), writable: true, enumerable: false,
          configurable: false }
      : property(isIndex(key) ? call(target, GET, key) : ended),
  };
  const writes = {
    set(target, key, value) {
      if (typeof key === "symbol") return refuse();
      call(target, SET, key, value);
      return true;
    },
    deleteProperty(target, key) {
      if (typeof key !== "symbol") call(target, DELETE, key);
      return true;
    },
    defineProperty(target, key, descriptor) {
      if (typeof key === "symbol" || !("value" in descriptor)) return refuse();
      call(target, SET, key, descriptor.value);
      return true;
    },
  };
  return [object, array, { ...object, ...writes, __proto__: null },
          { ...array, ...writes, __proto__: null }];
}))js";
static_assert(JSV8_VIEW_GET == 0 && JSV8_VIEW_DELETE == 4, "the operations' numbers");

/* A handler's call: the target comes first. */
void
on_view_call(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    auto *iso = static_cast<jsv8_isolate *>(info.Data().As<v8::External>()->Value());
    Hosted *hosted =
        hosted_of(iso, info.GetIsolate()->GetCurrentContext(), info[0].As<v8::Object>());
    if (hosted != nullptr) {
        call_host(info, hosted, 1);
    }
}

/* As an intrinsic TypeError, whatever the script has made of that name. */
void
on_view_refused(const v8::FunctionCallbackInfo<v8::Value> &info)
{
    v8::Isolate *v8 = info.GetIsolate();
    v8->ThrowException(v8::Exception::TypeError(
        literal(v8, "this view of an object cannot be written to like that: it is one for reading "
                    "(jsrt.proxy(..., writable=True) makes the other), or it is no plain write")));
}

bool
prepare_views(jsv8_isolate *iso, v8::Local<v8::Context> context)
{
    if (iso->views != nullptr) {
        return true;
    }
    v8::Isolate *v8 = iso->v8;
    v8::Local<v8::Function> call, refuse;
    v8::Local<v8::Value> handlers, handler;
    v8::Global<v8::Function> make;
    if (!v8::Function::New(context, on_view_call, v8::External::New(v8, iso), 0,
                           v8::ConstructorBehavior::kThrow)
             .ToLocal(&call)
        || !v8::Function::New(context, on_view_refused, {}, 0, v8::ConstructorBehavior::kThrow)
                .ToLocal(&refuse)
        || !own_function(iso, context, kViewSource, &make)) {
        return false;
    }
    v8::Local<v8::Value> args[] = {call, refuse, strong(iso->host->ended)};
    auto *views = new (std::nothrow) Views();
    bool ok = views != nullptr
              && strong(make)->Call(context, v8::Undefined(v8), 3, args).ToLocal(&handlers)
              && handlers->IsArray();
    for (uint32_t i = 0; ok && i < kKinds; i++) {
        ok = handlers.As<v8::Array>()->Get(context, i).ToLocal(&handler) && handler->IsObject();
        if (ok) {
            views->handlers[i].Reset(v8, handler.As<v8::Object>());
        }
    }
    if (!ok) {
        delete views;
        return false;
    }
    views->holder.Reset(v8, v8::Private::New(v8, literal(v8, "jsrt:view")));
    iso->views = views;
    return true;
}

}   // namespace

bool
make_view(jsv8_isolate *iso, v8::Local<v8::Context> context, jsv8_callback_t *callback,
          v8::Local<v8::Value> *out)
{
    v8::Isolate *v8 = iso->v8;
    if (callback->taken || !prepare_host(iso, context) || !prepare_views(iso, context)) {
        return false;
    }
    Views *views = iso->views;
    v8::Local<v8::Private> holder = strong(views->holder);
    auto known = views->known.find({callback->object, callback->kind});
    if (known != views->known.end()) {
        v8::Local<v8::Object> target = known->second->weak.Get(v8);
        if (!target.IsEmpty()) {
            return target->GetPrivate(context, holder).ToLocal(out);
        }
        known->second->views = nullptr; /* about to be told that it is gone */
        views->known.erase(known);
    }
    bool array = callback->kind == JSV8_HOST_ARRAY || callback->kind == JSV8_HOST_WRITABLE_ARRAY;
    v8::Local<v8::Object> target =
        array ? v8::Array::New(v8).As<v8::Object>() : v8::Object::New(v8);
    v8::Local<v8::Proxy> proxy;
    auto *hosted = new (std::nothrow)
        Hosted{iso, callback->object, callback->kind, false, {}, nullptr, nullptr};
    if (hosted == nullptr || !mark(iso, context, target, hosted)
        || !v8::Proxy::New(context, target,
                           strong(views->handlers[callback->kind - JSV8_HOST_OBJECT]))
                .ToLocal(&proxy)
        || !target->SetPrivate(context, holder, proxy).FromMaybe(false)) {
        delete hosted;
        return false;
    }
    *out = proxy;
    tie(iso, hosted, target);
    hosted->views = views;
    views->known[{callback->object, callback->kind}] = hosted;
    callback->taken = 1;
    return true;
}

void
forget_view(Hosted *hosted)
{
    if (hosted->views != nullptr) {
        hosted->views->known.erase({hosted->object, hosted->kind});
        hosted->views = nullptr;
    }
}

void
forget_views(RealmParts *parts)
{
    if (parts->views != nullptr) {
        for (auto &known : parts->views->known) {
            known.second->views = nullptr;
        }
        delete parts->views;
        parts->views = nullptr;
    }
}

}   // namespace jsv8
