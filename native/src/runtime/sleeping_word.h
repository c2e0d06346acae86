// A number that threads sleep on until it changes. As std::atomic::wait, but that a thread which
// waits goes to sleep at once: the standard library's yields its processor a few times before, and
// beside other programs every one of these gives away a time slice, milliseconds of a wait that
// takes microseconds.
#ifndef MLA_RUNTIME_SLEEPING_WORD_H_
#define MLA_RUNTIME_SLEEPING_WORD_H_

#include <atomic>
#include <cstdint>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace mla {

// Any thread may call anything.
class SleepingWord {
 public:
  uint32_t Load() const { return value_.load(std::memory_order_acquire); }
  // Of what nobody sleeps on.
  void Set(uint32_t value) { value_.store(value, std::memory_order_relaxed); }

  // Each wakes all that sleep. Whoever comes to sleep meanwhile sees the new value.
  void Store(uint32_t value) {
    value_.store(value, std::memory_order_seq_cst);
    WakeAll();
  }
  // What it was before.
  uint32_t Add(uint32_t by) {
    const uint32_t before = value_.fetch_add(by, std::memory_order_seq_cst);
    WakeAll();
    return before;
  }
  // Wakes only where that was the last one.
  void CountDown() {
    if (value_.fetch_sub(1, std::memory_order_seq_cst) == 1) WakeAll();
  }

  // Returns when it is no longer `old`.
  void Sleep(uint32_t old) {
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    while (value_.load(std::memory_order_seq_cst) == old) SleepOnce(old);
    sleepers_.fetch_sub(1, std::memory_order_relaxed);
  }

 private:
#if defined(__linux__)
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
  void SleepOnce(uint32_t old) {
    // Returns at once where the value is another one; too early is too early for the caller, too.
    syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
  }
  void WakeAll() {
    if (sleepers_.load(std::memory_order_seq_cst) == 0) return;
    syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0);
  }
#else
  void SleepOnce(uint32_t old) { value_.wait(old, std::memory_order_seq_cst); }
  void WakeAll() {
    if (sleepers_.load(std::memory_order_seq_cst) != 0) value_.notify_all();
  }
#endif

  std::atomic<uint32_t> value_{0};
  std::atomic<uint32_t> sleepers_{0};
};

}  // namespace mla
#endif  // MLA_RUNTIME_SLEEPING_WORD_H_
