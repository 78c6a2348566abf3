/* SPDX-License-Identifier: MIT
 *
 * value.cc: plain data in and out.
 *
 * The wire format (JSV8_WIRE) is V8's structured-clone serialization. Varints are base-128, low
 * group first; zigzag for signed ones; doubles are 8 bytes in host order.
 *
 * What the C side writes (in), header FF 0D (version 13), then one value:
 *   '_' undefined   '0' null   'T' true   'F' false   'I' zigzag varint (int32)   'N' double
 *   '"' varint length, Latin-1 bytes              'c' varint BYTE length, UTF-16 units, any offset
 *   'Z' varint (bytes << 1 | sign), magnitude, little-endian, bytes a multiple of 8
 *   'D' double (Date, ms)
 *   'o' key value ... '{' varint number of pairs   keys: '"', 'c' or 'I'; "__proto__" is data
 *   'A' varint n, n values, '$' varint 0, varint n          (dense array)
 *   ';' key value ... ':' varint 2 * pairs  (Map)    '\'' value ... ',' varint n  (Set)
 *   'B' varint length, bytes, then 'V' 'B' varint 0, varint length    (Uint8Array over them)
 *   '^' varint id: an object written before. Ids count objects in the order they begin, from 0:
 *       o A ; ' D, and for bytes two (the buffer, then the view).
 *
 *   '\\' varint i: extras[i] (JSV8_WIRE_WITH only). Takes one id.
 *
 * What the C side reads (out): FF version (13 to 15; a varint), then the above, and
 *   00          padding before any tag, to be skipped
 *   'U' varint (uint32)
 *   'A' ... elements may be '-' (a hole) ; then key value pairs (extra properties), '$' varint
 *       number of pairs, varint n
 *   'a' varint length, then index/key value pairs, '@' varint pairs, varint length (sparse)
 *   'y' 'x' true/false objects, 'n' double, 'z' BigInt object, 's' then a string value
 *   'R' pattern as a string value, varint flags (RegExp)
 *   'r' (Error): sub-tags until '.': E R F S T U (the prototype: Eval, Range, Reference, Syntax,
 *       Type, URI; Error where none) 'm' string value, 's' string value (stack), 'c' value (cause)
 *   'B' varint length, bytes (ArrayBuffer; nothing follows it)    '~' varint, varint, bytes: a
 *       resizable one: length, largest length, length bytes
 *   '\\' varint byte length, bytes: any view (Uint8Array, Buffer, DataView ...): just the bytes
 *       it shows. Takes one id.
 *   ids as above; R, r, y, x, n, z, s, B, ~ take one each.
 *
 * Scalars, texts, dates, BigInts and bytes at top level never come as wire.
 */
#include "value.hh"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <string>
#include <vector>

#include "host.hh"
#include "json.hh"
#include "lend.hh"
#include "limit.hh"
#include "pack.hh"
#include "text.hh"

namespace jsv8
{

namespace
{

constexpr double kSafeInteger = 9007199254740992.0; /* 2^53 */
constexpr int kSearchNodes = 2000;                  /* of the search for a culprit */
constexpr int kSearchDepth = 50;
constexpr size_t kShrinkAbove = 1024 * 1024;

}   // namespace

char *
Scratch::reserve(size_t size)
{
    if (capacity > kShrinkAbove) {
        idle = size < capacity / 4 ? idle + 1 : 0;
        if (idle >= 64) {
            free(data);
            data = nullptr;
            capacity = 0;
            idle = 0;
        }
    }
    if (size <= capacity && data != nullptr) {
        return data;
    }
    size_t wanted = size < 4096 ? 4096 : size;
    char *fresh = static_cast<char *>(malloc(wanted));
    if (fresh == nullptr) {
        return nullptr;
    }
    free(data);
    data = fresh;
    capacity = wanted;
    return data;
}

/* ---- in ------------------------------------------------------------------------------------ */

namespace
{

/* What the tag '\\' stands for in what the C side writes: one of the extras. */
class Extras : public v8::ValueDeserializer::Delegate
{
  public:
    /* Beforehand: V8 lets no JavaScript run while it reads. */
    jsv8_status_t take(jsv8_isolate *iso, Entry &entry, const jsv8_value_t *in, jsv8_error_t *error)
    {
        for (size_t i = 0; in->tag == JSV8_WIRE_WITH && i < in->u.wire.count; i++) {
            v8::Local<v8::Value> value;
            jsv8_status_t status = to_v8(iso, entry, &in->u.wire.extras[i], &value, error);
            if (status != JSV8_OK) {
                return status;
            }
            if (!value->IsObject()) {
                return fail(error, JSV8_CONVERSION, "a symbol cannot be inside of a container");
            }
            objects_.push_back(value.As<v8::Object>());
        }
        return JSV8_OK;
    }

    v8::ValueDeserializer *reader = nullptr;

  private:
    v8::MaybeLocal<v8::Object> ReadHostObject(v8::Isolate *v8) override
    {
        uint32_t index;
        if (!reader->ReadUint32(&index) || index >= objects_.size()) {
            v8->ThrowException(v8::Exception::Error(literal(v8, "a handle that is none")));
            return {};
        }
        return objects_[index];
    }

    std::vector<v8::Local<v8::Object>> objects_; /* of the caller's HandleScope */
};

jsv8_status_t
read_wire(jsv8_isolate *iso, Entry &entry, const jsv8_value_t *in, v8::Local<v8::Value> *out,
          jsv8_error_t *error)
{
    v8::TryCatch caught(iso->v8);
    Extras extras;
    jsv8_status_t status = extras.take(iso, entry, in, error);
    if (status != JSV8_OK) {
        return status;
    }
    v8::ValueDeserializer reader(iso->v8, static_cast<const uint8_t *>(in->u.text.data),
                                 in->u.text.length, &extras);
    extras.reader = &reader;
    if (reader.ReadHeader(entry.context()).FromMaybe(false)
        && reader.ReadValue(entry.context()).ToLocal(out)) {
        return JSV8_OK;
    }
    status = caught_status(iso, entry, caught, error);
    return status == JSV8_EXCEPTION ? JSV8_CONVERSION : status;
}

}   // namespace

jsv8_status_t
to_v8(jsv8_isolate *iso, Entry &entry, const jsv8_value_t *in, v8::Local<v8::Value> *out,
      jsv8_error_t *error)
{
    v8::Isolate *v8 = iso->v8;
    v8::Local<v8::String> text;

    switch (in->tag) {
    case JSV8_UNDEFINED:
        *out = v8::Undefined(v8);
        return JSV8_OK;
    case JSV8_NULL:
        *out = v8::Null(v8);
        return JSV8_OK;
    case JSV8_BOOL:
        *out = v8::Boolean::New(v8, in->u.boolean != 0);
        return JSV8_OK;
    case JSV8_INT:
        if (in->u.integer >= INT32_MIN && in->u.integer <= INT32_MAX) {
            *out = v8::Integer::New(v8, static_cast<int32_t>(in->u.integer));
        } else {
            *out = v8::Number::New(v8, static_cast<double>(in->u.integer));
        }
        return JSV8_OK;
    case JSV8_NUMBER:
        *out = v8::Number::New(v8, in->u.number);
        return JSV8_OK;
    case JSV8_LENT_LATIN1:
    case JSV8_LENT_UTF16:
        if (!borrow_text(iso, in, out)) {
            jsv8_value_t copied = {};
            copied.tag = in->tag == JSV8_LENT_LATIN1 ? JSV8_LATIN1 : JSV8_UTF16;
            copied.u.text = {in->u.lent.data, in->u.lent.length};
            return to_v8(iso, entry, &copied, out, error);
        }
        return JSV8_OK;
    case JSV8_LATIN1:
    case JSV8_JSON_LATIN1:
        if (in->u.text.length > static_cast<size_t>(v8::String::kMaxLength)
            || !v8::String::NewFromOneByte(v8, static_cast<const uint8_t *>(in->u.text.data),
                                           v8::NewStringType::kNormal,
                                           static_cast<int>(in->u.text.length))
                    .ToLocal(&text)) {
            return fail(error, JSV8_CONVERSION, "a text longer than JavaScript allows");
        }
        break;
    case JSV8_UTF16:
    case JSV8_JSON_UTF16:
        if (in->u.text.length > static_cast<size_t>(v8::String::kMaxLength)
            || !v8::String::NewFromTwoByte(v8, static_cast<const uint16_t *>(in->u.text.data),
                                           v8::NewStringType::kNormal,
                                           static_cast<int>(in->u.text.length))
                    .ToLocal(&text)) {
            return fail(error, JSV8_CONVERSION, "a text longer than JavaScript allows");
        }
        break;
    case JSV8_BYTES:
        return copy_bytes(iso, entry, in, out, error);
    case JSV8_LENT_BYTES:
        return share_bytes(iso, entry, in, out, error);
    case JSV8_BIGINT: {
        v8::TryCatch caught(v8);
        v8::Local<v8::BigInt> big;
        if (!v8::BigInt::NewFromWords(entry.context(), in->u.bigint.negative, in->u.bigint.count,
                                      in->u.bigint.words)
                 .ToLocal(&big)) {
            return fail(error, JSV8_CONVERSION, "an integer larger than BigInt allows");
        }
        *out = big;
        return JSV8_OK;
    }
    case JSV8_DATE:
        if (!v8::Date::New(entry.context(), in->u.number).ToLocal(out)) {
            return fail(error, JSV8_CONVERSION, "not a date");
        }
        return JSV8_OK;
    case JSV8_WIRE:
    case JSV8_WIRE_WITH:
        return read_wire(iso, entry, in, out, error);
    case JSV8_REF:
        if (in->u.ref->isolate != iso) {
            return fail(error, JSV8_CONVERSION, "a handle of another isolate, or of none");
        }
        *out = v8::Local<v8::Value>::New(v8, in->u.ref->value);
        return JSV8_OK;
    case JSV8_CALLBACK:
        return make_callback(iso, entry, in->u.callback, out, error);
    default:
        return fail(error, JSV8_CONVERSION, "unknown tag");
    }
    if (in->tag == JSV8_LATIN1 || in->tag == JSV8_UTF16) {
        *out = text;
        return JSV8_OK;
    }
    return json_to_v8(iso, entry, text, out, error);
}

/* ---- out ----------------------------------------------------------------------------------- */

namespace
{

/* Serializes straight into the isolate's scratch. */
class Writer : public v8::ValueSerializer::Delegate
{
  public:
    explicit Writer(jsv8_isolate *iso) : iso_(iso), serializer_(iso->v8, this)
    {
        serializer_.SetTreatArrayBufferViewsAsHostObjects(true);
        serializer_.WriteHeader();
    }

    bool write(v8::Local<v8::Context> context, v8::Local<v8::Value> value, jsv8_value_t *out)
    {
        {
            Converting converting(iso_); /* a getter may lead to a call that needs the buffer */
            if (!serializer_.WriteValue(context, value).FromMaybe(false)) {
                return false;
            }
        }
        auto bytes = serializer_.Release();
        out->tag = JSV8_WIRE;
        out->u.text.data = bytes.first;
        out->u.text.length = bytes.second;
        return true;
    }

    bool refused() const
    {
        return refused_;
    }
    bool no_memory() const
    {
        return no_memory_;
    }

  private:
    void ThrowDataCloneError(v8::Local<v8::String> message) override
    {
        refused_ = true;
        iso_->v8->ThrowException(v8::Exception::TypeError(message));
    }

    v8::Maybe<bool> WriteHostObject(v8::Isolate *v8, v8::Local<v8::Object> object) override
    {
        if (object->IsArrayBufferView()) {
            v8::Local<v8::ArrayBufferView> view = object.As<v8::ArrayBufferView>();
            size_t length = view->ByteLength();
            serializer_.WriteUint64(length);
            if (length != 0) {
                std::shared_ptr<v8::BackingStore> store = view->Buffer()->GetBackingStore();
                serializer_.WriteRawBytes(
                    static_cast<const char *>(store->Data()) + view->ByteOffset(), length);
            }
            return v8::Just(true);
        }
        ThrowDataCloneError(literal(v8, "an object of the host has no plain-data form"));
        return v8::Nothing<bool>();
    }

    void *ReallocateBufferMemory(void *old, size_t size, size_t *actual) override
    {
        Scratch &scratch = iso_->scratch;
        if (old == nullptr) {
            if (scratch.reserve(size) == nullptr) {
                no_memory_ = true;
                return nullptr;
            }
        } else if (size > scratch.capacity) {
            char *moved = static_cast<char *>(realloc(scratch.data, size));
            if (moved == nullptr) {
                no_memory_ = true;
                return nullptr;
            }
            scratch.data = moved;
            scratch.capacity = size;
        }
        *actual = scratch.capacity;
        return scratch.data;
    }

    void FreeBufferMemory(void *) override
    {
    }

    jsv8_isolate *iso_;
    v8::ValueSerializer serializer_;
    bool refused_ = false, no_memory_ = false;
};

const char *
kind_without_data(v8::Local<v8::Value> value)
{
    return value->IsProxy()                           ? "a Proxy"
           : value->IsFunction()                      ? "a function"
           : value->IsSymbol()                        ? "a symbol"
           : value->IsPromise()                       ? "a Promise"
           : value->IsWeakMap() || value->IsWeakSet() ? "a weak collection"
           : value->IsGeneratorObject()               ? "a generator"
           : value->IsSharedArrayBuffer()             ? "a SharedArrayBuffer"
           : value->IsWasmModuleObject()              ? "a WebAssembly module"
                                                      : nullptr;
}

/* Looks for what the serializer refused, through plain properties only (no getter runs), and
 * names it and its place. Bounded: where it gives up the error just has no path. */
class Culprit
{
  public:
    Culprit(v8::Isolate *v8, v8::Local<v8::Context> context) : v8_(v8), context_(context)
    {
    }

    const char *find(v8::Local<v8::Value> value, std::string *path, int depth = 0)
    {
        const char *kind = kind_without_data(value);
        if (kind != nullptr || !value->IsObject() || depth >= kSearchDepth || --left_ < 0) {
            return kind;
        }
        v8::HandleScope scope(v8_);
        v8::Local<v8::Object> object = value.As<v8::Object>();
        v8::Local<v8::Array> keys;
        if (value->IsArrayBufferView() || value->IsArrayBuffer()
            || !object
                    ->GetOwnPropertyNames(context_, static_cast<v8::PropertyFilter>(
                                                        v8::ONLY_ENUMERABLE | v8::SKIP_SYMBOLS))
                    .ToLocal(&keys)) {
            return nullptr;
        }
        for (uint32_t i = 0; i < keys->Length() && left_ > 0; i++) {
            v8::Local<v8::Value> key, described, inner;
            if (!keys->Get(context_, i).ToLocal(&key) || !key->IsName()) {
                v8::Local<v8::String> text;
                if (key.IsEmpty() || !key->ToString(context_).ToLocal(&text)) {
                    continue;
                }
                key = text;
            }
            if (!object->GetOwnPropertyDescriptor(context_, key.As<v8::Name>()).ToLocal(&described)
                || !described->IsObject()
                || !described.As<v8::Object>()
                        ->Get(context_, literal(v8_, "value"))
                        .ToLocal(&inner)) {
                continue;
            }
            std::string below;
            kind = find(inner, &below, depth + 1);
            if (kind != nullptr) {
                v8::String::Utf8Value name(v8_, key);
                std::string part(*name != nullptr ? *name : "?");
                *path = (value->IsArray() ? "[" + part + "]" : "." + part) + below;
                return kind;
            }
        }
        return nullptr;
    }

  private:
    v8::Isolate *v8_;
    v8::Local<v8::Context> context_;
    int left_ = kSearchNodes;
};

jsv8_status_t
refuse(jsv8_isolate *iso, Entry &entry, v8::Local<v8::Value> value, jsv8_error_t *error)
{
    std::string path;
    const char *kind;
    {
        v8::TryCatch swallow(iso->v8);
        kind = Culprit(iso->v8, entry.context()).find(value, &path);
    }
    if (entry.stopped()) {
        return fail(error, entry.stop_status(), "");
    }
    if (path.size() > 300) {
        path = path.substr(0, 300) + "...";
    }
    return fail_format(iso, error, JSV8_CONVERSION, "%s%s%s has no plain-data form",
                       kind != nullptr ? kind : "a value inside the result",
                       path.empty() ? "" : " at result", path.c_str());
}

bool
says(jsv8_isolate *iso, v8::TryCatch &caught, const char *what)
{
    v8::Local<v8::String> text;
    return caught.HasCaught() && !caught.HasTerminated() && !caught.Message().IsEmpty()
           && v8::String::NewFromUtf8(iso->v8, what).ToLocal(&text)
           && caught.Message()->Get()->StringEquals(text);
}

/* Why taking the value apart failed. Where the stack was full, by the value's nesting or by a getter
 * that recurses, it is the value that is at fault: nobody called anything. */
jsv8_status_t
unreadable(jsv8_isolate *iso, Entry &entry, v8::TryCatch &caught, jsv8_error_t *error)
{
    if (says(iso, caught, "Uncaught RangeError: Maximum call stack size exceeded")) {
        return fail(error, JSV8_CONVERSION,
                    "the result is nested too deeply for the stack of this thread");
    }
    return caught_status(iso, entry, caught, error);
}

jsv8_status_t
no_scratch(jsv8_error_t *error)
{
    return fail(error, JSV8_NO_MEMORY, "no memory for the result");
}

/* Texts, bytes, dates, BigInts: what has a tag of its own. 1: done, 0: not one of them, -1: no
 * memory. Runs no JavaScript. */
int
direct_from_v8(jsv8_isolate *iso, v8::Local<v8::Value> value, jsv8_value_t *out)
{
    v8::Isolate *v8 = iso->v8;

    if (value->IsInt32()) {
        out->tag = JSV8_INT;
        out->u.integer = value.As<v8::Int32>()->Value();
        return 1;
    }
    if (value->IsString()) {
        v8::Local<v8::String> text = value.As<v8::String>();
        int length = text->Length();
        bool narrow = text->IsOneByte();
        char *to = iso->scratch.reserve(static_cast<size_t>(length) * (narrow ? 1 : 2) + 1);
        if (to == nullptr) {
            return -1;
        }
        if (narrow) {
            write_latin1(v8, text, reinterpret_cast<uint8_t *>(to), length);
        } else {
            write_utf16(v8, text, reinterpret_cast<uint16_t *>(to), length);
        }
        out->tag = narrow ? JSV8_LATIN1 : JSV8_UTF16;
        out->u.text.data = to;
        out->u.text.length = static_cast<size_t>(length);
        return 1;
    }
    if (value->IsNumber()) {
        double number = value.As<v8::Number>()->Value();
        if (number == trunc(number) && fabs(number) <= kSafeInteger
            && !(number == 0 && signbit(number))) {
            out->tag = JSV8_INT;
            out->u.integer = static_cast<int64_t>(number);
        } else {
            out->tag = JSV8_NUMBER;
            out->u.number = number;
        }
        return 1;
    }
    if (value->IsNullOrUndefined()) {
        out->tag = value->IsNull() ? JSV8_NULL : JSV8_UNDEFINED;
        return 1;
    }
    if (value->IsBoolean()) {
        out->tag = JSV8_BOOL;
        out->u.boolean = value->IsTrue();
        return 1;
    }
    if (value->IsBigInt()) {
        v8::Local<v8::BigInt> big = value.As<v8::BigInt>();
        int count = big->WordCount();
        char *to = iso->scratch.reserve(static_cast<size_t>(count) * 8 + 8);
        if (to == nullptr) {
            return -1;
        }
        int negative = 0;
        big->ToWordsArray(&negative, &count, reinterpret_cast<uint64_t *>(to));
        out->tag = JSV8_BIGINT;
        out->u.bigint.words = reinterpret_cast<uint64_t *>(to);
        out->u.bigint.count = count;
        out->u.bigint.negative = negative;
        return 1;
    }
    if (value->IsDate()) {
        out->tag = JSV8_DATE;
        out->u.number = value.As<v8::Date>()->ValueOf();
        return 1;
    }
    if (value->IsArrayBufferView() || value->IsArrayBuffer() || value->IsSharedArrayBuffer()) {
        std::shared_ptr<v8::BackingStore> store;
        size_t offset = 0, length;
        if (value->IsArrayBufferView()) {
            v8::Local<v8::ArrayBufferView> view = value.As<v8::ArrayBufferView>();
            offset = view->ByteOffset();
            length = view->ByteLength();
            store = view->Buffer()->GetBackingStore();
        } else if (value->IsArrayBuffer()) {
            store = value.As<v8::ArrayBuffer>()->GetBackingStore();
            length = value.As<v8::ArrayBuffer>()->ByteLength();
        } else {
            store = value.As<v8::SharedArrayBuffer>()->GetBackingStore();
            length = value.As<v8::SharedArrayBuffer>()->ByteLength();
        }
        char *to = iso->scratch.reserve(length + 1);
        if (to == nullptr) {
            return -1;
        }
        if (length != 0) {
            memcpy(to, static_cast<const char *>(store->Data()) + offset, length);
        }
        out->tag = JSV8_BYTES;
        out->u.text.data = to;
        out->u.text.length = length;
        return 1;
    }
    return 0;
}

v8::Local<v8::Value>
prototype_of(v8::Local<v8::Value> object)
{
#if V8_MAJOR_VERSION >= 13
    return object.As<v8::Object>()->GetPrototypeV2();
#else
    return object.As<v8::Object>()->GetPrototype();
#endif
}

/* Whether it is held instead of copied: what has no plain form, and instances of classes: objects
 * whose prototype has one itself, whatever global scope they are from. Runs no JavaScript. */
bool
wants_ref(v8::Local<v8::Value> value)
{
    if (kind_without_data(value) != nullptr) {
        return true;
    }
    if (!value->IsObject() || value->IsArray() || value->IsMap() || value->IsSet()
        || value->IsRegExp() || value->IsNativeError() || value->IsNumberObject()
        || value->IsStringObject() || value->IsBooleanObject() || value->IsBigIntObject()) {
        return false;
    }
    v8::Local<v8::Value> prototype = prototype_of(value);
    return prototype->IsObject() && prototype_of(prototype)->IsObject();
}

/* The value as a ref, or as the object of the host's that it stands for. */
jsv8_status_t
give_ref(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Value> value,
         jsv8_value_t *out, jsv8_error_t *error)
{
    if (iso->host != nullptr && (value->IsFunction() || value->IsProxy())) {
        out->u.host = host_object(iso, context, value.As<v8::Object>());
        if (out->u.host != nullptr) {
            out->tag = JSV8_HOST;
            return JSV8_OK;
        }
    }
    out->u.ref = make_ref(iso, value);
    if (out->u.ref == nullptr) {
        return no_scratch(error);
    }
    out->tag = JSV8_REF;
    return JSV8_OK;
}

}   // namespace

jsv8_status_t
from_v8(jsv8_isolate *iso, Entry &entry, v8::Local<v8::Value> value, jsv8_want_t want,
        jsv8_value_t *out, jsv8_error_t *error)
{
    if (want == JSV8_DISCARD) {
        out->tag = JSV8_UNDEFINED;
        return JSV8_OK;
    }
    if (__builtin_expect(want == JSV8_HANDLE && value->IsObject(), 0)) {
        return give_ref(iso, entry.context(), value, out, error);
    }
    if (__builtin_expect(want == JSV8_JSON, 0)) {
        return json_from_v8(iso, entry, value, out, error);
    }
    int done = direct_from_v8(iso, value, out);
    if (__builtin_expect(done == 1, 1)) {
        return JSV8_OK;
    }
    if (done < 0) {
        return no_scratch(error);
    }
    v8::TryCatch caught(iso->v8);
    Packed packed = pack_from_v8(iso, entry.context(), value, out);
    if (__builtin_expect(packed == Packed::kDone, 1)) {
        return JSV8_OK;
    }
    if (packed == Packed::kThrown) {
        out->tag = JSV8_UNDEFINED;
        if (says(iso, caught,
                 "Uncaught TypeError: Cannot perform 'IsArray' on a proxy that has been "
                 "revoked")) {
            caught.Reset();
            return refuse(iso, entry, value, error);
        }
        return unreadable(iso, entry, caught, error);
    }
    if (want != JSV8_COPY && wants_ref(value)) {
        return give_ref(iso, entry.context(), value, out, error);
    }
    if (kind_without_data(value) != nullptr) {
        return refuse(iso, entry, value, error);
    }
    Writer writer(iso);
    if (writer.write(entry.context(), value, out)) {
        return JSV8_OK;
    }
    out->tag = JSV8_UNDEFINED;
    if (writer.no_memory()) {
        return no_scratch(error);
    }
    if (writer.refused() && !entry.stopped()) {
        caught.Reset();
        return refuse(iso, entry, value, error);
    }
    return unreadable(iso, entry, caught, error);
}

int
plain_from_v8(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Value> value,
              jsv8_value_t *out)
{
    int done = direct_from_v8(iso, value, out);
    if (done != 0) {
        return done > 0;
    }
    if (kind_without_data(value) != nullptr) {
        return 0;
    }
    v8::TryCatch swallow(iso->v8);
    Writer writer(iso);
    return writer.write(context, value, out);
}

}   // namespace jsv8
