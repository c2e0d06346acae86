// Advice to the system about memory that is read as one long stream.
#ifndef MLA_TENSOR_LARGE_PAGES_H_
#define MLA_TENSOR_LARGE_PAGES_H_

#include <cstdint>

namespace mla {

// Large pages for the whole small ones in [data, data + bytes), where the system has them. Small
// ones cost much of the bandwidth, the more so in virtual machines, which translate addresses
// twice. To be called before the memory is first written.
void PreferLargePages(const void* data, int64_t bytes);

}  // namespace mla
#endif  // MLA_TENSOR_LARGE_PAGES_H_
