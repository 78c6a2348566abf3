/* SPDX-License-Identifier: MIT
 *
 * spare.hh: large blocks of ArrayBuffers that V8 has freed, kept for the next.
 */
#ifndef JSRT_V8_SPARE_HH
#define JSRT_V8_SPARE_HH

#include <stddef.h>

namespace jsv8
{

/* A block of at least length bytes, from malloc, with whatever was in it; NULL: there is none. */
void *take_spare(size_t length);
/* Keeps the block, which is malloc's and was asked for with length. false: the caller frees it. */
bool keep_spare(void *data, size_t length);
/* Frees them all. */
void free_spares();

}   // namespace jsv8
#endif
