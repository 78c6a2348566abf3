/* SPDX-License-Identifier: MIT
 *
 * handle.hh: what an isolate keeps for questions about refs.
 */
#ifndef JSRT_V8_HANDLE_HH
#define JSRT_V8_HANDLE_HH

#include "isolate.hh"

namespace jsv8
{

void forget_operations(RealmParts *parts);

}   // namespace jsv8
#endif
