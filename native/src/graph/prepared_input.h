// One activation tensor in every form that the weights which read it ask for.
#ifndef MLA_GRAPH_PREPARED_INPUT_H_
#define MLA_GRAPH_PREPARED_INPUT_H_

#include <array>
#include <cstdint>
#include <initializer_list>

#include "graph/weights.h"
#include "kernels/matmul/matmul.h"

namespace mla {

// A borrowed area; preparing anew overwrites it. The forms are chosen by Plan, then rows are filled
// by any threads.
class PreparedInput {
 public:
  static constexpr int kMaxForms = 4;

  // Bytes for n rows of cols activations in the forms of all `kinds` weights types at once.
  static int64_t Bytes(int64_t n, int64_t cols) {
    int64_t bytes = 0;
    for (Type type : kAllTypes) {
      const int64_t need = ActivationBytes(FormFor(type, Activations::kFine), n, cols);
      if (need > bytes) bytes = need;
    }
    return kMaxForms * Align(bytes);
  }

  PreparedInput(uint8_t* area, Activations activations, int64_t n, int64_t cols)
      : area_(area), activations_(activations), n_(n), cols_(cols) {}

  void Plan(Type type) {
    const ActivationForm form = FormFor(type, activations_);
    for (int i = 0; i < count_; ++i) {
      if (forms_[static_cast<size_t>(i)] == form) return;
    }
    data_[static_cast<size_t>(count_)] = area_ + used_;
    forms_[static_cast<size_t>(count_++)] = form;
    used_ += Align(ActivationBytes(form, n_, cols_));
  }
  void Plan(const Linear& linear) {
    if (!linear.empty()) Plan(linear.w.type);
  }

  // Rows [begin, end) of x in all planned forms.
  void Fill(const float* x, int64_t x_stride, int64_t begin, int64_t end) const {
    for (int i = 0; i < count_; ++i) {
      PrepareActivations(forms_[static_cast<size_t>(i)], x, x_stride, n_, cols_,
                         data_[static_cast<size_t>(i)], begin, end);
    }
  }

  const void* For(Type type) const {
    const ActivationForm form = FormFor(type, activations_);
    for (int i = 0; i < count_; ++i) {
      if (forms_[static_cast<size_t>(i)] == form) return data_[static_cast<size_t>(i)];
    }
    return nullptr;
  }

 private:
  static int64_t Align(int64_t bytes) { return (bytes + 63) / 64 * 64; }

  uint8_t* area_;
  Activations activations_;
  int64_t n_, cols_;
  std::array<ActivationForm, kMaxForms> forms_{};
  std::array<uint8_t*, kMaxForms> data_{};
  int count_ = 0;
  int64_t used_ = 0;
};

}  // namespace mla
#endif  // MLA_GRAPH_PREPARED_INPUT_H_
