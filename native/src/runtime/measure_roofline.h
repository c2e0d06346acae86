// The roofline of this machine: what no kernel can go beyond, as it is measured.
#ifndef MLA_RUNTIME_MEASURE_ROOFLINE_H_
#define MLA_RUNTIME_MEASURE_ROOFLINE_H_

#include <cstdint>

namespace mla {

// Of all threads together, a second.
struct Roofline {
  int32_t threads = 0;  // that took part: fewer than asked for where the system refuses them
  double bytes = 0;     // read from memory
  double float_multiply_adds = 0;    // by the chosen instruction set, in registers
  double integer_multiply_adds = 0;  // the same of the narrowest integers that it multiplies
};

// The best of many short measurements, so that a busy machine disturbs it little; takes about a
// second and 256 MiB, or more where a cache is large. Threads: at least 1, from the decoder's pool.
// Throws std::bad_alloc.
Roofline MeasureRoofline(int32_t threads);

}  // namespace mla
#endif  // MLA_RUNTIME_MEASURE_ROOFLINE_H_
