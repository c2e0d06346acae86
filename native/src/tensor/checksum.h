// A fast hash that shows damage. Not against intent.
#ifndef MLA_TENSOR_CHECKSUM_H_
#define MLA_TENSOR_CHECKSUM_H_

#include <bit>
#include <cstdint>
#include <cstring>

namespace mla {

// 64 bits of everything added, in order; how it was cut into calls does not matter. Every step is
// invertible in the state, so that any change of a single word changes the value.
class Checksum {
 public:
  void Add(const void* data, uint64_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    length_ += size;
    while (size > 0 && pending_ > 0) {
      AddByte(*bytes++);
      --size;
    }
    for (; size >= 8; bytes += 8, size -= 8) {
      uint64_t word;
      std::memcpy(&word, bytes, 8);
      Mix(word);
    }
    for (; size > 0; --size) AddByte(*bytes++);
  }
  void AddNumber(uint64_t number) { Add(&number, sizeof number); }

  uint64_t value() const {
    Checksum end = *this;
    end.Mix(end.word_);
    end.Mix(length_);
    return end.state_ ^ (end.state_ >> 29);
  }

 private:
  void AddByte(uint8_t byte) {
    word_ |= uint64_t{byte} << (8 * pending_);
    if (++pending_ < 8) return;
    Mix(word_);
    word_ = 0;
    pending_ = 0;
  }
  // Odd factors with bits in no pattern.
  void Mix(uint64_t word) {
    state_ =
        std::rotl(state_ ^ (word * 0xd6e8feb86659fd93u), 27) * 0x9e3779b97f4a7c15u + 0x2545f491u;
  }

  uint64_t state_ = 0x6d6c61346a;
  uint64_t length_ = 0;
  uint64_t word_ = 0;
  uint32_t pending_ = 0;
};

}  // namespace mla
#endif  // MLA_TENSOR_CHECKSUM_H_
