/* SPDX-License-Identifier: MIT
 *
 * text.hh: V8 strings as bytes, over V8's two generations of the same calls.
 */
#ifndef JSRT_V8_TEXT_HH
#define JSRT_V8_TEXT_HH

#include "v8.h"

namespace jsv8
{

#define JSV8_STRING_V2 (V8_MAJOR_VERSION > 13 || (V8_MAJOR_VERSION == 13 && V8_MINOR_VERSION >= 3))

inline void
write_latin1(v8::Isolate *v8, v8::Local<v8::String> text, uint8_t *to, int length)
{
#if JSV8_STRING_V2
    text->WriteOneByteV2(v8, 0, static_cast<uint32_t>(length), to);
#else
    text->WriteOneByte(v8, to, 0, length, v8::String::NO_NULL_TERMINATION);
#endif
}

inline void
write_utf16(v8::Isolate *v8, v8::Local<v8::String> text, uint16_t *to, int length)
{
#if JSV8_STRING_V2
    text->WriteV2(v8, 0, static_cast<uint32_t>(length), to);
#else
    text->Write(v8, to, 0, length, v8::String::NO_NULL_TERMINATION);
#endif
}

inline size_t
utf8_length(v8::Isolate *v8, v8::Local<v8::String> text)
{
#if JSV8_STRING_V2
    return text->Utf8LengthV2(v8);
#else
    return static_cast<size_t>(text->Utf8Length(v8));
#endif
}

/* The most bytes write_utf8 may write: 3 for each 16-bit unit. */
inline size_t
utf8_bound(v8::Local<v8::String> text)
{
    return static_cast<size_t>(text->Length()) * 3;
}

/* Lone surrogates become U+FFFD. Returns the bytes written. */
inline size_t
write_utf8(v8::Isolate *v8, v8::Local<v8::String> text, char *to, size_t capacity)
{
#if JSV8_STRING_V2
    return text->WriteUtf8V2(v8, to, capacity, v8::String::WriteFlags::kReplaceInvalidUtf8);
#else
    return static_cast<size_t>(
        text->WriteUtf8(v8, to, static_cast<int>(capacity), nullptr,
                        v8::String::NO_NULL_TERMINATION | v8::String::REPLACE_INVALID_UTF8));
#endif
}

}   // namespace jsv8
#endif
