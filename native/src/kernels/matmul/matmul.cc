#include "kernels/matmul/matmul.h"

#include "kernels/matmul/implementations.h"

namespace mla {

ActivationForm FormFor(Type weight, Activations activations) {
  if (GetTypeTraits(weight).block == 1) return ActivationForm::kFloat;
  return activations == Activations::kFine ? ActivationForm::kFineBlocks32
                                           : ActivationForm::kMixedBlocks32;
}

int64_t ActivationBytes(ActivationForm form, int64_t n, int64_t cols) {
  if (form == ActivationForm::kFloat) return n * cols * static_cast<int64_t>(sizeof(float));
  return n * (cols / 32) * static_cast<int64_t>(sizeof(ActivationBlock));
}

const MatmulKernels& GetMatmulKernels(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx512:
      return kMatmulAvx512;
    case Isa::kAvxVnni:
      return kMatmulAvxVnni;
    case Isa::kAvx2:
      return kMatmulAvx2;
#elif defined(__aarch64__)
    case Isa::kI8mm:
      return kMatmulI8mm;
    case Isa::kDotprod:
      return kMatmulDotprod;
    case Isa::kNeon:
      return kMatmulNeon;
#endif
    default:
      return kMatmulGeneric;
  }
}

void PrepareActivations(ActivationForm form, const float* x, int64_t x_stride, int64_t n,
                        int64_t cols, void* prepared, int64_t begin, int64_t end) {
  static const MatmulKernels& kernels = GetMatmulKernels(ChosenIsa().isa);
  kernels.prepare(form, x, x_stride, n, cols, prepared, begin, end);
}

int64_t PanelRows(const Matrix& w) {
  const int64_t rows = GetMatmulKernels(ChosenIsa().isa).panel_rows;
  const bool quantized = FormFor(w.type, Activations::kFine) != ActivationForm::kFloat;
  return rows == 0 || !quantized ? 0 : (w.rows + rows - 1) / rows * rows;
}

void PackPanels(const Matrix& w, int64_t begin, int64_t end, uint8_t* panels) {
  const MatmulKernels& kernels = GetMatmulKernels(ChosenIsa().isa);
  for (int64_t r = begin; r < end; r += kernels.panel_rows) {
    kernels.pack(w, r, panels + r * w.row_bytes());
  }
}

void Matmul(const MatmulParams& params, int64_t row_begin, int64_t row_end) {
  static const MatmulKernels& kernels = GetMatmulKernels(ChosenIsa().isa);
  kernels.multiply(params, row_begin, row_end);
}

}  // namespace mla
