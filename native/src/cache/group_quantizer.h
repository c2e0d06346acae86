// A group of floats to unsigned fields and the f16 numbers that turn them back (row_format.h).
#ifndef MLA_CACHE_GROUP_QUANTIZER_H_
#define MLA_CACHE_GROUP_QUANTIZER_H_

#include <cstdint>

#include "cache/row_format.h"

namespace mla {

// As f16 bits. minimum: int4 and int2.
struct GroupScale {
  uint16_t scale;
  uint16_t minimum;
};

// n <= kMostGroup values to fields. int8: the scale is the largest magnitude / 127. int4 and
// int2: 16 or 4 levels from a minimum on, of the least squared error among a few ranges that are
// tried. A NaN or an infinity makes the scale NaN and all fields zero.
GroupScale QuantizeGroup(CacheType type, const float* values, int32_t n, uint8_t* fields);

}  // namespace mla
#endif  // MLA_CACHE_GROUP_QUANTIZER_H_
