/* SPDX-License-Identifier: MIT
 *
 * pack.cc: small objects and arrays out of V8, taken apart by JavaScript itself.
 *
 * What a handler gets from JavaScript is mostly one object of a few strings and numbers. V8's
 * ValueSerializer is made for large trees: for each it sets up a memory zone and a table of
 * identities, and it walks through so much code that, with the caches a web application has
 * emptied since, it costs as much as the call itself. The property API is no shorter way. So a
 * function of ours, which V8 compiles and optimises like any other, takes the value apart: every
 * text, keys included, is appended to one string, and a tape of doubles in memory that both sides
 * see says what is what. Two calls into V8 fetch all of it, and plain C++ writes the wire format.
 *
 * The tape: its first entry is the number of entries used, itself included. Then, in order of
 * the tree, kText length, kNumber value, kTrue, kFalse, kUndefined, kNull, kArray count and that
 * many values, kObject count and that many pairs of a key's length and a value.
 *
 * Invariants
 *   1. What is packed is what the serializer would have written, but that an array's holes are
 *      undefined and its named properties are left out: the reader keeps neither. An object met
 *      twice, a class instance or anything that is not plain is left to the serializer.
 *   2. The function uses intrinsics that were taken before any code of the user's ran.
 *   3. The tape is data of the user's process like any other: everything read from it is checked
 *      against the text and the space there is.
 */
#include "pack.hh"

#include <string.h>

#include <algorithm>

#include "context.hh"
#include "text.hh"

namespace jsv8
{

namespace
{

constexpr size_t kTapeLength = 256;
constexpr size_t kLongestText = 4096; /* all texts of one value together */
constexpr size_t kScratch = 2 + kTapeLength * 10 + kLongestText * 2;
constexpr uint8_t kWireVersion = 13;
constexpr unsigned kMostSkipped = 63;

enum Mark { kText = 1, kNumber, kTrue, kFalse, kUndefined, kNull, kArray, kObject };

constexpr char kSource[] = R"js(((tape) => {
  "use strict";
  const keys = Object.keys, isArray = Array.isArray, prototypeOf = Object.getPrototypeOf;
  const plain = Object.prototype, most = 32, deepest = 4, longest = 4096, last = tape.length - 3;
  const met = [null, null, null, null, null, null, null, null];
  let at = 0, text = "", count = 0;

  const put = (value, depth) => {
    if (at > last) return false;
    switch (typeof value) {
      case "string":
        if (text.length + value.length > longest) return false;
        tape[at] = 1;
        tape[at + 1] = value.length;
        at += 2;
        text += value;
        return true;
      case "number":
        tape[at] = 2;
        tape[at + 1] = value;
        at += 2;
        return true;
      case "boolean":
        tape[at++] = value ? 3 : 4;
        return true;
      case "undefined":
        if (value !== undefined) return false; // document.all and its like
        tape[at++] = 5;
        return true;
      case "object":
        if (value === null) {
          tape[at++] = 6;
          return true;
        }
        return depth < deepest && putObject(value, depth + 1);
      default:
        return false;
    }
  };

  const putObject = (value, depth) => {
    for (let i = 0; i < count; i++) if (met[i] === value) return false;
    if (count === met.length) return false;
    met[count++] = value;
    if (isArray(value)) {
      const length = value.length;
      if (length > most) return false;
      tape[at] = 7;
      tape[at + 1] = length;
      at += 2;
      for (let i = 0; i < length; i++) if (!put(value[i], depth)) return false;
      return true;
    }
    const prototype = prototypeOf(value);
    if (prototype !== plain && prototype !== null) return false;
    const names = keys(value), length = names.length;
    if (length > most) return false;
    tape[at] = 8;
    tape[at + 1] = length;
    at += 2;
    for (let i = 0; i < length; i++) {
      const name = names[i];
      if (at > last || text.length + name.length > longest) return false;
      tape[at++] = name.length;
      text += name;
      if (!put(value[name], depth)) return false;
    }
    return true;
  };

  return (value) => {
    if (!isArray(value)) {
      const prototype = prototypeOf(value);
      if (prototype !== plain && prototype !== null) return null;
    }
    at = 1;
    text = "";
    const done = put(value, 0);
    let packed = done ? text : undefined;
    if (done && count > 1) {
      packed = [text];
      for (let i = 1; i < count; i++) packed[i] = met[i];
    }
    while (count > 0) met[--count] = null;
    tape[0] = at;
    return packed;
  };
}))js";

using Internals = v8::internal::Internals;

/* Whether it is an array or an object of the most ordinary kind: not a Map, not `arguments`, and
 * not a Proxy, which JavaScript itself cannot tell. */
bool
is_ordinary(v8::Local<v8::Value> value)
{
    auto tagged = *reinterpret_cast<v8::internal::Address *>(*value);
    return (Internals::HasHeapObjectTag(tagged)
            && Internals::GetInstanceType(tagged) == Internals::kJSObjectType)
           || value->IsArray();
}

/* The text out of what the function returned: it, or an array of it and of every object inside
 * the value, for us to see that they are ordinary too. Empty: not packed. */
v8::Local<v8::String>
text_of(v8::Local<v8::Context> context, v8::Local<v8::Value> packed)
{
    v8::Local<v8::Value> text = packed, inner;
    if (packed->IsArray()) {
        v8::Local<v8::Array> all = packed.As<v8::Array>();
        if (!all->Get(context, 0).ToLocal(&text)) {
            return v8::Local<v8::String>();
        }
        for (uint32_t i = 1, length = all->Length(); i < length; i++) {
            if (!all->Get(context, i).ToLocal(&inner) || !is_ordinary(inner)) {
                return v8::Local<v8::String>();
            }
        }
    }
    return text->IsString() ? text.As<v8::String>() : v8::Local<v8::String>();
}

/* Tape and text to the wire format (value.cc describes it). Writes no more than kScratch bytes:
 * ten for an entry of the tape and two for a character. */
class Transcriber
{
  public:
    Transcriber(const double *tape, const void *text, size_t length, bool narrow, char *to)
        : at_(tape + 1), end_(tape + 1), text_(static_cast<const char *>(text)), left_(length),
          narrow_(narrow), begin_(reinterpret_cast<uint8_t *>(to)), out_(begin_)
    {
        double used = tape[0];
        if (used >= 1 && used <= static_cast<double>(kTapeLength)) {
            end_ = tape + static_cast<size_t>(used);
        }
        *out_++ = 0xFF;
        *out_++ = kWireVersion;
    }

    bool value(int depth = 0)
    {
        double mark, number;
        if (!next(&mark)) {
            return false;
        }
        switch (static_cast<int>(mark)) {
        case kText:
            return next(&number) && characters(number);
        case kNumber:
            return next(&number) && put_number(number);
        case kTrue:
            *out_++ = 'T';
            return true;
        case kFalse:
            *out_++ = 'F';
            return true;
        case kUndefined:
            *out_++ = '_';
            return true;
        case kNull:
            *out_++ = '0';
            return true;
        case kArray:
            return next(&number) && depth < 8 && array(number, depth + 1);
        case kObject:
            return next(&number) && depth < 8 && object(number, depth + 1);
        default:
            return false;
        }
    }

    size_t size() const
    {
        return static_cast<size_t>(out_ - begin_);
    }

  private:
    bool next(double *out)
    {
        if (at_ == end_) {
            return false;
        }
        *out = *at_++;
        return true;
    }

    void put_varint(uint32_t value)
    {
        while (value >= 0x80) {
            *out_++ = static_cast<uint8_t>(value | 0x80);
            value >>= 7;
        }
        *out_++ = static_cast<uint8_t>(value);
    }

    bool put_number(double number)
    {
        auto whole =
            static_cast<int32_t>(number >= -2147483648.0 && number <= 2147483647.0 ? number : 0.5);
        if (static_cast<double>(whole) == number && (whole != 0 || !__builtin_signbit(number))) {
            *out_++ = 'I';
            put_varint(static_cast<uint32_t>(whole) << 1 ^ static_cast<uint32_t>(whole >> 31));
            return true;
        }
        *out_++ = 'N';
        memcpy(out_, &number, sizeof(number));
        out_ += sizeof(number);
        return true;
    }

    bool characters(double wanted)
    {
        if (!(wanted >= 0 && wanted <= static_cast<double>(left_))) {
            return false;
        }
        auto length = static_cast<uint32_t>(wanted);
        size_t bytes = narrow_ ? length : static_cast<size_t>(length) * 2;
        if (!narrow_) {
            size_t digits = bytes < 0x80 ? 1 : bytes < 0x4000 ? 2 : 3;
            if ((reinterpret_cast<uintptr_t>(out_) + 1 + digits) & 1) {
                *out_++ = 0; /* the units shall be aligned */
            }
        }
        *out_++ = narrow_ ? '"' : 'c';
        put_varint(static_cast<uint32_t>(bytes));
        memcpy(out_, text_, bytes);
        out_ += bytes;
        text_ += bytes;
        left_ -= length;
        return true;
    }

    bool array(double wanted, int depth)
    {
        if (!(wanted >= 0 && wanted <= kTapeLength)) {
            return false;
        }
        auto length = static_cast<uint32_t>(wanted);
        *out_++ = 'A';
        put_varint(length);
        for (uint32_t i = 0; i < length; i++) {
            if (!value(depth)) {
                return false;
            }
        }
        *out_++ = '$';
        *out_++ = 0;
        put_varint(length);
        return true;
    }

    bool object(double wanted, int depth)
    {
        double length;
        if (!(wanted >= 0 && wanted <= kTapeLength)) {
            return false;
        }
        auto pairs = static_cast<uint32_t>(wanted);
        *out_++ = 'o';
        for (uint32_t i = 0; i < pairs; i++) {
            if (!next(&length) || !characters(length) || !value(depth)) {
                return false;
            }
        }
        *out_++ = '{';
        put_varint(pairs);
        return true;
    }

    const double *at_, *end_;
    const char *text_;
    size_t left_; /* characters */
    bool narrow_;
    uint8_t *begin_, *out_;
};

}   // namespace

bool
prepare_pack(jsv8_isolate *iso, v8::Local<v8::Context> context)
{
    v8::Local<v8::ArrayBuffer> buffer = v8::ArrayBuffer::New(iso->v8, kTapeLength * sizeof(double));
    v8::Local<v8::Value> tape = v8::Float64Array::New(buffer, 0, kTapeLength), pack;
    v8::Global<v8::Function> make;
    if (!own_function(iso, context, kSource, &make)
        || !strong(make)->Call(context, v8::Undefined(iso->v8), 1, &tape).ToLocal(&pack)
        || !pack->IsFunction()) {
        return false;
    }
    iso->pack.Reset(iso->v8, pack.As<v8::Function>());
    iso->pack_store = buffer->GetBackingStore();
    return true;
}

Packed
pack_from_v8(jsv8_isolate *iso, v8::Local<v8::Context> context, v8::Local<v8::Value> value,
             jsv8_value_t *out)
{
    if (iso->packing || !is_ordinary(value)) {
        return Packed::kNot;
    }
    /* A program whose results are large should not pay for our trying. */
    if (iso->pack_skip > 0) {
        iso->pack_skip--;
        return Packed::kNot;
    }
    v8::Local<v8::Value> packed;
    iso->packing = true;
    bool returned =
        strong(iso->pack)->Call(context, v8::Undefined(iso->v8), 1, &value).ToLocal(&packed);
    iso->packing = false;
    if (!returned) {
        return Packed::kThrown;
    }
    if (packed->IsNull()) {
        return Packed::kNot; /* an instance of a class: to be held, most likely; no miss */
    }
    v8::Local<v8::String> text = text_of(context, packed);
    char *to = nullptr;
    if (text.IsEmpty() || (to = iso->scratch.reserve(kScratch)) == nullptr) {
        iso->pack_misses = std::min(iso->pack_misses * 2 + 1, kMostSkipped);
        iso->pack_skip = iso->pack_misses;
        return Packed::kNot;
    }
    iso->pack_misses = 0;
    int length = text->Length();
    bool narrow = text->IsOneByte();
    alignas(2) char characters[kLongestText * 2];
    if (static_cast<size_t>(length) > kLongestText) {
        return Packed::kNot;
    }
    if (narrow) {
        write_latin1(iso->v8, text, reinterpret_cast<uint8_t *>(characters), length);
    } else {
        write_utf16(iso->v8, text, reinterpret_cast<uint16_t *>(characters), length);
    }
    Transcriber transcriber(static_cast<const double *>(iso->pack_store->Data()), characters,
                            static_cast<size_t>(length), narrow, to);
    if (!transcriber.value()) {
        return Packed::kNot;
    }
    out->tag = JSV8_WIRE;
    out->u.text.data = to;
    out->u.text.length = transcriber.size();
    return Packed::kDone;
}

}   // namespace jsv8
