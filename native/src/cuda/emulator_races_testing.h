// What ThreadSanitizer is told of the emulated GPU, so that it finds races of kernels as
// compute-sanitizer's racecheck does on a real one, and those of blocks and launches besides: every
// emulated thread is a thread of its own to it, ordered with others by nothing but the barriers,
// copies and launches that the kernel waits for. An exchange of values, products and matrices that
// lanes load order no memory, as CUDA has it. Without ThreadSanitizer nothing of this does
// anything.
#ifndef MLA_CUDA_EMULATOR_RACES_TESTING_H_
#define MLA_CUDA_EMULATOR_RACES_TESTING_H_

#include <cstddef>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>

extern "C" {
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
void __tsan_read_range(void* begin, unsigned long bytes);
void __tsan_write_range(void* begin, unsigned long bytes);
}
#define MLA_UNSEEN_BY_TSAN __attribute__((no_sanitize("thread"), noinline))
#else
#define MLA_UNSEEN_BY_TSAN
#endif

namespace mla {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kSeesRaces = true;
#else
inline constexpr bool kSeesRaces = false;
#endif

// While there is one, what the thread does is the emulation's and not the kernel's.
class NotTheKernels {
 public:
#if defined(__SANITIZE_THREAD__)
  NotTheKernels() { __tsan_ignore_thread_begin(); }
  ~NotTheKernels() { __tsan_ignore_thread_end(); }
#else
  NotTheKernels() {}  // not trivial, so that an unused one is no warning
#endif
  NotTheKernels(const NotTheKernels&) = delete;
  NotTheKernels& operator=(const NotTheKernels&) = delete;
};

// What is done before a release of an address is done for all that acquire it later.
inline void ReleaseAt([[maybe_unused]] const void* address) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(const_cast<void*>(address));
#endif
}
inline void AcquireAt([[maybe_unused]] const void* address) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(const_cast<void*>(address));
#endif
}

// The kernel's accesses that the emulation does for it.
inline void KernelReads([[maybe_unused]] const void* begin, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_THREAD__)
  __tsan_read_range(const_cast<void*>(begin), bytes);
#endif
}
inline void KernelWrites([[maybe_unused]] void* begin, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_THREAD__)
  __tsan_write_range(begin, bytes);
#endif
}

// An emulated thread, or what it goes back to.
class RaceFiber {
 public:
#if defined(__SANITIZE_THREAD__)
  RaceFiber() : fiber_(__tsan_create_fiber(0)) {}
  // In no order with what the running one did since `origin` was made.
  explicit RaceFiber(const RaceFiber* origin) : fiber_(CreateFrom(origin->fiber_)) {}
  ~RaceFiber() { __tsan_destroy_fiber(fiber_); }
  MLA_UNSEEN_BY_TSAN void* get() const { return fiber_; }
  MLA_UNSEEN_BY_TSAN static void* Running() { return __tsan_get_current_fiber(); }
  // In front of the jump to its stack. From here on accesses are those of `fiber`.
  MLA_UNSEEN_BY_TSAN static void Switch(void* fiber) {
    __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync);
  }
  // This one copies when the running one has asked for it, and who waits for `done` has the copy.
  MLA_UNSEEN_BY_TSAN void CopyInBulk(void* to, const void* from, size_t bytes, const void* done) {
    ReleaseAt(&asked_);
    void* const asking = Running();
    Switch(fiber_);
    AcquireAt(&asked_);
    KernelReads(from, bytes);
    KernelWrites(to, bytes);
    ReleaseAt(done);
    Switch(asking);
  }
#else
  RaceFiber() {}
  explicit RaceFiber(const RaceFiber*) {}
  void* get() const { return nullptr; }
  static void* Running() { return nullptr; }
  static void Switch(void*) {}
  void CopyInBulk(void*, const void*, size_t, const void*) {}
#endif
  RaceFiber(const RaceFiber&) = delete;
  RaceFiber& operator=(const RaceFiber&) = delete;

#if defined(__SANITIZE_THREAD__)
 private:
  MLA_UNSEEN_BY_TSAN static void* CreateFrom(void* origin) {
    void* const running = Running();
    Switch(origin);
    void* const created = __tsan_create_fiber(0);
    Switch(running);
    return created;
  }

  void* const fiber_;
  const char asked_ = 0;
#endif
};

}  // namespace mla
#endif  // MLA_CUDA_EMULATOR_RACES_TESTING_H_
