/* SPDX-License-Identifier: MIT
 *
 * names.cc: finds a global function by name for each call, in the time of a call.
 *
 * V8 has no API for let, const and class bindings of the global scope. So each name gets, once, a
 * function of the shim's own, `() => name`: V8 compiles it to one load with an inline cache, and
 * running it gives what the name holds at that moment, whatever was assigned since. Only a plain
 * identifier is ever put into source. The rest of a dotted path is looked up property by property.
 *
 * The table is bounded: the names come from the caller's code, but may come from data as well.
 */
#include "names.hh"

#include <string.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "context.hh"

namespace jsv8
{

namespace
{

constexpr size_t kMostNames = 512;
constexpr size_t kLongestName = 256;

struct Name {
    v8::Global<v8::Function> first;           /* () => first */
    std::vector<v8::Global<v8::String>> rest; /* the properties behind it */
};

bool
is_identifier(const char *text, size_t length)
{
    if (length == 0 || (length == 4 && memcmp(text, "this", 4) == 0)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = static_cast<unsigned char>(text[i]);
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
        if (!letter && !(i > 0 && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return true;
}

}   // namespace

struct Names {
    std::unordered_map<std::string, Name> known;
    /* The last one asked for: most programs call one function over and over. */
    std::string last_name;
    Name *last = nullptr;
};

namespace
{

bool
make_name(jsv8_isolate *iso, v8::Local<v8::Context> context, const char *text, size_t length,
          Name *out)
{
    const char *end = text + length;
    const char *dot = static_cast<const char *>(memchr(text, '.', length));
    size_t first = dot != nullptr ? static_cast<size_t>(dot - text) : length;
    if (!is_identifier(text, first)) {
        return false;
    }
    std::string source = "(() => " + std::string(text, first) + ")";
    if (!own_function(iso, context, source.c_str(), &out->first)) {
        return false; /* a reserved word */
    }
    while (dot != nullptr) {
        const char *from = dot + 1;
        dot = static_cast<const char *>(memchr(from, '.', static_cast<size_t>(end - from)));
        size_t size = static_cast<size_t>((dot != nullptr ? dot : end) - from);
        v8::Local<v8::String> key;
        if (size == 0
            || !v8::String::NewFromUtf8(iso->v8, from, v8::NewStringType::kInternalized,
                                        static_cast<int>(size))
                    .ToLocal(&key)) {
            return false;
        }
        out->rest.emplace_back(iso->v8, key);
    }
    return true;
}

Name *
find_name(jsv8_isolate *iso, v8::Local<v8::Context> context, const char *text, size_t length)
{
    if (length > kLongestName) {
        return nullptr;
    }
    if (iso->names == nullptr) {
        iso->names = new Names();
    }
    Names *names = iso->names;
    if (names->last != nullptr && names->last_name.size() == length
        && memcmp(names->last_name.data(), text, length) == 0) {
        return names->last;
    }
    std::string key(text, length);
    auto found = names->known.find(key);
    if (found == names->known.end()) {
        Name made;
        if (!make_name(iso, context, text, length, &made)) {
            return nullptr;
        }
        if (names->known.size() >= kMostNames) {
            names->last = nullptr;
            names->known.clear();
        }
        found = names->known.emplace(key, std::move(made)).first;
    }
    names->last_name = key;
    names->last = &found->second;
    return names->last;
}

}   // namespace

bool
find_named(jsv8_isolate *iso, v8::Local<v8::Context> context, const char *text, size_t length,
           v8::Local<v8::Value> *function, v8::Local<v8::Value> *receiver)
{
    v8::TryCatch caught(iso->v8);
    Name *name = find_name(iso, context, text, length);
    v8::Local<v8::Value> value;
    *receiver = v8::Undefined(iso->v8);
    if (name == nullptr
        || !strong(name->first)->Call(context, *receiver, 0, nullptr).ToLocal(&value)) {
        return false;
    }
    for (size_t i = 0; i < name->rest.size(); i++) {
        if (!value->IsObject()) {
            return false;
        }
        /* A getter may come back here and drop the table: nothing of name is used behind one
         * but through its index, and a table that was dropped ends the search. */
        v8::Local<v8::String> key = v8::Local<v8::String>::New(iso->v8, name->rest[i]);
        *receiver = value;
        if (!value.As<v8::Object>()->Get(context, key).ToLocal(&value)
            || iso->names->last != name) {
            return false;
        }
    }
    *function = value;
    return value->IsFunction();
}

void
forget_names(RealmParts *parts)
{
    delete parts->names;
    parts->names = nullptr;
}

}   // namespace jsv8
